//! The grant table: pages that another domain may reach, and how access ends.
//!
//! Implements version 1 of `xen/include/public/grant_table.h`. A [`Grant`] owns its page and its table entry. Ending
//! access gives the page back, or says [`Busy`] while the other domain reads, writes or maps it. A grant that is
//! dropped while busy is quarantined: page and entry are used for nothing, because the other side may still write there
//! (XSA-396), until the hypervisor's own mark in the entry says that it no longer can.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::slice;

use xen_sys::grant_table::{EntryV1, GTF_PERMIT_ACCESS, GTF_READONLY, RESERVED_ENTRIES};
use xen_sys::types::{Domid, GrantRef};

use crate::hypervisor::Hypervisor;
use crate::memory::{PAGE_SIZE, Page};
use crate::shared_page::{Shared, SharedPage};

mod entry;

use entry::{Entry, MappedEntry};

/// What the other domain may do with a page.
pub trait Access {
    /// Flags of the table entry.
    const FLAGS: u16;
}

/// The other domain may only read: the page stays ours to write through ordinary references.
#[derive(Debug)]
pub struct ReadOnly;
/// The other domain may read and write: the page can only be copied in and out.
#[derive(Debug)]
pub struct ReadWrite;

impl Access for ReadOnly {
    const FLAGS: u16 = GTF_PERMIT_ACCESS | GTF_READONLY;
}

impl Access for ReadWrite {
    const FLAGS: u16 = GTF_PERMIT_ACCESS;
}

/// A page could not be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(target_os = "none", derive(defmt::Format))]
pub enum Error {
    /// No entry of the table is free.
    TableFull,
    /// The page's frame number does not fit into a version 1 entry: the machine has memory above 16 TiB.
    FrameTooHigh,
}

/// The other domain still reads, writes or maps the page.
#[derive(Debug)]
pub struct Busy<A: Access>(pub Grant<A>);

/// This domain's grant table. A value is a handle: cloning it names the same table, which is never freed.
#[derive(Debug, Clone)]
pub struct GrantTable<H> {
    hypervisor: H,
    table: &'static Table,
}

#[derive(Debug)]
struct Table {
    entries: NonNull<EntryV1>,
    count: u32,
    /// One bit an entry, set while it is taken.
    taken: RefCell<Vec<u32>>,
    /// What was dropped while busy.
    quarantine: RefCell<Vec<(ManuallyDrop<Page>, GrantRef)>>,
}

impl<H: Hypervisor> GrantTable<H> {
    /// The table whose `count` entries lie at `entries`; the reserved ones are left alone.
    ///
    /// # Safety
    /// `entries` must be the mapped frames of this domain's grant table, version 1, in their order, readable and
    /// writable for ever, and nothing else may write entries that are not reserved.
    #[must_use]
    pub unsafe fn new(hypervisor: H, entries: NonNull<EntryV1>, count: u32) -> Self {
        let mut taken = alloc::vec![0u32; count.div_ceil(32) as usize];
        if let Some(first) = taken.first_mut() {
            *first = (1 << RESERVED_ENTRIES) - 1;
        }
        let table = Table { entries, count, taken: RefCell::new(taken), quarantine: RefCell::default() };
        Self { hypervisor, table: Box::leak(Box::new(table)) }
    }

    /// Lets domain `to` reach `page`.
    ///
    /// # Errors
    /// Why it cannot; the page is freed.
    pub fn grant<A: Access>(&self, page: Page, to: Domid) -> Result<Grant<A>, Error> {
        let frame = u32::try_from(self.hypervisor.gfn(&page).0).map_err(|_| Error::FrameTooHigh)?;
        let reference = self.table.claim().ok_or(Error::TableFull)?;
        self.table.entry(reference).fill(to, frame, A::FLAGS);
        Ok(Grant { page: ManuallyDrop::new(page), reference, table: self.table, access: PhantomData })
    }

    /// Grants that were dropped while the other domain still used them; each keeps its page and entry.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        self.table.quarantine.borrow().len()
    }

    /// Frees what is quarantined and no longer in use.
    pub fn sweep(&self) {
        self.table.quarantine.borrow_mut().retain_mut(|(page, reference)| {
            let ended = self.table.entry(*reference).end();
            if ended {
                self.table.release(*reference);
                // SAFETY: the other domain has lost the page, and it leaves the list, so it is dropped once.
                unsafe { ManuallyDrop::drop(page) };
            }
            !ended
        });
    }

    /// Entries that can still be granted.
    #[must_use]
    pub fn free_entries(&self) -> u32 {
        let taken = self.table.taken.borrow();
        self.table.count - taken.iter().map(|word| word.count_ones()).sum::<u32>()
    }
}

impl Table {
    /// Takes a free entry.
    fn claim(&self) -> Option<GrantRef> {
        let mut taken = self.taken.borrow_mut();
        let index = taken.iter().position(|word| *word != u32::MAX)?;
        let word = taken.get_mut(index)?;
        let bit = word.trailing_ones();
        let reference = u32::try_from(index).ok()? * 32 + bit;
        if reference >= self.count {
            return None;
        }
        *word |= 1 << bit;
        Some(GrantRef(reference))
    }

    /// Puts an entry back among the free ones.
    fn release(&self, reference: GrantRef) {
        if let Some(word) = self.taken.borrow_mut().get_mut((reference.0 / 32) as usize) {
            *word &= !(1 << (reference.0 % 32));
        }
    }

    fn entry(&self, reference: GrantRef) -> MappedEntry {
        assert!(reference.0 < self.count);
        // SAFETY: the entry is one of the `count` that `GrantTable::new` was promised.
        let address = unsafe { self.entries.add(reference.0 as usize) };
        // SAFETY: as promised there, it is mapped for ever, and nobody but this table changes it.
        unsafe { MappedEntry::new(address) }
    }
}

/// A page that another domain may reach, together with its entry of the grant table.
///
/// It owns both and cannot be copied:
///
/// ```compile_fail,E0382
/// fn twice<A: xen_pv::grant_table::Access>(grant: xen_pv::grant_table::Grant<A>) {
///     let first = grant;
///     drop(grant);
///     drop(first);
/// }
/// ```
///
/// No reference into a page that the other domain can write is to be had:
///
/// ```compile_fail,E0599
/// fn look(grant: &mut xen_pv::grant_table::Grant<xen_pv::grant_table::ReadWrite>) -> &mut [u8; 4096] {
///     grant.bytes_mut()
/// }
/// ```
#[derive(Debug)]
pub struct Grant<A: Access> {
    page: ManuallyDrop<Page>,
    reference: GrantRef,
    table: &'static Table,
    access: PhantomData<A>,
}

impl<A: Access> Grant<A> {
    /// By what the other domain names the page.
    #[must_use]
    pub fn reference(&self) -> GrantRef {
        self.reference
    }

    /// Ends access and gives the page back; there is no using the grant after that:
    ///
    /// ```compile_fail,E0382
    /// use xen_pv::{grant_table::{Grant, ReadWrite}, shared_page::Shared};
    /// fn late(grant: Grant<ReadWrite>) -> u32 {
    ///     let _page = grant.end();
    ///     grant.shared().read(0)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Busy`] with the grant, which is as it was, while the other domain still reads, writes or maps the page.
    pub fn end(self) -> Result<Page, Busy<A>> {
        if !self.table.entry(self.reference).end() {
            return Err(Busy(self));
        }
        let mut ended = ManuallyDrop::new(self);
        ended.table.release(ended.reference);
        // SAFETY: `ended` is never dropped nor used again, so its page is taken once.
        Ok(unsafe { ManuallyDrop::take(&mut ended.page) })
    }
}

impl Shared for Grant<ReadWrite> {
    fn shared(&self) -> SharedPage<'_> {
        // SAFETY: the page is mapped while the grant is borrowed, and a `Grant<ReadWrite>` lends no reference into it.
        unsafe { SharedPage::new(self.page.address()) }
    }
}

impl Grant<ReadOnly> {
    /// The page's bytes, which only this domain writes.
    pub fn bytes_mut(&mut self) -> &mut [u8; PAGE_SIZE] {
        // SAFETY: the page belongs to the grant, which is borrowed for as long as the reference lives, and the other
        // domain can only read.
        unsafe { self.page.address().cast().as_mut() }
    }

    /// The bytes of pages each of which lies right behind the one before, as one piece.
    ///
    /// # Panics
    /// When they do not lie so, or there is none.
    pub fn adjacent_bytes_mut(pages: &mut [Self]) -> &mut [u8] {
        let adjacent =
            |pair: &[Self]| pair[0].page.address().addr().get() + PAGE_SIZE == pair[1].page.address().addr().get();
        assert!(!pages.is_empty() && pages.windows(2).all(adjacent));
        // SAFETY: as in `bytes_mut` for each page, and that they are one piece was just checked.
        unsafe { slice::from_raw_parts_mut(pages[0].page.address().as_ptr(), pages.len() * PAGE_SIZE) }
    }
}

impl<A: Access> Drop for Grant<A> {
    // Inlined, each use would cost a hundred bytes.
    #[inline(never)]
    fn drop(&mut self) {
        if self.table.entry(self.reference).end() {
            self.table.release(self.reference);
            // SAFETY: the grant is being dropped, so its page is taken once.
            unsafe { ManuallyDrop::drop(&mut self.page) };
        } else {
            // SAFETY: the grant is being dropped, so its page is taken once.
            let page = ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut self.page) });
            // The entry stays taken.
            self.table.quarantine.borrow_mut().push((page, self.reference));
        }
    }
}
