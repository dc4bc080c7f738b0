//! Ethernet frames as they are given, whatever they hold, through a packet socket.

use crate::protocol::{Frames, FramesResult};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Sends all frames in their order, as often as wanted.
///
/// # Errors
/// There is no such interface, or no packet socket. A frame that the interface refuses is counted.
pub fn send_all(wanted: &Frames) -> io::Result<FramesResult> {
    let socket = packet_socket(&wanted.interface)?;
    let mut result = FramesResult::default();
    for _ in 0..wanted.rounds {
        for frame in &wanted.frames {
            match send(socket.as_raw_fd(), frame, MsgFlags::empty()) {
                Ok(_) => result.sent += 1,
                Err(_) => result.refused += 1,
            }
        }
    }
    Ok(result)
}

/// A socket that sends on one interface and receives nothing: it is bound to no protocol.
fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    // The list of interfaces is where a link's address comes from without unsafe code.
    let address = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::other(format!("no interface {interface}")))?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let wanted = Frames { interface: "vif0.0".into(), frames: vec![vec![0; 60]], rounds: 1 };
        assert_eq!(send_all(&wanted).unwrap_err().to_string(), "no interface vif0.0");
    }
}
