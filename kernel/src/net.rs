//! The network: an asynchronous layer over `smoltcp`, with the traits a task uses and the seam a device implements.
//!
//! Purpose: a task sees [`Network`], which is `embedded-nal-async` and a TCP server beside it; a platform implements
//! [`NetworkDevice`] and runs a [`Stack`] on it. IPv4 only, with DHCP or a static address. Nothing here knows whose
//! device it is, or which clock: a test runs two stacks over a pair of queues and moves the time by hand.
//!
//! | module | what it has |
//! |---|---|
//! | `face` | the traits a task sees |
//! | `device` | the trait a device implements |
//! | `stack` | the poll loop; read this first |
//! | `state` | what the loop and the sockets share |
//! | `address`, `dhcp` | how the interface gets its address; announcements |
//! | `sockets` | the set of sockets and the memory of their buffers |
//! | `tcp`, `listener`, `udp`, `names` | what a task calls |
//! | `filter` | what is dropped before it is looked at |
//! | `closing` | sockets whose users are gone |
//!
//! Invariant: all state is borrowed within one call and never across an `await`; wakers only mark tasks as ready, so
//! waking inside a borrow is harmless.

mod address;
mod closing;
mod deadline;
mod dhcp;
mod error;
mod face;
mod filter;
mod handle;
mod listener;
mod names;
mod parameters;
mod sockets;
mod stack;
mod state;
mod tcp;
mod udp;
mod wakers;

#[cfg(test)]
mod tests;

pub mod device;

pub use device::NetworkDevice;
pub use error::Error;
pub use face::{Buffers, Network, ReadInPlace, TcpAccept, TcpListen};
pub use filter::Unwanted;
pub use handle::Handle;
pub use listener::TcpListener;
pub use parameters::{Ip, Parameters};
pub use stack::{Next, Stack};
pub use tcp::TcpConnection;
pub use udp::{ConnectedUdpSocket, UdpSocket};
