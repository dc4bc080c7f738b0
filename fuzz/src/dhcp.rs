//! What a second DHCP server says, which knows all that was said on the network, while the first does its duty.
//!
//! The guest gets its address from the first, and must have it at each moment from then on. It speaks about as often as
//! its lease asks for.

use std::net::Ipv4Addr;

use embassy_time::Duration;
use kernel::net::{Ip, TimeSource};

use crate::frames::World;
use crate::frames::peer::{OWN_IP, datagram};
use crate::input::Input;

const HONEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

/// The place of a DHCP message in a frame, behind the headers of Ethernet, IP and UDP.
const MESSAGE: usize = 14 + 20 + 8;
/// Where the options begin, behind this word.
const OPTIONS: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const MESSAGE_TYPE: u8 = 53;
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// Messages that the guest may send while it gets its address, and later in each of its lease's thirds.
const MESSAGES_AT_FIRST: u64 = 4;

/// The first server, and what the guest has said.
struct Server {
    lease_s: u32,
    /// The last message of the guest.
    heard: Vec<u8>,
    messages: u64,
}

/// The message in a frame, if it is one of the guest's to servers, and its type.
fn message(frame: &[u8]) -> Option<(&[u8], u8)> {
    let is_udp = frame.get(12..14)? == [8, 0] && *frame.get(23)? == 17;
    let is_request = is_udp && frame.get(34..38)? == [0, 68, 0, 67];
    let message = frame.get(MESSAGE..).filter(|_| is_request)?;
    let kind = message.get(OPTIONS..)?.windows(3).find(|option| option[..2] == [MESSAGE_TYPE, 1])?[2];
    Some((message, kind))
}

/// A message to the guest that answers the one `heard`.
fn reply(heard: &[u8], kind: u8, given: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut message = heard[..OPTIONS].to_vec();
    message[0] = 2;
    message[16..20].copy_from_slice(&given.octets());
    message[OPTIONS - 4..].copy_from_slice(&COOKIE);
    message.extend([MESSAGE_TYPE, 1, kind]);
    message.extend(options);
    message.push(255);
    message
}

/// The options by which a server is known and gives a lease.
fn lease(server: Ipv4Addr, lease_s: u32) -> Vec<u8> {
    let words = [(54, server.octets()), (51, lease_s.to_be_bytes()), (1, [255, 255, 255, 0]), (3, HONEST.octets())];
    words.iter().flat_map(|(code, word)| [&[*code, 4][..], word].concat()).collect()
}

impl Server {
    /// Answers all that the guest has said.
    fn serve(&mut self, world: &mut World) {
        loop {
            world.settle();
            let sent = std::mem::take(&mut world.cable.borrow_mut().sent);
            let mut answers = Vec::new();
            for (message, kind) in sent.iter().filter_map(|frame| message(frame)) {
                self.messages += 1;
                self.heard = message.to_vec();
                let answer = match kind {
                    DISCOVER => OFFER,
                    REQUEST => ACK,
                    other => panic!("a message of type {other}"),
                };
                answers.push(reply(message, answer, OWN_IP, &lease(HONEST, self.lease_s)));
            }
            if answers.is_empty() {
                return;
            }
            answers.iter().for_each(|answer| world.cable.deliver(datagram(HONEST, 67, 68, answer)));
        }
    }

    /// Lets time pass, and does its duty meanwhile.
    fn pass(&mut self, world: &mut World, time: Duration) {
        let end = world.time.now() + time;
        while let Some(next) = world.time.next().filter(|next| *next <= end) {
            world.time.set(next);
            self.serve(world);
        }
        world.time.set(end);
        self.serve(world);
    }
}

/// Anything that another server may say.
fn strange(heard: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let kind = input.choose(&[OFFER, ACK, 6, 6, input.clone().byte()]);
    let given = input.choose(&[OWN_IP, Ipv4Addr::new(10, 0, 0, 77), Ipv4Addr::UNSPECIFIED]);
    let mut options = match input.below(4) {
        0 => Vec::new(),
        _ => lease(STRANGER, input.choose(&[0, 1, 120, u32::MAX])),
    };
    // T1, T2, routes, or what the input says, unless it names the first server.
    options.extend(input.piece());
    let mut message = reply(heard, kind, given, &options);
    if input.below(4) == 0 {
        // Another transaction than the last.
        message[4..8].copy_from_slice(&input.long().to_le_bytes());
    }
    let forged = message.windows(6).any(|option| option == [&[54, 4][..], &HONEST.octets()].concat());
    if forged { Vec::new() } else { message }
}

/// Has the second server say what the bytes say.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut world = World::new(Ip::Dhcp, Vec::new());
    let mut server = Server { lease_s: input.choose(&[120, 600, 86_400]), heard: Vec::new(), messages: 0 };
    server.pass(&mut world, Duration::from_secs(1));
    assert_eq!(world.stack.address(), Some(OWN_IP));
    let start = world.time.now();
    while !input.is_empty() {
        if input.below(3) == 0 {
            let time = Duration::from_millis(u64::from(input.word()) << input.below(8));
            server.pass(&mut world, time);
        } else {
            let message = strange(&server.heard, &mut input);
            world.cable.deliver(datagram(STRANGER, 67, 68, &message));
            server.serve(&mut world);
        }
        assert_eq!(world.stack.address(), Some(OWN_IP), "the address was taken away");
    }
    let thirds = (world.time.now() - start).as_secs() / u64::from(server.lease_s / 3);
    let messages = server.messages;
    assert!(messages <= MESSAGES_AT_FIRST + thirds, "{messages} messages in {thirds} thirds of a lease");
}
