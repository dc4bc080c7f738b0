//! The shared ring: one page with a header of four indices and a power of two of slots.
//!
//! Source: `xen/include/public/io/ring.h`.

use core::mem::{offset_of, size_of};

/// The start of a shared ring's page, before its slots. Source: `struct <name>_sring` of `DEFINE_RING_TYPES`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RingHeader {
    /// Requests produced so far; written by the frontend.
    pub req_prod: u32,
    /// The backend wants an event when `req_prod` passes this; written by the backend.
    pub req_event: u32,
    /// Responses produced so far; written by the backend.
    pub rsp_prod: u32,
    /// The frontend wants an event when `rsp_prod` passes this; written by the frontend.
    pub rsp_event: u32,
    /// Private to some protocols, and padding.
    pub pad: [u8; 48],
}

const _: () = assert!(size_of::<RingHeader>() == 64);
const _: () = assert!(offset_of!(RingHeader, rsp_prod) == 8 && offset_of!(RingHeader, rsp_event) == 12);

/// Slots that fit into a ring of `ring_bytes` bytes when the larger of request and response has `slot_bytes` bytes.
/// Source: `__CONST_RING_SIZE`.
#[must_use]
pub const fn slots(ring_bytes: usize, slot_bytes: usize) -> u32 {
    let fitting = (ring_bytes - size_of::<RingHeader>()) / slot_bytes;
    1 << fitting.ilog2()
}

const _: () = assert!(slots(4096, 12) == 256 && slots(4096, 8) == 256);
