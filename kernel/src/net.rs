//! The network: an asynchronous layer over `smoltcp`, with the traits a task uses and the seam a device implements.
//!
//! Purpose: a task sees [`Network`], which is `embedded-nal-async` and a TCP server beside it; a platform implements
//! [`NetworkDevice`] and runs a [`Runner`] on it. IPv4 only, with DHCP or a static address. Nothing here knows whose
//! device it is, or which clock: a test runs two stacks over a pair of queues and moves the time by hand.
//!
//! Three floors; each imports only what stands below it:
//!
//! | floor | modules |
//! |---|---|
//! | what is called | `runner` (the poll loop; read it first), `stack`, `tcp`, `listener`, `udp`, `names`, `connect`, `timeout` |
//! | the owner | `state`: what the poll loop and the sockets share |
//! | parts that know no owner | `parts`: address, dhcp, boundary, sockets, backlog, outbox, closing and others |
//! | the words of all | `traits`, `device`, `error`, `parameters`, `card`, `time_source` |
//!
//! Invariant: all state is borrowed within one call and never across an `await`; wakers only mark tasks as ready, so
//! waking inside a borrow is harmless.

mod card;
mod connect;
mod error;
mod listener;
mod names;
mod parameters;
mod parts;
mod runner;
mod stack;
mod state;
mod tcp;
mod time_source;
mod timeout;
mod traits;
mod udp;

#[cfg(test)]
mod tests;

pub mod device;

pub use card::{Card, CardChoice, station_address};
pub use connect::{ConnectError, connect};
pub use device::{NetworkDevice, ReceivedFrame};
pub use error::Error;
pub use listener::TcpListener;
pub use parameters::{Ip, KEYS as PARAMETER_KEYS, Parameters};
pub use parts::filter::DropCounters;
pub use runner::Runner;
pub use stack::Stack;
pub use tcp::TcpConnection;
pub use time_source::{ManualTime, TimeSource};
pub use traits::{Buffers, Network, TcpAccept, TcpListen};
pub use udp::{ConnectedUdpSocket, UdpSocket};
