//! Scheduling: waiting for events and ending the domain.
//!
//! Source: `xen/include/public/sched.h`.

use core::mem::size_of;

/// Gives up the CPU. Source: `SCHEDOP_yield`.
pub const SCHEDOP_YIELD: usize = 0;
/// Ends the domain with a reason; the argument is a [`Shutdown`]. Source: `SCHEDOP_shutdown`.
pub const SCHEDOP_SHUTDOWN: usize = 2;
/// Waits until one of a list of ports is pending or a time has come; the argument is a [`Poll`]. Source:
/// `SCHEDOP_poll`.
pub const SCHEDOP_POLL: usize = 3;

/// The most ports that one poll may name. Source: `do_poll` in Xen's scheduler.
pub const POLL_PORTS_MAX: usize = 128;

/// Why a domain ends. Source: `SHUTDOWN_*`.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// The domain has done its work.
    PowerOff = 0,
    /// The domain wants to be started again.
    Reboot = 1,
    /// The domain has prepared to be saved; the start info's machine frame is given besides.
    Suspend = 2,
    /// The domain has failed.
    Crash = 3,
}

/// Argument of [`SCHEDOP_SHUTDOWN`]. Source: `sched_shutdown_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Shutdown {
    /// Why.
    pub reason: ShutdownReason,
}

/// Argument of [`SCHEDOP_POLL`]. Source: `sched_poll_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// Address of an array of ports, as a 64-bit guest handle.
    pub ports: u64,
    /// Number of ports.
    pub nr_ports: u32,
    /// Absolute system time in nanoseconds, or 0 for none.
    pub timeout_ns: u64,
}

const _: () = assert!(size_of::<Poll>() == 24);
