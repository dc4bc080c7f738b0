//! Xen's system time from the generic timer's virtual counter.
//!
//! The counter runs at a fixed rate from the guest's creation on. Xen's system time, in which the deadline of a sleep
//! and the wall clock are given, runs at the same rate from the host's boot on, and a guest cannot read it. But Xen
//! notes, in memory that the guest names, at which system time the guest last began to run: compared with the counter
//! at entry, and right after a sleep, that gives the distance between the two, which stays the same as long as the
//! guest lives.
//!
//! Source: ARM Architecture Reference Manual, ARMv7-A (DDI 0406C), B8; `xen/include/public/vcpu.h`.

use core::arch::asm;
use core::cell::{Cell, UnsafeCell};

use xen_sys::arch::hypercall3;
use xen_sys::number;
use xen_sys::vcpu::{RUNSTATE_RUNNING, RegisterRunstateMemoryArea, RunstateInfo, VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA};

use crate::error::Error;
use crate::single_cpu::SingleCpu;

/// How the counter becomes Xen's system time.
#[derive(Clone, Copy)]
struct Scale {
    /// Nanoseconds a tick: whole ones, and the rest in units of 2^-32 ns.
    whole_ns: u32,
    rest_ns: u32,
    /// System time when the counter was 0.
    start_ns: u64,
}

static SCALE: SingleCpu<Cell<Scale>> = SingleCpu::new(Cell::new(Scale { whole_ns: 1, rest_ns: 0, start_ns: 0 }));

/// Where Xen notes what the virtual CPU does.
static RUNSTATE: SingleCpu<UnsafeCell<RunstateInfo>> =
    SingleCpu::new(UnsafeCell::new(RunstateInfo { state: 0, pad: 0, state_entry_time_ns: 0, time_ns: [0; 4] }));

/// Sets the counter's rate: the toolstack's word if there is one, because the CPU's own is wrong then.
pub(crate) fn set_rate(hz: Option<u32>) {
    // Xen counts in kHz, and so must we, to agree with it after months.
    let khz = hz.unwrap_or_else(rate_hz) / 1000;
    assert!(khz > 0, "the timer's rate is unknown");
    let ns_2_32 = (1_000_000u64 << 32) / u64::from(khz);
    SCALE.get().set(Scale { whole_ns: (ns_2_32 >> 32) as u32, rest_ns: ns_2_32 as u32, start_ns: 0 });
}

/// Finds the least that the distance can be; sleeps improve it. `entered_ticks` is the counter when the guest began to
/// run.
pub(crate) fn start(entered_ticks: u64) {
    let area = RUNSTATE.get().get();
    let mut argument = RegisterRunstateMemoryArea { address: area.expose_provenance() as u64 };
    let argument = (&raw mut argument).expose_provenance();
    // SAFETY: the operation asks for this structure, for virtual CPU 0; the area is a static, and only read by us.
    let result = unsafe { hypercall3(number::VCPU_OP, VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA, 0, argument) };
    let registered = Error::check(result);
    assert!(registered.is_ok(), "run state area: {registered:?}");
    let noted = noted_ns();
    // SAFETY: the area is a static. Xen writes it, so it is read volatile.
    let ran_before_ns = unsafe { (&raw const (*area).time_ns[RUNSTATE_RUNNING]).read_volatile() };
    assert!(noted > 0, "Xen does not note when the guest runs");
    // If the guest has not stopped since it first ran, the note is from just before its entry. If it has, the note is
    // of some moment before now.
    let first = ran_before_ns == 0 && noted_ns() == noted;
    catch_up(noted, if first { entered_ticks } else { ticks() });
}

/// After a sleep: sees to it that the clock is not behind what Xen noted when it ended the sleep. A timer that was set
/// before the first sleeps may so ring early, by a few milliseconds on a slow machine.
pub(crate) fn woke() {
    // The note first: Xen may take the CPU away in between, and its next note is of a later moment.
    let noted = noted_ns();
    catch_up(noted, ticks());
}

/// What Xen noted has passed when the counter is `ticks`. A clock that is not there yet is set forward: the distance
/// comes out too small by what passed between the note and the look at the counter, never too large, and so the largest
/// is the best.
fn catch_up(noted_ns: u64, ticks: u64) {
    let scale = SCALE.get().get();
    let behind_ns = noted_ns.saturating_sub(at(ticks));
    SCALE.get().set(Scale { start_ns: scale.start_ns + behind_ns, ..scale });
}

/// When the guest last began to run, in Xen's system time.
fn noted_ns() -> u64 {
    let area = RUNSTATE.get().get();
    // SAFETY: the area is a static. Xen writes it whenever it gives us the CPU, so it is read volatile.
    let read = || unsafe { (&raw const (*area).state_entry_time_ns).read_volatile() };
    loop {
        let noted_ns = read();
        // Its two halves are read one after the other, and Xen may have changed it in between.
        if read() == noted_ns {
            return noted_ns;
        }
    }
}

/// Nanoseconds since the host's boot. Never goes backwards.
pub(crate) fn now_ns() -> u64 {
    at(ticks())
}

/// Nanoseconds since the moment whose wall clock Xen shares: the guest's creation. What had passed before since the
/// host's boot, in whole seconds, Xen has added to what it shares.
///
/// Source: `domain_vtimer_init` in `xen/arch/arm/vtimer.c`, `update_domain_wallclock_time` in `xen/common/time.c`.
pub(crate) fn since_wall_clock_ns() -> u64 {
    now_ns() - SCALE.get().get().start_ns
}

/// What Xen's clock shows when the guest's shows `at_ns`: the same.
pub(crate) fn system_time_ns(at_ns: u64) -> u64 {
    at_ns
}

/// The system time at which the counter was `ticks`.
pub(crate) fn at(ticks: u64) -> u64 {
    let Scale { whole_ns, rest_ns, start_ns } = SCALE.get().get();
    let (high, low) = (ticks >> 32, ticks & u64::from(u32::MAX));
    let rest = high * u64::from(rest_ns) + ((low * u64::from(rest_ns)) >> 32);
    start_ns + ticks * u64::from(whole_ns) + rest
}

/// The virtual counter.
fn ticks() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads CNTVCT. isb: not before the instructions above are done; memory may be used, so that the compiler
    // keeps the order, too.
    unsafe { asm!("isb", "mrrc p15, 1, {}, {}, c14", out(reg) low, out(reg) high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// The counter's rate as the CPU knows it.
fn rate_hz() -> u32 {
    let hz: u32;
    // SAFETY: reads CNTFRQ.
    unsafe { asm!("mrc p15, 0, {}, c14, c0, 0", out(reg) hz, options(nomem, nostack)) };
    hz
}
