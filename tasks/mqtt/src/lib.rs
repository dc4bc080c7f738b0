//! MQTT 3.1.1 and 5, as much as the tasks need: one broker; QoS 0 to 2 from it and 1 to it; sessions that it keeps; and
//! how the readings in its messages are written.
//!
//! Public standards: OASIS MQTT Version 5.0 and Version 3.1.1. `packet` and `write` know the bytes, `input` cuts what comes
//! into packets, `session` knows what has been taken before, [`watch`] when to ask for a sign of life, and [`Connection`]
//! does it. A [`Link`] is the way to a broker over as many connections as it takes, [`routes`] says how a message is read.
//! Why this is not a crate's: README.md of the task `collect`, with a table of those that there are.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod connection;
mod fault;
mod input;
mod link;
mod packet;
mod reason;
pub mod routes;
mod sample;
mod session;
mod tls;
pub mod watch;
mod write;

pub use connection::{Connection, Event};
pub use fault::Fault;
pub use link::{Address, Broker, GONE, Link};
pub use packet::Publish;
pub use reason::Reason;
pub use sample::Sample;
pub use session::{Session, TooMany, hash};
