//! The numbers that Xen's interface passes around, each as a type of its own, so that none is taken for another.
//!
//! Source: `xen/include/public/xen.h`, `xen/include/public/grant_table.h`, `xen/include/public/event_channel.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Size in bytes of a page, as Xen's interface counts them on every CPU.
pub const PAGE_SIZE: usize = 4096;

/// A domain. Source: `domid_t`.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable)]
pub struct Domid(pub u16);

impl Domid {
    /// The calling domain. Source: `DOMID_SELF`.
    pub const SELF: Self = Self(0x7ff0);
    /// The first number that names no ordinary domain. Source: `DOMID_FIRST_RESERVED`.
    pub const FIRST_RESERVED: Self = Self(0x7ff0);
}

/// An entry of a domain's grant table. Source: `grant_ref_t`.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes)]
pub struct GrantRef(pub u32);

/// This domain's end of an event channel. Source: `evtchn_port_t`.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable)]
pub struct Port(pub u32);

/// A page of the guest's linear idea of its memory: physical address divided by 4096.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pfn(pub usize);

/// A page of the machine, as Xen's page tables hold it. Source: `xen_pfn_t`.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mfn(pub u64);

/// A page as the guest's own page tables and the grant table name it: an mfn for a paravirtualised guest, a pfn for one
/// with hardware-translated memory. Source: `xen_pfn_t`.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Gfn(pub u64);

/// A number by which another domain names one of our things. It indexes nothing until it was compared with their count:
///
/// ```compile_fail,E0277
/// fn look(slots: &[u8], response: xen_sys::io::netif::TxResponse) -> u8 {
///     slots[usize::from(response.id)]
/// }
/// ```
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes)]
pub struct Claimed(u16);

impl Claimed {
    /// What the other side claims.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number, if it is below `count`.
    #[must_use]
    pub fn below(self, count: usize) -> Option<usize> {
        let number = usize::from(self.0);
        (number < count).then_some(number)
    }
}
