//! The log's end on the developer's machine.
//!
//! A log frame names its text by the address of a symbol, which only an image linked with `defmt.x` makes meaningful: a
//! process is linked to run anywhere in memory. So frames are counted and dropped here, and the count is told at the
//! end. What a developer should see on both platforms is printed with `kernel::println!`.

use std::sync::atomic::{AtomicUsize, Ordering};

static DROPPED: AtomicUsize = AtomicUsize::new(0);

#[defmt::global_logger]
struct Dropping;

// SAFETY: nothing is written anywhere, so no two writers can be in each other's way.
unsafe impl defmt::Logger for Dropping {
    fn acquire() {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }

    unsafe fn flush() {}

    unsafe fn release() {}

    unsafe fn write(_bytes: &[u8]) {}
}

defmt::timestamp!("");

/// Says how many frames were dropped, if any.
pub fn report_dropped() {
    let dropped = DROPPED.load(Ordering::Relaxed);
    if dropped > 0 {
        eprintln!("note: {dropped} log messages were not shown; an image's log is decoded by `cargo xtask boot`");
    }
}
