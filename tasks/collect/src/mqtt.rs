//! MQTT 3.1.1 and 5, as much as the task needs: one broker; QoS 0 to 2 from it and 1 to it; sessions that it keeps.
//!
//! Public standards: OASIS MQTT Version 5.0 and Version 3.1.1. [`packet`] and [`write`](mod@write) know the bytes,
//! [`input`] cuts what comes into packets, [`session`] knows what has been taken before, [`watch`] when to ask for a
//! sign of life, and [`connection`] does it. Why this is not a crate's: README.md of this package, with a table of
//! those that there are.

pub(crate) mod connection;
pub(crate) mod fault;
pub(crate) mod input;
pub(crate) mod packet;
pub(crate) mod reason;
pub(crate) mod session;
pub(crate) mod tls;
pub(crate) mod watch;
pub(crate) mod write;

pub(crate) use connection::{Connection, Event};
pub(crate) use fault::Fault;
pub(crate) use session::Session;
