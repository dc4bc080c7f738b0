//! System time from the time stamp counter, as Xen tells a guest to scale it.
//!
//! Source: `xen/include/public/xen.h`, `vcpu_time_info`.

use core::arch::x86_64::_rdtsc;
use core::cell::Cell;
use core::sync::atomic::{Ordering, compiler_fence};

use xen_sys::shared_info::VcpuTimeInfo;

use crate::single_cpu::SingleCpu;

/// The latest time that was given out.
static LATEST_NS: SingleCpu<Cell<u64>> = SingleCpu::new(Cell::new(0));

/// By how much the guest's time is ahead of Xen's: a guest that was suspended may go on on a host that was booted
/// later.
static AHEAD_NS: SingleCpu<Cell<u64>> = SingleCpu::new(Cell::new(0));

/// Nanoseconds since the host's boot, or that of the host where the guest has started. Never goes backwards, even if
/// the virtual CPU moves between CPUs that differ a little.
pub(crate) fn now_ns() -> u64 {
    let now_ns = (read_ns() + AHEAD_NS.get().get()).max(LATEST_NS.get().get());
    LATEST_NS.get().set(now_ns);
    now_ns
}

/// What Xen's clock shows when the guest's shows `at_ns`.
pub(crate) fn system_time_ns(at_ns: u64) -> u64 {
    at_ns.saturating_sub(AHEAD_NS.get().get())
}

/// Nanoseconds since the moment whose wall clock Xen shares: the boot of the host where the guest is now.
pub(crate) fn since_wall_clock_ns() -> u64 {
    system_time_ns(now_ns())
}

/// Called after each sleep. The clock is Xen's own: there is nothing to set.
pub(crate) const fn woke() {}

/// Goes on from the latest time, where Xen's clock is behind it.
pub(super) fn resume() {
    let ahead_ns = LATEST_NS.get().get().saturating_sub(read_ns());
    AHEAD_NS.get().set(ahead_ns);
}

fn read_ns() -> u64 {
    let shared = super::shared_info();
    // SAFETY: the field lies within the shared info page, which is mapped for the guest's whole life.
    let time = unsafe { &raw const (*shared.as_ptr()).vcpu_info[0].time };
    loop {
        // SAFETY: as above; read volatile, because Xen changes it. On x86 loads are not reordered with other loads.
        let before = unsafe { (&raw const (*time).version).read_volatile() };
        // SAFETY: as above.
        let info = unsafe { time.read_volatile() };
        // SAFETY: the instruction has no effect but its result; Xen emulates it where it must.
        let tsc = unsafe { _rdtsc() };
        compiler_fence(Ordering::Acquire);
        // SAFETY: as above.
        let after = unsafe { (&raw const (*time).version).read_volatile() };
        if before == after && before & 1 == 0 {
            // The stamp may lie before the guest's creation, and then is a negative number: the difference counts, not
            // which of the two is larger. A counter that is behind the stamp has not got there yet.
            let ticks = i64::max(tsc.wrapping_sub(info.tsc_timestamp) as i64, 0) as u64;
            return info.system_time_ns.wrapping_add(scale(ticks, &info));
        }
    }
}

/// Converts ticks of the time stamp counter into nanoseconds.
fn scale(ticks: u64, info: &VcpuTimeInfo) -> u64 {
    let shifted = if info.tsc_shift < 0 { ticks >> -info.tsc_shift } else { ticks << info.tsc_shift };
    ((u128::from(shifted) * u128::from(info.tsc_to_system_mul)) >> 32) as u64
}
