//! What holds for domains of every CPU: how large an image may be, and two rings.

use xen_sys::types::Port;

/// The largest image, in its file and in memory: it is put together in dom0's own memory, which is a tenant's to fill only
/// so far.
pub(super) const IMAGE_MAX: usize = 16 << 20;

/// The ends of a domain's two rings: of its console and of xenstore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rings<T> {
    pub(super) console: T,
    pub(super) xenstore: T,
}

/// What others need to use a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) frame: u64,
    pub(super) port: Port,
}
