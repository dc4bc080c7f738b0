//! One entry of the grant table: how it becomes valid, and how access ends.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use xen_sys::grant_table::{EntryV1, GTF_INVALID, GTF_READING, GTF_WRITING};
use xen_sys::types::Domid;

/// The fields of an entry, which the hypervisor looks at and changes at any time, and what is done with them.
pub(super) trait Entry {
    /// Says who may reach which page. The hypervisor looks at it once the flags make the entry valid.
    fn set_page(&self, to: Domid, frame: u32);

    /// Reads the flags.
    fn load_flags(&self) -> u16;

    /// Writes the flags.
    fn store_flags(&self, flags: u16, order: Ordering);

    /// Replaces the flags if they are `current`, with this order on success.
    ///
    /// # Errors
    /// The flags if they are others; now and then those that were expected.
    fn exchange_flags(&self, current: u16, new: u16, order: Ordering) -> Result<u16, u16>;

    /// Makes an entry valid.
    fn fill(&self, to: Domid, frame: u32, flags: u16) {
        self.set_page(to, frame);
        // Release: the hypervisor sees domain and frame before it sees the entry become valid.
        self.store_flags(flags, Ordering::Release);
    }

    /// Takes access away, or says that it is in use. Never tests first and ends then: between the two the other domain
    /// could begin.
    fn end(&self) -> bool {
        let mut current = self.load_flags();
        while current & (GTF_READING | GTF_WRITING) == 0 {
            // SeqCst: what we do with the page afterwards happens after the other domain lost it.
            match self.exchange_flags(current, GTF_INVALID, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(changed) => current = changed,
            }
        }
        false
    }
}

/// An entry of a table that is mapped for ever.
pub(super) struct MappedEntry(NonNull<EntryV1>);

impl MappedEntry {
    /// # Safety
    /// The entry must be mapped, readable and writable, for ever, and belong to whoever has this value.
    pub(super) unsafe fn new(address: NonNull<EntryV1>) -> Self {
        Self(address)
    }

    fn flags(&self) -> &AtomicU16 {
        // SAFETY: `new` promised that the field is mapped; it is aligned, and accessed by atomic instructions only, on
        // both sides.
        unsafe { AtomicU16::from_ptr(&raw mut (*self.0.as_ptr()).flags) }
    }
}

impl Entry for MappedEntry {
    fn set_page(&self, to: Domid, frame: u32) {
        let entry = self.0.as_ptr();
        // SAFETY: `new` promised that the entry is ours and mapped; the hypervisor does not read it yet.
        unsafe { (&raw mut (*entry).domid).write_volatile(to) };
        // SAFETY: as above.
        unsafe { (&raw mut (*entry).frame).write_volatile(frame) };
    }

    fn load_flags(&self) -> u16 {
        self.flags().load(Ordering::Relaxed)
    }

    fn store_flags(&self, flags: u16, order: Ordering) {
        self.flags().store(flags, order);
    }

    fn exchange_flags(&self, current: u16, new: u16, order: Ordering) -> Result<u16, u16> {
        self.flags().compare_exchange_weak(current, new, order, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::{Entry, MappedEntry};
    use core::ptr::NonNull;
    use core::sync::atomic::Ordering;
    use xen_sys::grant_table::{EntryV1, GTF_INVALID, GTF_PERMIT_ACCESS, GTF_READING};
    use xen_sys::types::Domid;

    /// The hypervisor has marked the entry since its flags were looked at. What the model takes for one step is one.
    #[test]
    fn flags_that_were_changed_meanwhile_are_not_overwritten() {
        let mut memory = EntryV1 { flags: GTF_PERMIT_ACCESS | GTF_READING, domid: Domid(3), frame: 4 };
        // SAFETY: the entry lives as long as the test, which does not use it otherwise.
        let entry = unsafe { MappedEntry::new(NonNull::from(&mut memory)) };
        let changed = entry.exchange_flags(GTF_PERMIT_ACCESS, GTF_INVALID, Ordering::SeqCst);
        assert_eq!(changed, Err(GTF_PERMIT_ACCESS | GTF_READING));
        assert_eq!(entry.load_flags(), GTF_PERMIT_ACCESS | GTF_READING);
        assert!(!entry.end());
        entry.store_flags(GTF_PERMIT_ACCESS, Ordering::SeqCst);
        assert!(entry.end());
        assert_eq!(entry.load_flags(), GTF_INVALID);
    }
}
