//! What passes between the task and the toolstack: parameters, the report, and requests to end.
//!
//! It goes through xenstore where the image has its driver. Without, the command line gives the parameters, the console
//! shows the report, and requests to end are not heard: right for a task that ends by itself at once.

#[cfg(feature = "xenstore")]
mod store;
#[cfg(feature = "xenstore")]
pub(crate) use store::Toolstack;

#[cfg(not(feature = "xenstore"))]
mod silent;
#[cfg(not(feature = "xenstore"))]
pub(crate) use silent::Toolstack;
