//! Puts an interface on a bridge, as Linux has them.
//!
//! Source: rtnetlink(7).

use std::fs;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Sets an interface. Source: linux/rtnetlink.h, `RTM_NEWLINK`, without `NLM_F_CREATE`.
const NEW_LINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST_WITH_ANSWER: u16 = 1 | 4;
/// The kernel's answer, with a number of an error or 0. Source: linux/netlink.h.
const NLMSG_ERROR: u16 = 2;
/// The interface is up. Source: linux/if.h.
const IFF_UP: u32 = 1;
/// The bridge that an interface belongs to. Source: linux/if_link.h.
const IFLA_MASTER: u16 = 10;

/// Why it could not be done.
pub type Failure = Box<dyn std::error::Error>;

/// Puts an interface on a bridge and switches it on.
///
/// # Errors
/// One of them is not there, or the kernel refuses.
pub fn connect(interface: &str, bridge: &str) -> Result<(), Failure> {
    set_link(index(interface)?, index(bridge)?)
}

/// The kernel's number for an interface.
fn index(name: &str) -> Result<u32, Failure> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(format!("{name:?} is no interface's name").into());
    }
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    let text = text.map_err(|error| format!("interface {name}: {error}"))?;
    Ok(text.trim().parse()?)
}

/// Puts an interface on a bridge and switches it on.
fn set_link(interface: u32, bridge: u32) -> Result<(), Failure> {
    // Its protocol 0 is the one for routes and links, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    send(&socket, &message(interface, bridge), SendFlags::empty())?;
    let mut answer = [0; 1024];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
    match errno(&answer[..length.min(answer.len())]) {
        Some(0) => Ok(()),
        Some(error) => Err(format!("the bridge: {}", rustix::io::Errno::from_raw_os_error(error)).into()),
        None => Err("the kernel's answer is no answer".into()),
    }
}

/// A header, the interface with its flags and which of them to set, and one attribute.
fn message(interface: u32, bridge: u32) -> Vec<u8> {
    let body: Vec<u8> = [0, interface, IFF_UP, IFF_UP].into_iter().flat_map(u32::to_ne_bytes).collect();
    let mut attribute: Vec<u8> = [8, IFLA_MASTER].into_iter().flat_map(u16::to_ne_bytes).collect();
    attribute.extend(bridge.to_ne_bytes());
    let length = u32::try_from(16 + body.len() + attribute.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend([NEW_LINK, REQUEST_WITH_ANSWER].into_iter().flat_map(u16::to_ne_bytes));
    // Its number, and ours, which the kernel fills in.
    message.extend([1u32, 0].into_iter().flat_map(u32::to_ne_bytes));
    [message, body, attribute].concat()
}

/// The number of the error in an answer, 0 for none.
fn errno(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(-error)
}

#[cfg(test)]
mod tests {
    use super::{errno, message};

    #[test]
    fn a_message_is_as_long_as_it_says() {
        let message = message(7, 3);
        assert_eq!(u32::from_ne_bytes(message[..4].try_into().unwrap()) as usize, message.len());
        assert_eq!(message.len(), 40);
    }

    #[test]
    fn an_answer_that_is_none_is_not_taken_for_success() {
        assert_eq!(errno(&[0; 10]), None);
        let mut answer = [0; 36];
        assert_eq!(errno(&answer), None);
        answer[4..6].copy_from_slice(&2u16.to_ne_bytes());
        assert_eq!(errno(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-19i32).to_ne_bytes());
        assert_eq!(errno(&answer), Some(19));
    }
}
