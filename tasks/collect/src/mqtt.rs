//! MQTT 5, as much as the task needs: one broker, QoS 1 both ways, sessions that the broker keeps.
//!
//! Public standard: OASIS MQTT Version 5.0. [`packet`] knows the bytes, [`connection`] what is sent when.
//!
//! Why not a client crate: they do what is needed, and more than fits. Measured in an x86_64 image of the task, with its two
//! brokers: minimq 0.13 adds 24 KB to what is here, and rust-mqtt 0.6 about 80; an image has 150 KB in all. The codec crates
//! that are small enough do not hold: mqttrs 0.4 (not released since 2021; mqttrs2 is a copy) panics on a short PUBACK or a
//! topic longer than its packet, and a panic of the guest must not be a peer's to cause; mqtt-tiny 0.4 writes and reads
//! lengths above 127 in the wrong order. MQTT 5 and not 3.1.1, because a session can be given an end: a guest that never
//! comes back must not leave a queue at the broker for ever.

pub(crate) mod connection;
pub(crate) mod packet;

pub(crate) use connection::{Connection, Event};
