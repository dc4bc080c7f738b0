//! Pages of other domains, mapped where this domain has no memory.
//!
//! Each is mapped at a place of its own, which is used again. Before the domain is suspended all are unmapped: the
//! toolstack can save no page of another domain. What is left of them then is one page of this domain's own, so that
//! who still has one finds zeroes, as if the peer were gone, instead of nothing.
//!
//! Source: `xen/include/public/grant_table.h`, `GNTTABOP_map_grant_ref`.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr::NonNull;

use xen_sys::arch::hypercall3;
use xen_sys::grant_table::{
    GNTMAP_HOST_MAP, GNTMAP_READONLY, GNTST_GENERAL_ERROR, GNTST_NO_DEVICE_SPACE, GNTST_OKAY, GNTTABOP_MAP_GRANT_REF,
    GNTTABOP_UNMAP_GRANT_REF, MapGrantRef, UnmapGrantRef,
};
use xen_sys::number;
use xen_sys::types::{Domid, GrantRef, PAGE_SIZE};

use crate::arch;
use crate::hypervisor::{MapFor, MapPages, NotMapped};
use crate::memory::Page;
use crate::shared_page::{Shared, SharedPage};
use crate::single_cpu::SingleCpu;
use crate::xen::Xen;

/// Where pages are mapped and can be.
struct Places {
    free: Vec<usize>,
    /// Addresses and handles of what is mapped.
    used: Vec<(usize, u32)>,
    /// How often all were unmapped: what was mapped before is gone.
    generation: u32,
    /// What stands for a page that is gone.
    gone: Option<Page>,
}

static PLACES: SingleCpu<RefCell<Places>> =
    SingleCpu::new(RefCell::new(Places { free: Vec::new(), used: Vec::new(), generation: 0, gone: None }));

/// A page of another domain. Dropping it unmaps it.
#[derive(Debug)]
pub struct ForeignPage {
    address: usize,
    generation: u32,
}

/// Makes a grant operation with all its arguments. Their statuses say what came of each.
///
/// # Safety
/// The operation must take these, and what it changes in the address space must be the caller's alone.
unsafe fn operate<T>(operation: usize, arguments: &mut [T]) {
    let first = arguments.as_mut_ptr().expose_provenance();
    // SAFETY: the caller vouches for it. What fails as a whole leaves the statuses as they were: as failed.
    let _ = unsafe { hypercall3(number::GRANT_TABLE_OP, operation, first, arguments.len()) };
}

impl Places {
    /// A place for a page, unless there is no room.
    fn take(&mut self) -> Option<usize> {
        if self.free.is_empty() {
            let window = arch::memory::window::open()?;
            self.free.extend(window.step_by(PAGE_SIZE));
        }
        self.free.pop()
    }

    /// Unmaps pages. A place whose page the hypervisor does not let go of is not used again.
    fn unmap(&mut self, pages: &[(usize, u32)]) {
        let unmap = |(address, handle): &(usize, u32)| UnmapGrantRef {
            host_addr: *address as u64,
            dev_bus_addr: 0,
            handle: *handle,
            status: GNTST_GENERAL_ERROR,
        };
        let mut operations: Vec<_> = pages.iter().map(unmap).collect();
        // SAFETY: the operation takes these structures. Nobody looks at the places any more: their pages are being
        // dropped, or belong to a former generation from now on.
        unsafe { operate(GNTTABOP_UNMAP_GRANT_REF, &mut operations) };
        let done = operations.iter().filter(|operation| operation.status == GNTST_OKAY);
        self.free.extend(done.map(|operation| operation.host_addr as usize));
    }
}

impl MapPages for Xen {
    type Mapped = ForeignPage;

    fn map(&self, of: Domid, references: &[GrantRef], access: MapFor) -> Result<Vec<ForeignPage>, NotMapped> {
        let mut places = PLACES.get().borrow_mut();
        if places.gone.is_none() {
            places.gone = Page::allocate();
        }
        let flags = GNTMAP_HOST_MAP | if access == MapFor::Reading { GNTMAP_READONLY } else { 0 };
        let mut operations = Vec::with_capacity(references.len());
        for reference in references {
            let address = places.take().filter(|_| places.gone.is_some());
            operations.extend(address.map(|address| MapGrantRef {
                host_addr: address as u64,
                flags,
                reference: *reference,
                dom: of,
                status: GNTST_GENERAL_ERROR,
                handle: 0,
                dev_bus_addr: 0,
            }));
        }
        let mut outcome = Ok(());
        if operations.len() < references.len() {
            places.free.extend(operations.drain(..).map(|operation| operation.host_addr as usize));
            outcome = Err(NotMapped(GNTST_NO_DEVICE_SPACE));
        }
        // SAFETY: the operation takes these structures. The places are free, outside the guest's memory.
        unsafe { operate(GNTTABOP_MAP_GRANT_REF, &mut operations) };
        let mut pages = Vec::with_capacity(operations.len());
        let generation = places.generation;
        for MapGrantRef { host_addr, handle, status, .. } in operations {
            let address = host_addr as usize;
            if status == GNTST_OKAY {
                places.used.push((address, handle));
                pages.push(ForeignPage { address, generation });
            } else {
                places.free.push(address);
                outcome = Err(NotMapped(status));
            }
        }
        // Those that were mapped are unmapped when they are dropped.
        drop(places);
        outcome.map(|()| pages)
    }
}

impl Shared for ForeignPage {
    fn shared(&self) -> SharedPage<'_> {
        let places = PLACES.get().borrow();
        let gone = if self.generation == places.generation { None } else { places.gone.as_ref().map(Page::address) };
        let address = gone.or(NonNull::new(core::ptr::with_exposed_provenance_mut(self.address)));
        let Some(address) = address else { unreachable!("pages are not mapped at 0") };
        // SAFETY: the page is mapped until it is dropped, or until it is gone, where another stands for it. It lies
        // outside all memory that references are made of. What is mapped for reading, nobody writes to: it would be a
        // fault that ends the guest.
        unsafe { SharedPage::new(address) }
    }
}

impl Drop for ForeignPage {
    fn drop(&mut self) {
        let mut places = PLACES.get().borrow_mut();
        let index = places.used.iter().position(|(address, _)| *address == self.address);
        if let Some(index) = index.filter(|_| self.generation == places.generation) {
            let page = places.used.swap_remove(index);
            places.unmap(&[page]);
        }
    }
}

/// Unmaps everything, before the domain is suspended.
pub(crate) fn let_go() {
    let mut places = PLACES.get().borrow_mut();
    let used = core::mem::take(&mut places.used);
    places.unmap(&used);
    places.generation += 1;
}
