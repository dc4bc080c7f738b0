//! Event channels: the only signal between domains.
//!
//! The guest is never interrupted. An event sets its port's pending bit in the shared info page; the idle loop calls
//! [`Events::dispatch`], which clears the bit of each bound port and wakes who waits for it.
//!
//! Implements the two-level ABI of `xen/include/public/event_channel.h`. Nothing is ever delivered: on x86 the virtual
//! CPU's mask is set from the beginning, on ARM the CPU's own, and a pending upcall stays pending.

use alloc::boxed::Box;
#[cfg(feature = "vchan")]
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use xen_sys::sched::POLL_PORTS_MAX;
use xen_sys::types::{Domid, Port};

use crate::hypervisor::{Error, Hypervisor};
use crate::ring::{Idle, Notify};

/// All event channels of this domain. A value is a handle: a copy names the same table, which is never freed.
#[derive(Debug)]
pub struct Events<H: 'static> {
    shared: &'static Shared<H>,
}

impl<H> Clone for Events<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Events<H> {}

struct Shared<H> {
    hypervisor: H,
    bound: RefCell<Vec<Option<Slot>>>,
}

/// How many event channels a guest may have besides the console's: it sleeps on all of them at once. Without channels to
/// other domains there are no more than the store's and two of each card's. Each wake-up clears four bytes for each.
pub const PORTS_MAX: usize = if cfg!(feature = "vchan") { POLL_PORTS_MAX - 1 } else { 15 };

/// A port that is never open. Source: `xen/common/event_channel.c`, which reserves port 0.
const NOBODYS: Port = Port(0);

struct Slot {
    /// [`NOBODYS`] once it was another domain's, before this one was resumed.
    port: Port,
    /// What is still to be said to the other end before this domain is suspended.
    #[cfg(feature = "vchan")]
    farewell: Option<Rc<dyn Fn()>>,
    /// An event came since the last `take`.
    fired: bool,
    waker: Option<Waker>,
}

/// What a handle stands for.
impl<H> fmt::Debug for Shared<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shared")
    }
}

impl<H> Shared<H> {
    fn port(&self, index: usize) -> Port {
        self.bound.borrow().get(index).and_then(Option::as_ref).map_or(NOBODYS, |slot| slot.port)
    }
}

impl<H: Hypervisor> Events<H> {
    /// No channel is bound yet.
    #[must_use]
    pub fn new(hypervisor: H) -> Self {
        Self { shared: Box::leak(Box::new(Shared { hypervisor, bound: RefCell::new(Vec::new()) })) }
    }

    /// Binds a port that exists already, such as xenstore's. It stays open when the channel is dropped.
    #[must_use]
    pub fn bind(&self, port: Port) -> EventChannel<H> {
        self.insert(port, false)
    }

    /// Opens a new port for domain `remote`. It is closed when the channel is dropped.
    ///
    /// # Errors
    /// The hypervisor's error; [`Error::NoSpace`] also when there are [`PORTS_MAX`].
    pub fn allocate(&self, remote: Domid) -> Result<EventChannel<H>, Error> {
        self.has_room()?;
        let port = self.shared.hypervisor.allocate_unbound(remote)?;
        Ok(self.insert(port, true))
    }

    /// Opens a new port that is bound to `theirs`, which domain `remote` has opened. It is closed when the channel is
    /// dropped.
    ///
    /// # Errors
    /// As those of [`allocate`](Self::allocate).
    pub fn bind_interdomain(&self, remote: Domid, theirs: Port) -> Result<EventChannel<H>, Error> {
        self.has_room()?;
        let port = self.shared.hypervisor.bind_interdomain(remote, theirs)?;
        Ok(self.insert(port, true))
    }

    /// The guest's clock, in nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.shared.hypervisor.now_ns()
    }

    /// Refuses what could not be slept on.
    fn has_room(&self) -> Result<(), Error> {
        let bound = self.shared.bound.borrow().iter().flatten().count();
        if bound < PORTS_MAX { Ok(()) } else { Err(Error::NoSpace) }
    }

    fn insert(&self, port: Port, closes: bool) -> EventChannel<H> {
        let slot = Slot {
            port,
            #[cfg(feature = "vchan")]
            farewell: None,
            fired: false,
            waker: None,
        };
        let slot = Some(slot);
        let mut bound = self.shared.bound.borrow_mut();
        let index = match bound.iter().position(Option::is_none) {
            Some(index) => {
                bound[index] = slot;
                index
            }
            None => {
                bound.push(slot);
                bound.len() - 1
            }
        };
        EventChannel { shared: self.shared, index, closes }
    }

    /// Clears the pending bit of each bound port and wakes who waits for it; returns the number of events.
    ///
    /// The work is bounded by the number of bound ports, however often they fire.
    pub fn dispatch(&self) -> usize {
        let mut bound = self.shared.bound.borrow_mut();
        let mut count = 0;
        for slot in bound.iter_mut().flatten() {
            if self.shared.hypervisor.take_pending(slot.port) {
                count += 1;
                slot.fired = true;
                if let Some(waker) = slot.waker.take() {
                    waker.wake();
                }
            }
        }
        count
    }

    /// Says to all other ends what there is to say before this domain is suspended. Who comes back finds nobody.
    #[cfg(feature = "vchan")]
    pub fn say_farewell(&self) {
        let mut bound = self.shared.bound.borrow_mut();
        for slot in bound.iter_mut().flatten() {
            if let Some(farewell) = slot.farewell.take() {
                farewell();
                // Who is gone already need not be told.
                let _ = self.shared.hypervisor.notify(slot.port);
            }
        }
    }

    /// Forgets all ports, which were another domain's: this one was resumed. Who has a channel that lives on gives it
    /// its new port with [`EventChannel::rebind`]; on the others no event comes any more.
    pub fn forget_all(&self) {
        for slot in self.shared.bound.borrow_mut().iter_mut().flatten() {
            slot.port = NOBODYS;
        }
    }

    /// Copies the bound ports into `destination` and returns how many there are: what to poll for.
    ///
    /// # Panics
    /// When they do not find room: events on one that is left out would not end a sleep.
    pub fn ports(&self, destination: &mut [Port]) -> usize {
        let bound = self.shared.bound.borrow();
        let mut count = 0;
        for slot in bound.iter().flatten().filter(|slot| slot.port != NOBODYS) {
            let Some(place) = destination.get_mut(count) else { panic!("{:?} finds no room to be polled", slot.port) };
            *place = slot.port;
            count += 1;
        }
        count
    }
}

/// One end of an event channel.
///
/// It owns the port and cannot be copied:
///
/// ```compile_fail,E0382
/// fn twice<H: xen_pv::hypervisor::Hypervisor>(channel: xen_pv::event_channel::EventChannel<H>) {
///     let first = channel;
///     drop(channel);
///     drop(first);
/// }
/// ```
#[derive(Debug)]
pub struct EventChannel<H: Hypervisor> {
    shared: &'static Shared<H>,
    index: usize,
    closes: bool,
}

impl<H: Hypervisor> EventChannel<H> {
    /// The number by which both the hypervisor and the other domain name this end.
    #[must_use]
    pub fn port(&self) -> Port {
        self.shared.port(self.index)
    }

    /// Goes on with another port, after [`Events::forget_all`].
    pub fn rebind(&self, port: Port) {
        if let Some(Some(slot)) = self.shared.bound.borrow_mut().get_mut(self.index) {
            slot.port = port;
        }
    }

    /// Has this done before the domain is suspended; then the other end gets an event.
    #[cfg(feature = "vchan")]
    pub fn set_farewell(&self, farewell: Rc<dyn Fn()>) {
        if let Some(Some(slot)) = self.shared.bound.borrow_mut().get_mut(self.index) {
            slot.farewell = Some(farewell);
        }
    }

    /// Sends an event to the other end.
    ///
    /// That the other end is gone shows in its device state, and so is not an error here.
    pub fn notify(&self) {
        let _ = self.shared.hypervisor.notify(self.port());
    }

    /// Whether there is another end.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.port() != NOBODYS && self.shared.hypervisor.is_bound(self.port())
    }

    /// Sends an event if the push of a ring asked for it.
    pub fn deliver(&self, notify: Notify) {
        if notify.requested() {
            self.notify();
        }
    }

    /// Lets the other end's domain run first, if it waits for this CPU.
    pub fn yield_cpu(&self) {
        self.shared.hypervisor.yield_cpu();
    }

    /// Has `waker` woken by the next event. Only the last waker counts, and it is woken once.
    ///
    /// For streams of bytes, which look at their indices after this call. A ring sleeps with [`sleep`](Self::sleep).
    pub fn register(&self, waker: &Waker) {
        if let Some(Some(slot)) = self.shared.bound.borrow_mut().get_mut(self.index) {
            match &mut slot.waker {
                Some(present) => present.clone_from(waker),
                empty => *empty = Some(waker.clone()),
            }
        }
    }

    /// Has `waker` woken by the event that a ring's final check has asked for. Without one there is no sleeping:
    ///
    /// ```compile_fail,E0061
    /// use xen_pv::{event_channel::EventChannel, hypervisor::Hypervisor};
    /// fn doze<H: Hypervisor>(channel: &EventChannel<H>, waker: &core::task::Waker) {
    ///     channel.sleep(waker);
    /// }
    /// ```
    pub fn sleep(&self, waker: &Waker, _proof: Idle) {
        self.register(waker);
    }

    /// Says whether an event came since the last call, and forgets it.
    #[must_use]
    pub fn take(&self) -> bool {
        match self.shared.bound.borrow_mut().get_mut(self.index) {
            Some(Some(slot)) => core::mem::take(&mut slot.fired),
            _ => false,
        }
    }

    /// Waits for an event, or returns at once when one came since the last `take` or `wait`.
    pub async fn wait(&self) {
        poll_fn(|context| {
            if self.take() {
                return Poll::Ready(());
            }
            self.register(context.waker());
            Poll::Pending
        })
        .await;
    }
}

impl<H: Hypervisor> Drop for EventChannel<H> {
    fn drop(&mut self) {
        let port = self.port();
        if let Some(slot) = self.shared.bound.borrow_mut().get_mut(self.index) {
            *slot = None;
        }
        if self.closes && port != NOBODYS {
            // The only error is that the port is not open, which is what was wanted.
            let _ = self.shared.hypervisor.close(port);
            // A bit that is still set must not look like an event of the port's next owner.
            let _ = self.shared.hypervisor.take_pending(port);
        }
    }
}
