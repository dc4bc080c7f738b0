//! Xen's hypercalls for the toolstack, for programs in dom0: made through Linux's devices, with nothing of libxenctrl.
//!
//! Each method of [`Xen`] is one hypercall, or one mapping of a domain's memory, that lasts as long as the method does.
//! What to do in which order is who calls them. Reading order: [`Xen`], then `gate`, which has all the unsafe code.
//!
//! The interface changes with Xen's releases; the one that is spoken here is that of [`VERSION`], and no other Xen is
//! asked for anything. Source: `xen/include/public/domctl.h`, `xen/include/public/sysctl.h`,
//! `linux/include/uapi/xen/privcmd.h`.

mod gate;
mod xen;

use std::io;

use thiserror::Error;

pub use xen::{Xen, running_version};

/// The release of Xen whose interface this is.
pub const VERSION: &str = "4.17";

/// Xen or Linux refuses, by the name of what was asked.
#[derive(Debug, Error)]
#[error("{what}: {source}")]
pub struct Error {
    /// The hypercall or the device.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}
