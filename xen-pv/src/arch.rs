//! What differs between CPUs and everything else stands on: clock, copies, frame numbers, page tables.
//!
//! It calls nothing above it. Where a guest begins and what traps do is in [`entry`](crate::entry).
//!
//! Every architecture defines the same names:
//!
//! - `copy`: copies bytes that somebody else may write meanwhile;
//! - `entropy`: random words of the CPU, where it has a generator;
//! - `gfn`: the number by which a page is granted;
//! - `map_grant_frames`: the grant table, mapped;
//! - `memory::window::open`: addresses outside the memory, at which pages of other domains can be mapped;
//! - `memory::map_more`: makes further memory usable;
//! - `now_ns`, `system_time_ns`: the guest's clock, and Xen's at a time of it;
//! - `since_wall_clock_ns`: what has passed since the moment whose wall clock Xen shares;
//! - `shared_info`: where Xen's shared info page is mapped;
//! - `SUSPENDS`, `suspend`: whether and how the domain becomes another one;
//! - `woke`: to be called after each sleep, for a clock that has to be set by when Xen ended it;
//! - `stop`: halts for ever, after the domain has been ended.

#[cfg(target_arch = "arm")]
mod armv7;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "arm")]
pub(crate) use armv7::*;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

/// Ports that the toolstack has opened in the domain in which a suspended guest goes on.
pub(crate) struct Ports {
    pub(crate) console: xen_sys::types::Port,
    pub(crate) xenstore: xen_sys::types::Port,
}
