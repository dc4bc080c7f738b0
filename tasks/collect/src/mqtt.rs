//! MQTT 5, as much as the task needs: one broker, QoS 1 both ways, sessions that the broker keeps.
//!
//! Public standard: OASIS MQTT Version 5.0. [`packet`] knows the bytes, [`connection`] what is sent when.
//!
//! Why not a client crate: they do what is needed, and more than fits. Measured on x86_64, each over the same program
//! that only reads, writes and waits: minimq 0.13 adds 23 KB (and its two connections made this task's image 31 KB
//! larger than what is here), rust-mqtt 0.6 adds 80 KB; an image has 150 KB in all. The codec crates that are small
//! enough do not hold: mqttrs 0.4 (8 KB without any session, not released since 2021; mqttrs2 is a copy) panics on a
//! short PUBACK or a topic longer than its packet, and a panic of the guest must not be a peer's to cause; mqtt-tiny
//! 0.4 writes and reads lengths above 127 in the wrong order.
//!
//! Why MQTT 5 and not 3.1.1: a session can be given an end, so that a guest which never comes back leaves no queue at
//! the broker for ever; retained messages need not be sent; and each side says how much it takes.

pub(crate) mod connection;
pub(crate) mod packet;

pub(crate) use connection::{Connection, Event};
