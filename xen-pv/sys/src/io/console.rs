//! The console page.
//!
//! Source: `xen/include/public/io/console.h`.

use core::mem::{offset_of, size_of};

/// Two rings of bytes with free-running indices. Source: `struct xencons_interface`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ConsoleInterface {
    /// From the console to the guest.
    pub input: [u8; 1024],
    /// From the guest to the console.
    pub output: [u8; 2048],
    /// Written by the guest.
    pub in_cons: u32,
    /// Written by the console.
    pub in_prod: u32,
    /// Written by the console.
    pub out_cons: u32,
    /// Written by the guest.
    pub out_prod: u32,
}

const _: () = assert!(size_of::<ConsoleInterface>() == 3088);
const _: () = assert!(offset_of!(ConsoleInterface, in_cons) == 3072 && offset_of!(ConsoleInterface, out_prod) == 3084);
