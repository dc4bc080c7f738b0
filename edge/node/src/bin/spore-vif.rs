//! Connects a guest's network card to its bridge: what libxl runs for each card, as `spore-vif online`.
//!
//! Xen's own script does it with bash and a dozen processes, in a second on a small board. The card and its place in
//! xenstore come in the environment, as for any script of this kind. What Xen's script does beyond that is not done:
//! rules of a firewall, which a bridge does not need; the interface's name and address, which the kernel gives it; and
//! everything when the card goes, because the bridge lets go of an interface that is no more.
//!
//! Source: docs/man/xl-network-configuration.5.pod of Xen; rtnetlink(7).

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::{env, fs};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use xenstore::Client;

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

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("online" | "add") => {}
        Some("offline" | "remove") => return ExitCode::SUCCESS,
        _ => {
            eprintln!("spore-vif online|offline: libxl runs it for a guest's network card");
            return ExitCode::FAILURE;
        }
    }
    let mut store = Client::new();
    let Ok(place) = env::var("XENBUS_PATH") else {
        eprintln!("spore-vif: XENBUS_PATH is not set: libxl says by it which card is meant");
        return ExitCode::FAILURE;
    };
    match connect(&mut store, &place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spore-vif: {error}");
            // libxl shows it to who made the guest.
            let _ = store.write(&format!("{place}/hotplug-error"), error.to_string().as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn connect(store: &mut Client, place: &str) -> Result<(), Failure> {
    let interface = env::var("vif").map_err(|_| "the card's interface is not in the environment")?;
    let bridge = store.read(&format!("{place}/bridge"))?.ok_or("the card has no bridge: name one in its vif")?;
    let bridge = String::from_utf8(bridge)?;
    let (interface, bridge) = (index(&interface)?, index(&bridge)?);
    set_link(interface, bridge)?;
    // The backend waits for it.
    store.write(&format!("{place}/hotplug-status"), b"connected")?;
    Ok(())
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
