//! An entry of the grant table, and the hypervisor on another CPU that reorders accesses to memory.

use core::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::Arc;

use loom::sync::atomic::{AtomicU16, AtomicU32};
use loom::thread;
use xen_sys::grant_table::{GTF_PERMIT_ACCESS, GTF_READING, GTF_WRITING};
use xen_sys::types::Domid;

use super::Entry;
use crate::shared_page::model::{check, fails};

const BACKEND: Domid = Domid(3);
const FRAME: u32 = 0x1234;

/// An entry, and a word of its page.
#[derive(Default)]
struct ModelEntry {
    flags: AtomicU16,
    domid: AtomicU16,
    frame: AtomicU32,
    page: AtomicU32,
    fault: Fault,
}

/// What a guest could do wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// The flags are changed without an order.
    NoOrder,
    /// The entry becomes valid first.
    ValidFirst,
    /// The flags are looked at, and written then.
    TwoSteps,
}

impl Entry for ModelEntry {
    fn set_page(&self, to: Domid, frame: u32) {
        if self.fault == Fault::ValidFirst {
            self.flags.store(GTF_PERMIT_ACCESS, Release);
        }
        self.domid.store(to.0, Relaxed);
        self.frame.store(frame, Relaxed);
    }

    fn load_flags(&self) -> u16 {
        self.flags.load(Relaxed)
    }

    fn store_flags(&self, flags: u16, order: Ordering) {
        self.flags.store(flags, if self.fault == Fault::NoOrder { Relaxed } else { order });
    }

    fn exchange_flags(&self, current: u16, new: u16, order: Ordering) -> Result<u16, u16> {
        match self.fault {
            Fault::TwoSteps => {
                self.flags.store(new, order);
                Ok(current)
            }
            Fault::NoOrder => self.flags.compare_exchange(current, new, Relaxed, Relaxed),
            _ => self.flags.compare_exchange(current, new, order, Relaxed),
        }
    }
}

impl ModelEntry {
    /// What the hypervisor does when the other domain copies or maps: marks the entry, if it grants anything, in one
    /// step.
    fn begin(&self) -> bool {
        let mark = |flags| (flags & GTF_PERMIT_ACCESS != 0).then_some(flags | GTF_READING | GTF_WRITING);
        self.flags.fetch_update(SeqCst, Relaxed, mark).is_ok()
    }

    /// What it does when the other domain is done.
    fn finish(&self) {
        self.flags.fetch_and(!(GTF_READING | GTF_WRITING), AcqRel);
    }
}

/// A page is granted while the other domain tries to reach it.
fn beginning(fault: Fault) {
    let entry = Arc::new(ModelEntry { fault, ..ModelEntry::default() });
    let hypervisor = Arc::clone(&entry);
    let hypervisor = thread::spawn(move || {
        if hypervisor.begin() {
            assert_eq!((hypervisor.domid.load(Relaxed), hypervisor.frame.load(Relaxed)), (BACKEND.0, FRAME));
        }
    });
    entry.fill(BACKEND, FRAME, GTF_PERMIT_ACCESS);
    hypervisor.join().expect("no fault");
}

/// Access ends while the other domain begins, writes to the page and is done.
fn end(fault: Fault) {
    let entry = Arc::new(ModelEntry { fault, ..ModelEntry::default() });
    entry.flags.store(GTF_PERMIT_ACCESS, Relaxed);
    let hypervisor = Arc::clone(&entry);
    let hypervisor = thread::spawn(move || {
        let began = hypervisor.begin();
        if began {
            hypervisor.page.store(1, Relaxed);
            hypervisor.finish();
        }
        began
    });
    let ended = entry.end();
    // What was ended is ours: what the other domain wrote has arrived, and nothing comes after it.
    let before = ended.then(|| entry.page.load(Relaxed));
    let began = hypervisor.join().expect("no fault");
    assert!(before.is_none_or(|before| before == u32::from(began)), "the page was given back and is in use");
    assert!(ended || entry.flags.load(Acquire) == GTF_PERMIT_ACCESS, "an entry that is in use stays as it was");
}

#[test]
fn the_hypervisor_finds_domain_and_page_of_every_entry_that_is_valid() {
    check(|| beginning(Fault::None));
}

#[test]
fn access_never_ends_in_the_moment_in_which_the_other_domain_begins() {
    check(|| end(Fault::None));
}

#[test]
fn a_guest_that_does_it_wrong_is_found_out() {
    assert!(fails(|| beginning(Fault::NoOrder)));
    assert!(fails(|| beginning(Fault::ValidFirst)));
    assert!(fails(|| end(Fault::NoOrder)));
    assert!(fails(|| end(Fault::TwoSteps)));
}
