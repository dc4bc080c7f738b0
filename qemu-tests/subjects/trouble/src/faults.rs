//! The mistakes that no task survives.
//!
//! The compiler must not see what they are, or it would leave them out: addresses and sizes go through `black_box`.

use core::hint::black_box;
use core::ptr::with_exposed_provenance_mut;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::Fault;

/// A constant that lies in memory, for [`Fault::ConstantWrite`].
static CONSTANT: u8 = 7;

/// The instruction `ret` of x86; other processors get as far as to fetch it, too.
const RETURN: u8 = 0xc3;

/// Larger than the stack.
const LARGE_BYTES: usize = 1 << 20;

/// Larger than the memory of any guest here, and no larger than what a 32-bit CPU can ask for.
const HUGE_BYTES: usize = 1 << 30;

/// Makes the mistake. Returns only where the platform did not notice it.
pub(crate) fn make(fault: Fault) {
    match fault {
        Fault::None | Fault::Error | Fault::Deaf | Fault::Flood | Fault::Steps => {}
        Fault::Panic => panic!("the task was told to panic"),
        Fault::NullWrite => write(0),
        Fault::TextWrite => write(make as fn(Fault) as usize),
        Fault::ConstantWrite => write((&raw const CONSTANT).expose_provenance()),
        Fault::HeapExecute => execute_heap(),
        Fault::StackOverflow => drop(black_box(recurse(0))),
        Fault::LargeFrame => drop(black_box(large_frame())),
        Fault::HeapExhausted => exhaust(),
        Fault::HugeAllocation => drop(black_box(Vec::<u8>::with_capacity(black_box(HUGE_BYTES)))),
    }
}

fn write(address: usize) {
    let pointer = with_exposed_provenance_mut::<u8>(black_box(address));
    // SAFETY: none of the addresses is writable, so the write traps and the domain ends: no Rust code runs after it.
    unsafe { pointer.write_volatile(1) };
}

fn execute_heap() {
    let code = black_box(Box::new([RETURN; 16]));
    // SAFETY: a pointer to code has the size of one to data.
    let function = unsafe { core::mem::transmute::<*const [u8; 16], extern "C" fn()>(&raw const *code) };
    black_box(function)();
}

#[expect(unconditional_recursion, reason = "that is the mistake")]
fn recurse(depth: usize) -> usize {
    // So few words that no function is called to copy them: the stack would end in that one.
    let here = black_box([depth; 2]);
    // The addition after the call keeps it from becoming a jump.
    recurse(here[0] + 1) + here[1]
}

#[inline(never)]
fn large_frame() -> u8 {
    let large = black_box([1u8; LARGE_BYTES]);
    large[black_box(0)]
}

fn exhaust() {
    loop {
        core::mem::forget(black_box(Vec::<u8>::with_capacity(1000)));
    }
}
