//! defmt on the console, and what it needs of its environment.

use core::cell::RefCell;

use defmt::Encoder;
use kernel::console::{self, FRAME_START};

use crate::arch;
use crate::single_cpu::SingleCpu;

#[defmt::global_logger]
struct Logger;

static ENCODER: SingleCpu<RefCell<Encoder>> = SingleCpu::new(RefCell::new(Encoder::new()));

// SAFETY: a guest has one thread, so frames never interleave: `acquire` and `release` have nobody to exclude.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        console::write(&[FRAME_START]);
        ENCODER.get().borrow_mut().start_frame(console::write);
    }

    unsafe fn flush() {
        crate::console::flush();
    }

    unsafe fn release() {
        ENCODER.get().borrow_mut().end_frame(console::write);
    }

    unsafe fn write(bytes: &[u8]) {
        ENCODER.get().borrow_mut().write(bytes, console::write);
    }
}

defmt::timestamp!("{=u64:us}", arch::now_ns() / 1000);

/// A guest has one virtual CPU and is never interrupted: every section is critical.
struct NeverInterrupted;
critical_section::set_impl!(NeverInterrupted);

// SAFETY: nothing can run between `acquire` and `release` but their caller.
unsafe impl critical_section::Impl for NeverInterrupted {
    unsafe fn acquire() {}

    unsafe fn release(_state: ()) {}
}
