//! The page that the hypervisor shares with the whole domain: pending events and clocks.
//!
//! Source: `xen/include/public/xen.h`.

use crate::arch::{ArchSharedInfo, ArchVcpuInfo, LEGACY_MAX_VCPUS};

/// Words of the event bitmaps; `xen_ulong_t` is 64 bits wide on every CPU that Spore runs on.
pub const EVENT_WORDS: usize = 64;

/// System time of a virtual CPU: nanoseconds since the host's boot. Source: `vcpu_time_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct VcpuTimeInfo {
    /// Odd while Xen updates the other fields.
    pub version: u32,
    /// Padding.
    pub pad0: u32,
    /// Time stamp counter at the last update.
    pub tsc_timestamp: u64,
    /// System time at the last update, in nanoseconds.
    pub system_time_ns: u64,
    /// Nanoseconds a tick after shifting, as a 0.32 fixed-point factor.
    pub tsc_to_system_mul: u32,
    /// Binary shift of the tick count; negative shifts right.
    pub tsc_shift: i8,
    /// `XEN_PVCLOCK_*` flags.
    pub flags: u8,
    /// Padding.
    pub pad1: [u8; 2],
}

/// State of one virtual CPU. Source: `vcpu_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct VcpuInfo {
    /// Not zero while an event waits for delivery.
    pub evtchn_upcall_pending: u8,
    /// Not zero while delivery is masked: in Spore, always. On ARM, padding; there the CPU's own mask serves.
    pub evtchn_upcall_mask: u8,
    /// Padding.
    pub pad: [u8; 6],
    /// One bit for each word of `evtchn_pending` that has a bit set.
    pub evtchn_pending_sel: u64,
    /// The architecture's part.
    pub arch: ArchVcpuInfo,
    /// System time.
    pub time: VcpuTimeInfo,
}

/// The shared info page. Source: `shared_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SharedInfo {
    /// One entry a virtual CPU.
    pub vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
    /// One bit a port: an event has come.
    pub evtchn_pending: [u64; EVENT_WORDS],
    /// One bit a port: no upcall, please.
    pub evtchn_mask: [u64; EVENT_WORDS],
    /// Odd while Xen updates the wall clock.
    pub wc_version: u32,
    /// Wall clock at system time 0: seconds since 1970, low half.
    pub wc_sec: u32,
    /// Nanoseconds of the wall clock at system time 0.
    pub wc_nsec: u32,
    /// Seconds since 1970, high half.
    pub wc_sec_hi: u32,
    /// The architecture's part.
    pub arch: ArchSharedInfo,
}
