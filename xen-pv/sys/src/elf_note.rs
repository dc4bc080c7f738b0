//! ELF notes by which an image tells the domain builder how to load it.
//!
//! Source: `xen/include/public/elfnote.h`.

/// Name of the guest's operating system, a string. Source: `XEN_ELFNOTE_GUEST_OS`.
pub const GUEST_OS: u32 = 6;
/// Interface version, the string `xen-3.0`. Source: `XEN_ELFNOTE_XEN_VERSION`.
pub const XEN_VERSION: u32 = 5;
/// Kind of loader, the string `generic`. Source: `XEN_ELFNOTE_LOADER`.
pub const LOADER: u32 = 8;
