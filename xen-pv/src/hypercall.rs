//! Hypercalls of an operation and its argument, which most are.

use xen_sys::arch::hypercall2;

use crate::error::Error;

/// Calls `EVTCHNOP_*`, `SCHEDOP_*` and their like: an operation and a pointer to its argument.
pub(crate) fn operation<T>(number: usize, operation: usize, argument: &mut T) -> Result<usize, Error> {
    // SAFETY: the callers pass the structure that the operation asks for, which Xen reads and writes in place.
    Error::check(unsafe { hypercall2(number, operation, (&raw mut *argument).expose_provenance()) })
}
