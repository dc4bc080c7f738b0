//! The fake hypervisor: one guest's grant table and event channels.
//!
//! It finds out what a real one cannot tell a guest: another domain that reaches for a page whose access was ended, a
//! page that is used for something new while it is granted, and access that is never ended. A copy is a copy, as by
//! `GNTTABOP_copy`; what is mapped is the guest's own memory, as rings need it, and each look at it checks the grant
//! again. The other way round, other domains offer pages to the guest, and know how often each is mapped.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use xen_pv::hypervisor::{Error, Hypervisor, MapFor, MapPages, NotMapped};
use xen_pv::memory::{PAGE_SIZE, Page};
use xen_pv::shared_page::{Shared, SharedPage};
use xen_sys::grant_table::{EntryV1, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING};
use xen_sys::types::{Domid, Gfn, GrantRef, Port};

/// The number of the first page that is named to the hypervisor, so that 0 is never a page.
const FIRST_GFN: u64 = 0x1000;

/// A handle to the fake hypervisor, as the guest holds it.
#[derive(Debug, Clone)]
pub struct FakeXen(Rc<State>);

#[derive(Debug)]
struct State {
    entries: NonNull<EntryV1>,
    entry_count: u32,
    /// Address of each page that the guest has named.
    pages: RefCell<Vec<NonNull<u8>>>,
    /// How often each entry is mapped.
    mapped: RefCell<BTreeMap<u32, u32>>,
    /// Pages of other domains, by who has granted them and as what.
    foreign: RefCell<BTreeMap<(u16, u32), Foreign>>,
    /// Ports that other domains have opened for the guest.
    offered: RefCell<Vec<(Domid, Port)>>,
    ports: RefCell<Vec<FakePort>>,
    /// Ports that a guest may have.
    port_limit: Cell<usize>,
    /// Only domain 0 may talk to the guest.
    forbids_guests: Cell<bool>,
    /// Hypercalls that sent an event.
    notifications: Cell<u32>,
    grants: Cell<u32>,
    yields: Cell<u32>,
    now_ns: Cell<u64>,
}

impl State {
    fn flags(&self, reference: GrantRef) -> &AtomicU16 {
        assert!(reference.0 < self.entry_count, "the reference {reference:?} is outside the grant table");
        // SAFETY: the entry is inside the leaked table.
        let entry = unsafe { self.entries.add(reference.0 as usize) };
        // SAFETY: the flags are the entry's first field, aligned, and only ever accessed atomically.
        unsafe { AtomicU16::from_ptr(entry.as_ptr().cast()) }
    }

    /// The entry's fields besides its flags.
    fn entry(&self, reference: GrantRef) -> EntryV1 {
        assert!(reference.0 < self.entry_count, "the reference {reference:?} is outside the grant table");
        // SAFETY: the entry is inside the leaked table.
        let entry = unsafe { self.entries.add(reference.0 as usize) };
        // SAFETY: there is one thread.
        unsafe { entry.as_ptr().read_volatile() }
    }

    /// Entries that grant something.
    fn granted(&self) -> impl Iterator<Item = GrantRef> {
        let all = (0..self.entry_count).map(GrantRef);
        all.filter(|reference| self.flags(*reference).load(Ordering::SeqCst) & GTF_PERMIT_ACCESS != 0)
    }
}

/// The end of a test, at which the guest must have ended all that it granted. What was mapped at any time is left out:
/// it may be in quarantine for good, which is for the test to judge.
impl Drop for State {
    fn drop(&mut self) {
        let mapped = self.mapped.borrow();
        let forgotten: Vec<_> = self.granted().filter(|reference| !mapped.contains_key(&reference.0)).collect();
        assert!(forgotten.is_empty() || std::thread::panicking(), "access was never ended: {forgotten:?}");
        let foreign = self.foreign.borrow();
        let kept: Vec<_> = foreign.iter().filter(|(_, page)| page.mapped > 0).map(|(name, _)| name).collect();
        assert!(kept.is_empty() || std::thread::panicking(), "pages of others stay mapped: {kept:?}");
    }
}

/// A page of another domain that it has granted to the guest.
#[derive(Debug)]
struct Foreign {
    page: Rc<Page>,
    writable: bool,
    /// How often the guest has it mapped.
    mapped: usize,
}

#[derive(Debug, Clone, Copy)]
struct FakePort {
    open: bool,
    remote: Domid,
    /// There is another end.
    bound: bool,
    /// The guest's pending bit.
    pending: bool,
    /// Events for the other end.
    outgoing: u32,
}

impl FakeXen {
    /// A hypervisor whose guest has a grant table of `entry_count` entries.
    #[must_use]
    pub fn new(entry_count: u32) -> Self {
        let zero = EntryV1 { flags: 0, domid: Domid(0), frame: 0 };
        // A real table is mapped for ever as well.
        let entries = Box::leak(vec![zero; entry_count as usize].into_boxed_slice());
        Self(Rc::new(State {
            entries: NonNull::from(entries).cast(),
            entry_count,
            pages: RefCell::default(),
            mapped: RefCell::default(),
            foreign: RefCell::default(),
            offered: RefCell::default(),
            ports: RefCell::default(),
            port_limit: Cell::new(1024),
            forbids_guests: Cell::new(false),
            notifications: Cell::new(0),
            grants: Cell::new(0),
            yields: Cell::new(0),
            now_ns: Cell::new(0),
        }))
    }

    /// Where the guest's grant table is mapped, and its number of entries.
    #[must_use]
    pub fn grant_table(&self) -> (NonNull<EntryV1>, u32) {
        (self.0.entries, self.0.entry_count)
    }

    /// From now on the guest may have no more than `limit` ports.
    pub fn limit_ports(&self, limit: usize) {
        self.0.port_limit.set(limit);
    }

    /// From now on guests may not talk to each other, as under the security module SILO.
    pub fn forbid_guests(&self) {
        self.0.forbids_guests.set(true);
    }

    /// The guest goes on in another domain, after it was saved: of its ports only `kept` are open, with nothing
    /// pending, and its grant table is empty.
    ///
    /// # Panics
    /// When a page is still mapped: the backends of the domain before must be gone.
    pub fn resume(&self, kept: Port) {
        assert!(
            self.0.mapped.borrow().values().all(|count| *count == 0),
            "a backend of the domain before is still there"
        );
        for (number, port) in (1..).zip(self.0.ports.borrow_mut().iter_mut()) {
            *port = FakePort { open: number == kept.0, bound: number == kept.0, pending: false, outgoing: 0, ..*port };
        }
        (0..self.0.entry_count).for_each(|number| self.0.flags(GrantRef(number)).store(0, Ordering::SeqCst));
    }

    /// Number of ports that are open.
    #[must_use]
    pub fn open_ports(&self) -> usize {
        self.0.ports.borrow().iter().filter(|port| port.open).count()
    }

    /// Number of hypercalls by which the guest sent an event.
    #[must_use]
    pub fn notifications(&self) -> u32 {
        self.0.notifications.get()
    }

    /// Number of pages that the guest granted up to now: for each it asks for the page's number.
    #[must_use]
    pub fn grants(&self) -> u32 {
        self.0.grants.get()
    }

    /// How often the guest let others run first.
    #[must_use]
    pub fn yields(&self) -> u32 {
        self.0.yields.get()
    }

    /// Time passes on the guest's clock.
    pub fn advance(&self, time: Duration) {
        self.0.now_ns.set(self.0.now_ns.get() + time.as_nanos() as u64);
    }

    /// Sets the guest's pending bit, as the other end of the channel does.
    pub fn raise(&self, port: Port) {
        if let Some(port) = self.port_mut(port) {
            port.set(|port| port.pending = true);
        }
    }

    /// The other end of a port: says how many events the guest sent since the last call.
    #[must_use]
    pub fn take_outgoing(&self, port: Port) -> u32 {
        let mut count = 0;
        if let Some(port) = self.port_mut(port) {
            port.set(|port| count = std::mem::take(&mut port.outgoing));
        }
        count
    }

    /// The other end of a port appears or goes, as when a domain binds to it or dies.
    pub fn set_bound(&self, port: Port, bound: bool) {
        if let Some(port) = self.port_mut(port) {
            port.set(|port| port.bound = bound);
        }
    }

    /// Domain `by` opens a port for the guest.
    pub fn offer_port(&self, by: Domid, port: Port) {
        self.0.offered.borrow_mut().push((by, port));
    }

    /// Domain `by` grants a page of its own to the guest. Returns the page as that domain sees it.
    ///
    /// # Panics
    /// Without memory.
    pub fn offer_page(&self, by: Domid, reference: GrantRef, writable: bool) -> ForeignPage {
        let page = Rc::new(Page::allocate().unwrap_or_else(|| panic!("no memory")));
        let foreign = Foreign { page: Rc::clone(&page), writable, mapped: 0 };
        self.0.foreign.borrow_mut().insert((by.0, reference.0), foreign);
        ForeignPage(page)
    }

    /// Domain `by` grants a page no longer; what is mapped stays mapped.
    pub fn withdraw_page(&self, by: Domid, reference: GrantRef) {
        self.0.foreign.borrow_mut().retain(|name, page| *name != (by.0, reference.0) || page.mapped > 0);
    }

    /// How many pages of other domains the guest has mapped.
    #[must_use]
    pub fn foreign_mapped(&self) -> usize {
        self.0.foreign.borrow().values().map(|page| page.mapped).sum()
    }

    /// Who may bind to a port, if it is open.
    #[must_use]
    pub fn remote(&self, port: Port) -> Option<Domid> {
        let ports = self.0.ports.borrow();
        ports.get(port.0.checked_sub(1)? as usize).filter(|port| port.open).map(|port| port.remote)
    }

    /// Opens a port of the guest's.
    fn open(&self, remote: Domid, bound: bool) -> Result<Port, Error> {
        if self.0.forbids_guests.get() && remote != Domid(0) {
            return Err(Error::NotPermitted);
        }
        if self.open_ports() >= self.0.port_limit.get() {
            return Err(Error::NoSpace);
        }
        let mut ports = self.0.ports.borrow_mut();
        // Like Xen, the lowest number that is free. A pending bit may have survived its port.
        match ports.iter_mut().enumerate().find(|(_, port)| !port.open) {
            Some((index, port)) => {
                *port = FakePort { open: true, remote, bound, pending: port.pending, outgoing: 0 };
                Ok(Port(index as u32 + 1))
            }
            None => {
                ports.push(FakePort { open: true, remote, bound, pending: false, outgoing: 0 });
                Ok(Port(ports.len() as u32))
            }
        }
    }

    fn port_mut(&self, port: Port) -> Option<PortMut<'_>> {
        let index = port.0.checked_sub(1)? as usize;
        self.0.ports.borrow().get(index).filter(|port| port.open)?;
        Some(PortMut { xen: self, index })
    }

    /// Whether an entry grants anything.
    #[must_use]
    pub fn is_granted(&self, reference: GrantRef) -> bool {
        self.0.flags(reference).load(Ordering::SeqCst) & GTF_PERMIT_ACCESS != 0
    }

    /// Whether an entry lets domain `by` write.
    #[must_use]
    pub fn is_writable(&self, by: Domid, reference: GrantRef) -> bool {
        let entry = self.0.entry(reference);
        self.is_granted(reference) && entry.domid == by && entry.flags & GTF_READONLY == 0
    }

    /// Number of entries that grant something.
    #[must_use]
    pub fn granted(&self) -> usize {
        self.0.granted().count()
    }

    /// The page of an entry, for domain `by`.
    ///
    /// # Panics
    /// When access is not granted, or only for reading: the guest has ended it too early, or never began.
    fn page(&self, by: Domid, reference: GrantRef, write: bool) -> NonNull<u8> {
        let entry = self.0.entry(reference);
        assert!(entry.flags & GTF_PERMIT_ACCESS != 0, "{by:?} uses {reference:?}, which is not granted");
        assert_eq!(entry.domid, by, "{reference:?} is granted to another domain");
        assert!(!write || entry.flags & GTF_READONLY == 0, "{by:?} writes to {reference:?}, which is read-only");
        let index = u64::from(entry.frame) - FIRST_GFN;
        self.0.pages.borrow()[index as usize]
    }

    /// Maps a granted page for domain `by`, for writing unless it is granted read-only.
    ///
    /// # Panics
    /// When access is not granted.
    #[must_use]
    pub fn map(&self, by: Domid, reference: GrantRef) -> Mapping {
        let writable = self.0.entry(reference).flags & GTF_READONLY == 0;
        let address = self.page(by, reference, writable);
        let flags = if writable { GTF_READING | GTF_WRITING } else { GTF_READING };
        self.0.flags(reference).fetch_or(flags, Ordering::SeqCst);
        *self.0.mapped.borrow_mut().entry(reference.0).or_default() += 1;
        Mapping { xen: self.clone(), reference, address }
    }

    /// Takes back the marks of use that a test has set in an entry by itself.
    pub fn unmark(&self, reference: GrantRef) {
        self.0.flags(reference).fetch_and(!(GTF_READING | GTF_WRITING), Ordering::SeqCst);
    }

    /// Copies bytes out of a granted page, as `GNTTABOP_copy` does for domain `by`.
    ///
    /// # Panics
    /// When access is not granted, or the bytes are not within the page.
    #[must_use]
    pub fn copy_from(&self, by: Domid, reference: GrantRef, offset: usize, length: usize) -> Vec<u8> {
        assert!(offset + length <= PAGE_SIZE, "a copy across the end of the page");
        let address = self.page(by, reference, false);
        let mut bytes = vec![0; length];
        // SAFETY: the guest keeps a granted page mapped.
        unsafe { SharedPage::new(address) }.read_bytes(offset, &mut bytes);
        bytes
    }

    /// Copies bytes into a granted page, as `GNTTABOP_copy` does for domain `by`.
    ///
    /// # Panics
    /// When writing is not granted, or the bytes are not within the page.
    pub fn copy_to(&self, by: Domid, reference: GrantRef, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= PAGE_SIZE, "a copy across the end of the page");
        let address = self.page(by, reference, true);
        // SAFETY: the guest keeps a granted page mapped.
        unsafe { SharedPage::new(address) }.write_bytes(offset, bytes);
    }
}

/// A port that is known to be open.
struct PortMut<'x> {
    xen: &'x FakeXen,
    index: usize,
}

impl PortMut<'_> {
    fn set(&self, change: impl FnOnce(&mut FakePort)) {
        change(&mut self.xen.0.ports.borrow_mut()[self.index]);
    }
}

/// A granted page that another domain has mapped; dropping it unmaps it.
#[derive(Debug)]
pub struct Mapping {
    xen: FakeXen,
    reference: GrantRef,
    address: NonNull<u8>,
}

impl Shared for Mapping {
    fn shared(&self) -> SharedPage<'_> {
        assert!(self.xen.is_granted(self.reference), "{:?} was ended while it was mapped", self.reference);
        // SAFETY: the guest keeps a granted page mapped.
        unsafe { SharedPage::new(self.address) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let mut mapped = self.xen.0.mapped.borrow_mut();
        let count = mapped.entry(self.reference.0).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.xen.unmark(self.reference);
        }
    }
}

/// A page of another domain, as that domain sees it.
#[derive(Debug, Clone)]
pub struct ForeignPage(Rc<Page>);

impl Shared for ForeignPage {
    fn shared(&self) -> SharedPage<'_> {
        // SAFETY: the page lives as long as the borrow, and nothing refers into it.
        unsafe { SharedPage::new(self.0.address()) }
    }
}

/// A page of another domain that the guest has mapped; dropping it unmaps it.
#[derive(Debug)]
pub struct ForeignMapping {
    xen: FakeXen,
    name: (u16, u32),
    page: ForeignPage,
}

impl Shared for ForeignMapping {
    fn shared(&self) -> SharedPage<'_> {
        self.page.shared()
    }
}

impl Drop for ForeignMapping {
    fn drop(&mut self) {
        if let Some(page) = self.xen.0.foreign.borrow_mut().get_mut(&self.name) {
            page.mapped -= 1;
        }
    }
}

impl MapPages for FakeXen {
    type Mapped = ForeignMapping;

    fn map(&self, of: Domid, references: &[GrantRef], access: MapFor) -> Result<Vec<ForeignMapping>, NotMapped> {
        /// Source: `GNTST_bad_gntref`, `GNTST_permission_denied`.
        const BAD_REFERENCE: i16 = -3;
        const DENIED: i16 = -8;
        let mut mapped = Vec::new();
        for reference in references {
            let name = (of.0, reference.0);
            let mut foreign = self.0.foreign.borrow_mut();
            let outcome = match foreign.get_mut(&name) {
                None => Err(NotMapped(BAD_REFERENCE)),
                Some(page) if access == MapFor::Writing && !page.writable => Err(NotMapped(DENIED)),
                Some(page) => {
                    page.mapped += 1;
                    Ok(ForeignPage(Rc::clone(&page.page)))
                }
            };
            drop(foreign);
            mapped.push(ForeignMapping { xen: self.clone(), name, page: outcome? });
        }
        Ok(mapped)
    }
}

// SAFETY: a page has one number, by which the fake's other domains reach that page alone. There is one thread.
unsafe impl Hypervisor for FakeXen {
    fn notify(&self, port: Port) -> Result<(), Error> {
        self.0.notifications.set(self.0.notifications.get() + 1);
        self.port_mut(port).ok_or(Error::Invalid)?.set(|port| port.outgoing += 1);
        Ok(())
    }

    fn allocate_unbound(&self, remote: Domid) -> Result<Port, Error> {
        self.open(remote, false)
    }

    fn bind_interdomain(&self, remote: Domid, theirs: Port) -> Result<Port, Error> {
        let offered = self.0.offered.borrow().contains(&(remote, theirs));
        if offered { self.open(remote, true) } else { Err(Error::Invalid) }
    }

    fn is_bound(&self, port: Port) -> bool {
        let index = port.0.checked_sub(1).map(|index| index as usize);
        let ports = self.0.ports.borrow();
        index.and_then(|index| ports.get(index)).is_some_and(|port| port.open && port.bound)
    }

    fn close(&self, port: Port) -> Result<(), Error> {
        self.port_mut(port).ok_or(Error::Invalid)?.set(|port| port.open = false);
        Ok(())
    }

    /// # Panics
    /// When the page is granted already: it was given back and taken anew while another domain could still reach it.
    fn gfn(&self, page: &Page) -> Gfn {
        self.0.grants.set(self.0.grants.get() + 1);
        let mut pages = self.0.pages.borrow_mut();
        let known = pages.iter().position(|address| *address == page.address());
        let index = known.unwrap_or_else(|| {
            pages.push(page.address());
            pages.len() - 1
        });
        let gfn = FIRST_GFN + index as u64;
        let granted = self.0.granted().find(|reference| u64::from(self.0.entry(*reference).frame) == gfn);
        assert_eq!(granted, None, "a page is granted that is granted already");
        Gfn(gfn)
    }

    fn now_ns(&self) -> u64 {
        self.0.now_ns.get()
    }

    fn yield_cpu(&self) {
        self.0.yields.set(self.0.yields.get() + 1);
    }

    fn take_pending(&self, port: Port) -> bool {
        let mut ports = self.0.ports.borrow_mut();
        let index = port.0.checked_sub(1).map(|index| index as usize);
        index.and_then(|index| ports.get_mut(index)).is_some_and(|port| std::mem::take(&mut port.pending))
    }
}
