//! The executor's main loop: run what is ready, then let the platform wait.
//!
//! Everything in a guest runs on one thread and is never interrupted, so a wake-up can only come from a task that runs
//! or from the platform's `dispatch`, which turns events and timers into wake-ups.

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

/// So often tasks that are ready run before the clock is read again.
const TURNS_WITHOUT_CLOCK: u32 = 4;

/// Set when a task has become ready since the last look.
static READY: AtomicBool = AtomicBool::new(false);

/// What embassy-executor calls when a task becomes ready.
// SAFETY: this is the one definition of the symbol that embassy-executor asks for, with its signature.
#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    READY.store(true, Ordering::Relaxed);
}

/// Runs tasks for ever. `spawn` starts the first ones.
///
/// `dispatch` turns events and due timers into wake-ups and says when the next timer is due; `sleep` waits for that
/// time or an event. `sleep` is only called when no task is ready, after a `dispatch` that made none ready. It must not
/// look at the timers itself: one that it found due would wake a task that then waits for the sleep's end.
///
/// Where a hypervisor emulates the clock, reading it costs as much as handling a packet. So `dispatch` is told whether
/// to read it: after each sleep, and now and then while tasks keep each other busy.
///
/// # Panics
/// When called twice.
pub fn run<T>(spawn: impl FnOnce(Spawner), mut dispatch: impl FnMut(bool) -> T, mut sleep: impl FnMut(T)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor: &'static raw::Executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    spawn(executor.spawner());
    let mut turns = 0;
    loop {
        let next = dispatch(turns % TURNS_WITHOUT_CLOCK == 0);
        if READY.swap(false, Ordering::Relaxed) {
            turns += 1;
            // SAFETY: the executor lives for ever, and this loop, on the guest's only thread, is the only caller.
            unsafe { executor.poll() };
        } else {
            turns = 0;
            sleep(next);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
    use std::vec::Vec;

    use super::{READY, TURNS_WITHOUT_CLOCK, pender, run};
    use core::sync::atomic::Ordering;

    #[test]
    fn the_clock_is_read_after_each_sleep_and_now_and_then_while_tasks_are_busy() {
        // What has become ready before is seen.
        pender(core::ptr::null_mut());
        assert!(READY.swap(false, Ordering::Relaxed));
        // Tasks are busy at first, and sleep three times; the end of the world is a panic.
        let (mut busy, mut sleeps, mut clock) = (2 * TURNS_WITHOUT_CLOCK, 3, Vec::new());
        let dispatch = |reads_clock| {
            clock.push(reads_clock);
            READY.store(busy > 0, Ordering::Relaxed);
            busy = busy.saturating_sub(1);
        };
        let sleep = |()| {
            sleeps -= 1;
            if sleeps == 0 {
                panic_any("the end");
            }
        };
        let ended = catch_unwind(AssertUnwindSafe(|| run(|_| {}, dispatch, sleep)));
        assert!(ended.is_err_and(|payload| payload.is::<&str>()));
        let while_busy = (0..=2 * TURNS_WITHOUT_CLOCK).map(|turn| turn % TURNS_WITHOUT_CLOCK == 0);
        assert_eq!(clock, while_busy.chain([true, true]).collect::<Vec<_>>());
    }
}
