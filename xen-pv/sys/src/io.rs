//! What frontends and backends share: rings, messages and device states.
//!
//! Source: `xen/include/public/io`.

pub mod console;
pub mod netif;
pub mod ring;
pub mod xenbus;
pub mod xs_wire;
