//! Hypercalls of an operation and its argument that any code may make.
//!
//! [`Operation`] binds the argument's type to the numbers of hypercall and operation, so that no structure reaches Xen
//! in place of another. Those that change memory besides their argument are made where it is known why that is right,
//! by the unsafe functions of `xen_sys::arch`.

use xen_sys::arch::hypercall2;
use xen_sys::event_channel::{
    AllocUnbound, BindInterdomain, Close, EVTCHNOP_ALLOC_UNBOUND, EVTCHNOP_BIND_INTERDOMAIN, EVTCHNOP_CLOSE,
    EVTCHNOP_SEND, EVTCHNOP_STATUS, Send as SendEvent, Status,
};
use xen_sys::number;
use xen_sys::sched::{Poll, SCHEDOP_POLL, SCHEDOP_YIELD};

use crate::error::Error;

/// The argument of an operation that any code may ask for.
///
/// # Safety
/// The operation [`OPERATION`](Self::OPERATION) of the hypercall [`HYPERCALL`](Self::HYPERCALL) must take this
/// structure, or none. Whatever its fields say, Xen must change no memory for it but the structure itself, and no
/// mapping.
pub(crate) unsafe trait Operation {
    /// Number of the hypercall.
    const HYPERCALL: usize;
    /// Number of the operation.
    const OPERATION: usize;
}

/// [`SCHEDOP_YIELD`] takes no argument.
pub(crate) struct Yield;

// SAFETY: `evtchn_send_t`, which Xen only reads.
unsafe impl Operation for SendEvent {
    const HYPERCALL: usize = number::EVENT_CHANNEL_OP;
    const OPERATION: usize = EVTCHNOP_SEND;
}
// SAFETY: `evtchn_alloc_unbound_t`; Xen writes the port.
unsafe impl Operation for AllocUnbound {
    const HYPERCALL: usize = number::EVENT_CHANNEL_OP;
    const OPERATION: usize = EVTCHNOP_ALLOC_UNBOUND;
}
// SAFETY: `evtchn_bind_interdomain_t`; Xen writes the port.
unsafe impl Operation for BindInterdomain {
    const HYPERCALL: usize = number::EVENT_CHANNEL_OP;
    const OPERATION: usize = EVTCHNOP_BIND_INTERDOMAIN;
}
// SAFETY: `evtchn_status_t`; Xen writes its second half.
unsafe impl Operation for Status {
    const HYPERCALL: usize = number::EVENT_CHANNEL_OP;
    const OPERATION: usize = EVTCHNOP_STATUS;
}
// SAFETY: `evtchn_close_t`, which Xen only reads.
unsafe impl Operation for Close {
    const HYPERCALL: usize = number::EVENT_CHANNEL_OP;
    const OPERATION: usize = EVTCHNOP_CLOSE;
}
// SAFETY: `sched_poll_t`; Xen reads it and the ports that it points to, and refuses an address that it cannot read.
unsafe impl Operation for Poll {
    const HYPERCALL: usize = number::SCHED_OP;
    const OPERATION: usize = SCHEDOP_POLL;
}
// SAFETY: Xen does not look at the argument.
unsafe impl Operation for Yield {
    const HYPERCALL: usize = number::SCHED_OP;
    const OPERATION: usize = SCHEDOP_YIELD;
}

/// Makes the hypercall whose argument this is; Xen reads and writes it in place.
///
/// # Errors
/// The hypervisor's error.
pub(crate) fn operation<T: Operation>(argument: &mut T) -> Result<usize, Error> {
    let argument = (&raw mut *argument).expose_provenance();
    // SAFETY: who made the type an `Operation` promised that it is what Xen takes here, and that no other memory
    // changes.
    Error::check(unsafe { hypercall2(T::HYPERCALL, T::OPERATION, argument) })
}
