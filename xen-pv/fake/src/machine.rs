//! One domain with its store and its backends, and the loop that lets them all run.

use std::future::Future;

use xen_pv::event_channel::Events;
use xen_pv::grant_table::GrantTable;
use xen_pv::hypervisor::Hypervisor;
use xen_pv::memory::Page;
use xen_pv::netfront::{Buffers, Choice, Device, Pacing, Setup, netfront};
use xen_pv::shared_page::SharedPage;
use xen_pv::xenstore::Client;
use xen_sys::types::Domid;

use crate::tasks::Tasks;
use crate::{FakeXen, Netback, Store};

/// The guest's number.
pub const GUEST: Domid = Domid(7);
/// Turns after which a machine that does not come to rest is taken to run in circles.
const TURNS_MAX: usize = 10_000;

/// A machine with one guest.
#[derive(Debug)]
pub struct Machine {
    /// The hypervisor.
    pub xen: FakeXen,
    /// The guest's event channels.
    pub events: Events<FakeXen>,
    /// The guest's grant table.
    pub grants: GrantTable<FakeXen>,
    /// The store, as the control domain sees it.
    pub store: Store,
    /// The guest's connection to the store.
    pub client: Client<FakeXen>,
    /// What runs in the guest.
    pub tasks: Tasks,
    /// The network backend, while there is one.
    pub netback: Option<Netback>,
    /// The backends of further cards.
    pub others: Vec<Netback>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine whose guest is connected to the store and does nothing else.
    #[must_use]
    pub fn new() -> Self {
        let xen = FakeXen::new(1024);
        let events = Events::new(xen.clone());
        let (entries, count) = xen.grant_table();
        // SAFETY: the table is leaked, and only the hypervisor changes it besides.
        let grants = unsafe { GrantTable::new(xen.clone(), entries, count) };
        let page = Page::allocate().unwrap_or_else(|| panic!("no memory"));
        let address = page.address();
        page.leak();
        // SAFETY: the page is leaked, so it stays mapped, and nobody refers into it.
        let page = unsafe { SharedPage::new(address) };
        let port = xen.allocate_unbound(Domid(0)).unwrap_or_else(|error| panic!("{error}"));
        let store = Store::new(xen.clone(), page, port, GUEST);
        let client = Client::new(page, events.bind(port));
        let mut tasks = Tasks::default();
        tasks.spawn(async move { client.run().await });
        Self { xen, events, grants, store, client, tasks, netback: None, others: Vec::new() }
    }

    /// Lets everything run until nothing has anything to do.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn settle(&mut self) {
        self.settle_within(TURNS_MAX);
    }

    /// As [`settle`](Self::settle), in no more than `turns`.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn settle_within(&mut self, turns: usize) {
        for _ in 0..turns {
            let mut progress = self.turn_of_the_guest();
            for netback in self.netback.iter_mut().chain(&mut self.others) {
                progress |= netback.step(&mut self.store);
            }
            if !progress {
                return;
            }
        }
        panic!("the machine does not come to rest");
    }

    /// Lets only the guest and the store go on, one step; says whether they had anything to do.
    pub fn turn_of_the_guest(&mut self) -> bool {
        let mut progress = self.tasks.run();
        progress |= self.store.serve();
        progress |= self.events.dispatch() > 0;
        progress
    }

    /// Runs a future to its end.
    ///
    /// # Panics
    /// When it waits for something that never comes.
    pub fn run<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let result = self.tasks.spawn_for(future);
        self.settle();
        let value = result.borrow_mut().take();
        value.unwrap_or_else(|| panic!("the future waits for ever"))
    }

    /// Starts the guest's network card and returns the half that the stack drives.
    pub fn start_netfront(&mut self, buffers: Buffers) -> Device<FakeXen> {
        self.start_card(Setup { buffers, pacing: Pacing::shared_cpu(), choice: Choice::First })
    }

    /// As [`start_netfront`](Self::start_netfront), with all that can be said of it.
    pub fn start_card(&mut self, setup: Setup) -> Device<FakeXen> {
        let (device, driver) = netfront(self.events, self.grants.clone(), self.client, setup);
        self.tasks.spawn(async move { driver.run().await });
        device
    }

    /// Attaches a network card, as the toolstack does, with a backend that starts at once.
    pub fn attach(&mut self, netback: Netback) {
        netback.create_directories(&mut self.store);
        self.netback = Some(netback);
    }

    /// Attaches a further network card, as the toolstack does, with a backend that starts at once.
    pub fn attach_other(&mut self, netback: Netback) {
        netback.create_directories(&mut self.store);
        self.others.push(netback);
    }

    /// Detaches the network card as the toolstack does: asks the backend to close, waits until it has, removes the
    /// directories.
    ///
    /// # Panics
    /// When the card does not close, or leaves pages granted.
    pub fn detach(&mut self) {
        let Some(netback) = self.netback.take() else { panic!("no card is attached") };
        self.others.push(netback);
        self.detach_other(self.others.len() - 1);
        if self.others.is_empty() {
            assert_eq!(self.xen.granted(), self.grants.quarantined(), "pages stay granted without a card");
        }
    }

    /// As [`detach`](Self::detach), one of the further cards.
    ///
    /// # Panics
    /// When the card does not close.
    pub fn detach_other(&mut self, index: usize) {
        self.others[index].request_close(&mut self.store);
        self.settle();
        let netback = self.others.remove(index);
        assert_eq!(netback.shown(&self.store), "6", "the card does not close");
        netback.remove_directories(&mut self.store);
        drop(netback);
        self.settle();
    }
}
