//! The test clients that run in dom0 against a guest. They report what happened; what is good enough is the scenario's
//! business.

pub mod frames;
pub mod launch;
pub mod pattern;
pub mod ping;
pub mod tcp;
pub mod udp;
