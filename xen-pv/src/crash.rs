//! The end of a guest that cannot go on: what happened, in plain text on the console, then shutdown with reason crash.

use core::fmt::Display;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use kernel::println;
use xen_sys::sched::ShutdownReason;

use crate::{console, memory, xen};

static CRASHING: AtomicBool = AtomicBool::new(false);

/// Reports a trap of the processor.
pub(crate) fn trap(name: &str, address: Option<usize>, state: &dyn Display) -> ! {
    begin();
    match address {
        Some(address) => println!("crash: {name} at address {address:#x}"),
        None => println!("crash: {name}"),
    }
    println!("{state}");
    end()
}

/// Reports a panic. Images carry no panic messages; `cargo xtask` finds the source line of the address.
///
/// That an allocation failed, and nobody could go on without it, is a panic too, and has figures to tell.
pub(crate) fn panicked(address: usize, state: &dyn Display) -> ! {
    begin();
    if let Some(wanted) = memory::refused_bytes() {
        let figures = memory::figures();
        println!(
            "crash: out of memory: {wanted} bytes wanted, {} of {} in use, {} at most so far",
            figures.heap_used_bytes, figures.heap_bytes, figures.heap_peak_bytes
        );
    }
    println!("crash: panic at {address:#x}");
    println!("{state}");
    end()
}

/// Reports that the stack is used up. `function` is an address in the function that was entered with `stack_pointer`.
pub(crate) fn stack_overflow(function: usize, stack_pointer: usize) -> ! {
    begin();
    println!("crash: stack overflow in the function at {function:#x}, stack pointer {stack_pointer:#x}");
    end()
}

/// Notes that a report begins. A fault within a report ends the domain at once, instead of reporting itself for ever.
fn begin() {
    if CRASHING.swap(true, Ordering::Relaxed) {
        xen::shutdown(ShutdownReason::Crash);
    }
}

fn end() -> ! {
    console::flush();
    xen::shutdown(ShutdownReason::Crash)
}

/// The compiler makes panics trap (`-Cpanic=immediate-abort`), and so never calls this; it must exist all the same.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    begin();
    println!("crash: panic");
    end()
}
