//! The PV console.
//!
//! Nobody waits for it: what the ring does not take is kept, and goes on its way at the console's next event. Beyond
//! what is kept, the oldest is lost and counted. Only the end of the domain waits for what was written, and not for
//! ever.

#[cfg(any(target_os = "none", test))]
mod backlog;
#[cfg(any(target_os = "none", test))]
mod ring;

#[cfg(target_os = "none")]
mod channel;
#[cfg(target_os = "none")]
pub(crate) use channel::{dispatch, flush, lost_bytes, open, port, read, rebind};
