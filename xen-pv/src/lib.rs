//! Spore's Xen platform: everything that knows Xen.
//!
//! Boot, page tables, traps, console, clock, event channels, grants, xenstore and the network card of a paravirtualised
//! guest. Drivers are Cargo features; one that a task does not name is not in its image. What needs no hypercall by itself
//! also runs on the developer's machine, where the crate `xen-fake` tests it.
//!
//! All that a task's `main.rs` has in a guest:
//!
//! ```text
//! #![no_std]
//! #![no_main]
//! xen_pv::main!(hello);
//! ```

#![no_std]
// What drivers stand on is there in every image's source, and the linker leaves out what none of them uses.
#![cfg_attr(not(feature = "netfront"), allow(dead_code, unused_imports))]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(feature = "xenstore")]
pub mod checkpoint;
#[cfg(feature = "xenstore")]
mod decimal;
pub mod device_tree;
mod error;
pub mod event_channel;
pub mod grant_table;
pub mod hypervisor;
pub mod memory;
#[cfg(feature = "netfront")]
pub mod netfront;
pub mod ring;
pub mod shared_page;
#[cfg(feature = "vchan")]
pub mod vchan;
#[cfg(feature = "xenstore")]
pub mod xenbus;
#[cfg(feature = "xenstore")]
pub mod xenstore;

#[cfg(target_os = "none")]
mod arch;
#[cfg(target_os = "none")]
mod boot;
mod console;
#[cfg(target_os = "none")]
mod crash;
#[cfg(target_os = "none")]
mod entry;
#[cfg(all(target_os = "none", feature = "vchan"))]
mod foreign;
#[cfg(target_os = "none")]
mod hypercall;
#[cfg(target_os = "none")]
mod log;
#[cfg(target_os = "none")]
pub mod platform;
#[cfg(all(target_os = "none", feature = "xenstore"))]
mod resume;
#[cfg(target_os = "none")]
mod shared_ring;
#[cfg(target_os = "none")]
mod single_cpu;
#[cfg(target_os = "none")]
mod toolstack;
#[cfg(target_os = "none")]
mod wall_clock;
#[cfg(target_os = "none")]
mod xen;

#[doc(hidden)]
pub use kernel;

/// Binds a task to this platform: `xen_pv::main!(hello)` runs `hello::run` with `hello::Parameters`.
#[macro_export]
macro_rules! main {
    ($task:ident) => {
        const _: () = {
            const NAME: &str = env!("CARGO_PKG_NAME");
            const VERSION: &str = env!("CARGO_PKG_VERSION");
            const LENGTH: usize =
                $crate::kernel::schema::encoded_length::<$task::Parameters, $task::Report>(NAME, VERSION);

            // SAFETY: the section is for tools only and holds such descriptions only.
            #[used]
            #[unsafe(link_section = ".spore.schema")]
            static SCHEMA: [u8; LENGTH] =
                $crate::kernel::schema::encode::<$task::Parameters, $task::Report, LENGTH>(NAME, VERSION);

            // SAFETY: an image has one main function.
            #[unsafe(no_mangle)]
            fn __spore_main(boot: $crate::platform::Boot) -> ! {
                $crate::platform::run(boot, NAME, VERSION, |parameters: $task::Parameters, platform| {
                    $task::run(parameters, platform)
                })
            }
        };
    };
}
