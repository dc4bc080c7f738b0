//! Both ends of libvchan's protocol: a stream of bytes each way between two domains, over memory that they share.
//!
//! Purpose: what guests and programs in dom0 say to each other without a network. The server owns the memory: a page
//! with the indices, and two rings. The client maps it. Xen's own libxenvchan speaks the same, so either end may be a
//! program in any language.
//!
//! The crate is the protocol and nothing else. How memory is mapped and an event is sent comes from outside
//! ([`ControlPage`], [`Bytes`], [`Events`]), and so does waiting: a call never blocks, and [`Channel::prepare_wait`] says
//! whether there is reason to sleep. Each end takes the other for hostile: what the other writes is read once and
//! judged, positions are kept in private, and bytes are copied out before anybody looks at them.
//!
//! Source: `xen/include/public/io/libxenvchan.h`. Read [`layout`] first, then [`Channel`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ends;
mod error;
mod half;
pub mod layout;
mod local;
mod memory;
#[cfg(test)]
mod model;
mod pieces;
mod stream;
#[cfg(test)]
mod tests;

pub use ends::{Offer, server};
pub use error::{Error, Fault};
pub use local::LocalMemory;
pub use memory::{Bytes, ControlPage, Events};
pub use pieces::{PIECE_BYTES, Pieces};
pub use stream::{Channel, Peer, Wait, Want};
