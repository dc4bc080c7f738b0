//! Xen, as the drivers see a hypervisor, and what only the platform asks of it.

use core::sync::atomic::{AtomicU64, Ordering};

use xen_sys::arch::hypercall2;
use xen_sys::event_channel::{AllocUnbound, BindInterdomain, Close, EVTCHNSTAT_INTERDOMAIN, Send as SendEvent, Status};
use xen_sys::number;
use xen_sys::sched::{POLL_PORTS_MAX, Poll, SCHEDOP_SHUTDOWN, Shutdown, ShutdownReason};
use xen_sys::shared_info::EVENT_WORDS;
use xen_sys::types::{Domid, Gfn, Port};

use crate::arch;
use crate::hypercall::{Yield, operation};
use crate::hypervisor::{Error, Hypervisor};
use crate::memory::Page;

/// Xen, reached by hypercalls.
#[derive(Debug, Clone, Copy)]
pub struct Xen;

// SAFETY: the architecture's `gfn` is the number of the page's own frame.
unsafe impl Hypervisor for Xen {
    fn notify(&self, port: Port) -> Result<(), Error> {
        operation(&mut SendEvent { port }).map(|_| ())
    }

    fn allocate_unbound(&self, remote: Domid) -> Result<Port, Error> {
        let mut argument = AllocUnbound { dom: Domid::SELF, remote_dom: remote, port: Port(0) };
        operation(&mut argument)?;
        Ok(argument.port)
    }

    fn bind_interdomain(&self, remote: Domid, theirs: Port) -> Result<Port, Error> {
        let mut argument = BindInterdomain { remote_dom: remote, remote_port: theirs, local_port: Port(0) };
        operation(&mut argument)?;
        Ok(argument.local_port)
    }

    fn is_bound(&self, port: Port) -> bool {
        let (dom, remote_dom) = (Domid::SELF, Domid::SELF);
        let mut argument = Status { dom, port, status: 0, vcpu: 0, remote_dom, remote_port: Port(0) };
        operation(&mut argument).is_ok() && argument.status == EVTCHNSTAT_INTERDOMAIN
    }

    fn close(&self, port: Port) -> Result<(), Error> {
        operation(&mut Close { port }).map(|_| ())
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

    fn now_ns(&self) -> u64 {
        arch::now_ns()
    }

    fn yield_cpu(&self) {
        // Never fails.
        let _ = operation(&mut Yield);
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
    let _ = operation(&mut argument);
    arch::woke();
}

/// Ends the domain.
pub(crate) fn shutdown(reason: ShutdownReason) -> ! {
    let mut argument = Shutdown { reason };
    let argument = (&raw mut argument).expose_provenance();
    // SAFETY: the operation asks for this structure, which Xen only reads. Nothing is used after it, whatever the
    // reason.
    let _ = unsafe { hypercall2(number::SCHED_OP, SCHEDOP_SHUTDOWN, argument) };
    arch::stop()
}
