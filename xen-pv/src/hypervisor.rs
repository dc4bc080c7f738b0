//! The seam to the hypervisor: one method per hypercall that a driver needs.
//!
//! Drivers are written against [`Hypervisor`], so that the same code runs on Xen and, on the developer's machine, on
//! the fake of crate `xen-fake`.

use alloc::vec::Vec;

use xen_sys::types::{Domid, Gfn, GrantRef, Port};

pub use crate::error::Error;
use crate::memory::Page;
use crate::shared_page::Shared;

/// What drivers ask of the hypervisor.
///
/// A value is a handle: cloning it names the same hypervisor.
///
/// # Safety
/// What other domains may do to this domain's memory hangs on two of the answers:
///
/// - [`gfn`](Self::gfn) must name the frame of the page that is asked about, and no other: another domain is let in there;
/// - [`take_pending`](Self::take_pending) must order as it says: what an event announces is read after it.
pub unsafe trait Hypervisor: Clone + 'static {
    /// Sends an event to the other end of `port`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `port` is not open.
    fn notify(&self, port: Port) -> Result<(), Error>;

    /// Opens a port to which only domain `remote` may bind.
    ///
    /// # Errors
    /// [`Error::NoSpace`] when the domain has as many ports as it may have.
    fn allocate_unbound(&self, remote: Domid) -> Result<Port, Error>;

    /// Opens a port that is bound to the port `theirs` of domain `remote`, which has opened it for this domain.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has not, [`Error::NoSpace`] as above.
    fn bind_interdomain(&self, remote: Domid, theirs: Port) -> Result<Port, Error>;

    /// Whether `port` has another end: nobody may have bound to it yet, or the other domain may be dead.
    fn is_bound(&self, port: Port) -> bool;

    /// Closes `port`; no further event arrives on it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `port` is not open.
    fn close(&self, port: Port) -> Result<(), Error>;

    /// The guest frame number by which a grant entry must name `page`.
    fn gfn(&self, page: &Page) -> Gfn;

    /// Clears the port's pending bit and says whether it was set, in one atomic step that is ordered before every later
    /// read of the shared memory which the event announces.
    fn take_pending(&self, port: Port) -> bool;

    /// The guest's clock: nanoseconds that never go back.
    fn now_ns(&self) -> u64;

    /// Lets other domains run first that wait for this CPU, if any do.
    fn yield_cpu(&self);
}

/// What the other domain's page is mapped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapFor {
    /// It is only read.
    Reading,
    /// It is read and written.
    Writing,
}

/// A page of another domain is not to be had. Source: `xen/include/public/grant_table.h`, `GNTST_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotMapped(pub i16);

/// A hypervisor by which this domain reaches pages of others.
pub trait MapPages: Hypervisor {
    /// A page that is mapped. Dropping it ends that.
    type Mapped: Shared + 'static;

    /// Maps pages of domain `of`, which it has granted.
    ///
    /// # Errors
    /// Why one of them cannot be mapped; then none is.
    fn map(&self, of: Domid, references: &[GrantRef], access: MapFor) -> Result<Vec<Self::Mapped>, NotMapped>;
}
