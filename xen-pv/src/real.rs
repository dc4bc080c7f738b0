//! The real hypervisor.

use core::sync::atomic::{AtomicU64, Ordering};

use xen_sys::event_channel::{
    AllocUnbound, Close, EVTCHNOP_ALLOC_UNBOUND, EVTCHNOP_CLOSE, EVTCHNOP_SEND, Send as SendEvent,
};
use xen_sys::number;
use xen_sys::sched::{POLL_PORTS_MAX, Poll, SCHEDOP_POLL, SCHEDOP_SHUTDOWN, SCHEDOP_YIELD, Shutdown, ShutdownReason};
use xen_sys::shared_info::EVENT_WORDS;
use xen_sys::types::{Domid, Gfn, Port};

use crate::arch;
use crate::hypercall::operation;
use crate::hypervisor::{Error, Hypervisor};
use crate::memory::Page;

/// Xen, reached by hypercalls.
#[derive(Debug, Clone, Copy)]
pub struct Xen;

impl Hypervisor for Xen {
    fn notify(&self, port: Port) -> Result<(), Error> {
        operation(number::EVENT_CHANNEL_OP, EVTCHNOP_SEND, &mut SendEvent { port }).map(|_| ())
    }

    fn allocate_unbound(&self, remote: Domid) -> Result<Port, Error> {
        let mut argument = AllocUnbound { dom: Domid::SELF, remote_dom: remote, port: Port(0) };
        operation(number::EVENT_CHANNEL_OP, EVTCHNOP_ALLOC_UNBOUND, &mut argument)?;
        Ok(argument.port)
    }

    fn close(&self, port: Port) -> Result<(), Error> {
        operation(number::EVENT_CHANNEL_OP, EVTCHNOP_CLOSE, &mut Close { port }).map(|_| ())
    }

    fn gfn(&self, page: &Page) -> Gfn {
        arch::gfn(page.address())
    }

    fn take_pending(&self, port: Port) -> bool {
        let (word, bit) = (port.0 as usize / 64, 1 << (port.0 % 64));
        if word >= EVENT_WORDS {
            return false;
        }
        // SAFETY: the word lies within the shared info page, which is mapped for the guest's whole life and changed by
        // both sides with atomic instructions only.
        let word = unsafe { &*(&raw const (*arch::shared_info().as_ptr()).evtchn_pending[word]).cast::<AtomicU64>() };
        // Acquire: what the sender wrote before the event is seen after it.
        word.load(Ordering::Relaxed) & bit != 0 && word.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    fn yield_cpu(&self) {
        // Takes no argument, and never fails.
        let _ = operation(number::SCHED_OP, SCHEDOP_YIELD, &mut ());
    }
}

/// Sleeps until an event on one of the ports is pending or the guest's clock shows `until_ns`; may return early.
pub(crate) fn poll(ports: &[Port], until_ns: Option<u64>) {
    let ports = &ports[..ports.len().min(POLL_PORTS_MAX)];
    let mut argument = Poll {
        ports: ports.as_ptr().expose_provenance() as u64,
        nr_ports: ports.len() as u32,
        // Zero would mean for ever, and to Xen times are signed.
        timeout_ns: until_ns.map_or(0, |until_ns| arch::system_time_ns(until_ns).clamp(1, i64::MAX as u64)),
    };
    // A port that is not open makes the call fail at once: the caller finds nothing pending and looks again.
    let _ = operation(number::SCHED_OP, SCHEDOP_POLL, &mut argument);
    arch::woke();
}

/// Ends the domain.
pub(crate) fn shutdown(reason: ShutdownReason) -> ! {
    let _ = operation(number::SCHED_OP, SCHEDOP_SHUTDOWN, &mut Shutdown { reason });
    arch::stop()
}
