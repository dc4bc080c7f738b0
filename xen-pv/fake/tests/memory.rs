//! What comes and goes leaves no memory behind.

use peak_alloc::PeakAlloc;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::{FakeXen, Netback};
use xen_pv::event_channel::Events;
use xen_sys::types::Domid;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Does something many times, of which the first may take memory for good; returns how much the others have taken.
fn grown(times: usize, mut repeated: impl FnMut()) -> usize {
    (0..8).for_each(|_| repeated());
    let before = ALLOCATED.current_usage();
    (0..times).for_each(|_| repeated());
    ALLOCATED.current_usage().saturating_sub(before)
}

/// One test, because the allocator counts for all threads.
#[test]
fn cards_and_channels_that_come_and_go_leave_no_memory_behind() {
    let events = Events::new(FakeXen::new(16));
    assert_eq!(grown(1000, || drop(events.allocate(Domid(0)))), 0, "places of channels that are gone");

    let mut bed = Bed::connected();
    let per_card = grown(200, || {
        bed.assert_works();
        bed.machine.detach();
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        bed.machine.attach(netback);
        bed.machine.settle();
    }) / 200;
    // The fake notes each page that it ever was told of.
    let noted = (usize::from(BUFFERS.receive) + usize::from(BUFFERS.transmit)) * size_of::<usize>();
    assert!(per_card < noted, "{per_card} bytes for each card");
}
