//! The wall clock that Xen shares with every guest.
//!
//! It is as right as what dom0 tells Xen. On ARM Linux tells it of its own monotonic clock where Xen asks for its system
//! time (`xen_pvclock_gtod_notify` in `arch/arm/xen/enlighten.c`), and so all guests are ahead of dom0 by what Xen and
//! dom0's kernel took to start: a second on a quiet machine, minutes on a very busy one. A guest has nothing to see it by.
//!
//! Source: `xen/include/public/xen.h`, `shared_info`, `wc_*`.

use core::sync::atomic::{Ordering, fence};
use core::time::Duration;

use crate::arch;

/// Time since 1970, in UTC as far as the host's clock is right.
pub(crate) fn unix_time() -> Duration {
    Duration::from_nanos(at_start_ns().wrapping_add(arch::since_wall_clock_ns()))
}

/// The wall clock at the moment that `arch::since_wall_clock_ns` counts from: nanoseconds since 1970.
fn at_start_ns() -> u64 {
    let shared = arch::shared_info().as_ptr();
    loop {
        // SAFETY: the field lies within the shared info page, which is mapped for the guest's whole life; it is read
        // volatile because Xen changes it.
        let before = unsafe { (&raw const (*shared).wc_version).read_volatile() };
        // The version is read before the time (`dmb ish` on ARM; nothing on x86, which keeps loads in order).
        fence(Ordering::Acquire);
        // SAFETY: as above.
        let [seconds, nanoseconds, seconds_high] = unsafe {
            [
                (&raw const (*shared).wc_sec).read_volatile(),
                (&raw const (*shared).wc_nsec).read_volatile(),
                (&raw const (*shared).wc_sec_hi).read_volatile(),
            ]
        };
        // And once more after it: an update in between shows in one of the two.
        fence(Ordering::Acquire);
        // SAFETY: as above.
        let after = unsafe { (&raw const (*shared).wc_version).read_volatile() };
        if before == after && before & 1 == 0 {
            let seconds = u64::from(seconds_high) << 32 | u64::from(seconds);
            return seconds.wrapping_mul(1_000_000_000).wrapping_add(u64::from(nanoseconds));
        }
    }
}
