//! The network: an asynchronous layer over `smoltcp`, with the traits a task uses and the seam a device implements.

mod face;

pub mod device;

pub use device::NetworkDevice;
pub use face::{Network, TcpAccept, TcpListen};
