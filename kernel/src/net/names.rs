//! Host names: a DNS resolver (RFC 1035) on a UDP socket.
//!
//! `smoltcp` has one too, but as a socket that its poll loop knows, so that every image would carry it. This one is in
//! the image of a task that looks names up, and it tells a name that does not exist from a server that does not answer.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use embassy_futures::select::{Either, select};
use embedded_nal_async::{AddrType, Dns, UnconnectedUdp};
use smoltcp::time::Duration;

use super::error::Error;
use super::stack::Stack;
use super::timeout::Timeout;
use super::udp::UdpSocket;

/// How long a server has to answer before it is asked again, or the next one is.
const PATIENCE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Where name servers listen.
const PORT: u16 = 53;

/// The longest message that is sent over UDP.
const LARGEST_MESSAGE_BYTES: usize = 512;

/// Bytes before the question.
const HEADER_BYTES: usize = 12;

/// The longest label of a name, and the longest name, as they are sent.
const LONGEST_LABEL_BYTES: usize = 63;
const LONGEST_NAME_BYTES: usize = 255;

/// Type A and class IN: an IPv4 address on the internet.
const TYPE_A_CLASS_IN: [u8; 4] = [0, 1, 0, 1];

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Address(Ipv4Addr),
    /// The name does not exist, or has no IPv4 address.
    Nothing,
    /// The server cannot tell; another one may.
    Unable,
}

impl Dns for Stack {
    type Error = Error;

    /// Looks up the IPv4 address of a name; an address as text is its own answer.
    async fn get_host_by_name(&self, host: &str, addr_type: AddrType) -> Result<IpAddr, Error> {
        if addr_type == AddrType::IPv6 {
            return Err(Error::Unsupported);
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Ok(IpAddr::V4(address));
        }
        let query = query(host).ok_or(Error::InvalidName)?;
        let servers = self.with(|state| state.addressing.name_servers())?;
        let any = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let mut socket = self.bind(any, LARGEST_MESSAGE_BYTES)?;
        let mut failure = Error::TimedOut;
        for patience in PATIENCE {
            for server in servers.into_iter().flatten() {
                match self.ask(&mut socket, server, query.clone(), patience).await {
                    Ok(Answer::Address(address)) => return Ok(IpAddr::V4(address)),
                    Ok(Answer::Nothing) => return Err(Error::NameNotFound),
                    Ok(Answer::Unable) => {}
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }

    /// Names are looked up forwards only.
    async fn get_host_by_address(&self, _addr: IpAddr, _result: &mut [u8]) -> Result<usize, Error> {
        Err(Error::Unsupported)
    }
}

impl Stack {
    /// Asks one server once.
    async fn ask(
        &self,
        socket: &mut UdpSocket,
        server: Ipv4Addr,
        mut query: Vec<u8>,
        patience: Duration,
    ) -> Result<Answer, Error> {
        let local = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let server = SocketAddr::V4(SocketAddrV4::new(server, PORT));
        let [first, second, ..] = self.with(|state| state.random.next_u64()).to_be_bytes();
        query[..2].copy_from_slice(&[first, second]);
        socket.send(local, server, &query).await?;
        let timeout = Timeout::new(self, patience);
        let mut message = [0; LARGEST_MESSAGE_BYTES];
        loop {
            let received = match select(socket.receive_into(&mut message), timeout.passed()).await {
                Either::First(received) => received?,
                Either::Second(()) => return Err(Error::TimedOut),
            };
            let (length, _, from) = received;
            if let Some(message) = message.get(..length).filter(|_| from == server)
                && let Some(answer) = answer(message, &query)
            {
                return Ok(answer);
            }
        }
    }
}

/// The question for a name's IPv4 address, with 0 for its identifier; `None` if the text is no name.
fn query(name: &str) -> Option<Vec<u8>> {
    // One question, and the server shall ask others if need be.
    let mut query = Vec::from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.strip_suffix('.').unwrap_or(name).as_bytes().split(|byte| *byte == b'.') {
        if label.is_empty() || label.len() > LONGEST_LABEL_BYTES {
            return None;
        }
        query.push(label.len() as u8);
        query.extend_from_slice(label);
    }
    query.push(0);
    if query.len() - HEADER_BYTES > LONGEST_NAME_BYTES {
        return None;
    }
    query.extend(TYPE_A_CLASS_IN);
    Some(query)
}

/// What a message says about the question; `None` if it is no answer to it, or malformed.
fn answer(message: &[u8], query: &[u8]) -> Option<Answer> {
    let (header, rest) = message.split_at_checked(HEADER_BYTES)?;
    let (question, mut records) = rest.split_at_checked(query.len() - HEADER_BYTES)?;
    let answers_us = header[..2] == query[..2] && header[2] & 0x80 != 0 && header[4..6] == query[4..6];
    if !answers_us || !question.eq_ignore_ascii_case(&query[HEADER_BYTES..]) {
        return None;
    }
    match header[3] & 0x0f {
        0 => {}
        3 => return Some(Answer::Nothing),
        _ => return Some(Answer::Unable),
    }
    // An alias comes with the records of what it stands for, so the first address is the one that is asked for.
    for _ in 0..u16::from_be_bytes([header[6], header[7]]) {
        let (fixed, after) = after_name(records)?.split_at_checked(10)?;
        let (data, next) = after.split_at_checked(usize::from(u16::from_be_bytes([fixed[8], fixed[9]])))?;
        if fixed[..4] == TYPE_A_CLASS_IN {
            let octets: [u8; 4] = data.try_into().ok()?;
            return Some(Answer::Address(Ipv4Addr::from(octets)));
        }
        records = next;
    }
    Some(Answer::Nothing)
}

/// What follows the name with which a record begins. A name ends with an empty label or with a pointer.
fn after_name(mut record: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, rest) = record.split_first()?;
        match length {
            0 => return Some(rest),
            0xc0.. => return rest.get(1..),
            _ => record = rest.get(usize::from(*length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(flags: [u8; 2], answers: u8, records: &[u8]) -> Vec<u8> {
        let mut message = query("sensor.example").expect("a name");
        message[2..4].copy_from_slice(&flags);
        message[7] = answers;
        message.extend(records);
        message
    }

    fn read(message: &[u8]) -> Option<Answer> {
        answer(message, &query("Sensor.Example.").expect("a name"))
    }

    const RESPONSE: [u8; 2] = [0x81, 0x80];
    const RECORD: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 192, 0, 2, 33];
    const ALIAS: [u8; 18] = [6, b's', b'e', b'n', b's', b'o', b'r', 0, 0, 5, 0, 1, 0, 0, 2, 88, 0, 2];

    #[test]
    fn the_first_address_counts_behind_aliases_too() {
        let address = Answer::Address([192, 0, 2, 33].into());
        assert_eq!(read(&message(RESPONSE, 1, &RECORD)), Some(address));
        let records = [&ALIAS[..], &[0xc0, 12], &RECORD].concat();
        assert_eq!(read(&message(RESPONSE, 2, &records)), Some(Answer::Address([192, 0, 2, 33].into())));
        assert_eq!(read(&message(RESPONSE, 1, &records)), Some(Answer::Nothing));
    }

    #[test]
    fn response_codes_are_told_apart() {
        assert_eq!(read(&message([0x81, 0x83], 0, &[])), Some(Answer::Nothing));
        assert_eq!(read(&message([0x81, 0x82], 0, &[])), Some(Answer::Unable));
        assert_eq!(read(&message([0x81, 0x85], 0, &[])), Some(Answer::Unable));
    }

    #[test]
    fn what_is_no_answer_to_our_question_is_ignored() {
        let good = message(RESPONSE, 1, &RECORD);
        assert_eq!(read(&message([0x01, 0x00], 1, &RECORD)), None);
        for i in [0, 1, 5, 14, HEADER_BYTES + 15] {
            let mut other = good.clone();
            other[i] ^= 1;
            assert_eq!(read(&other), None, "byte {i}");
        }
        // Cut anywhere, it is malformed, and never read past its end.
        assert!((0..good.len()).all(|length| read(&good[..length]).is_none()));
    }

    #[test]
    fn names_have_limits() {
        let label = "a".repeat(63);
        let longest = [&label[..], &label, &label, &label[..61]].join(".");
        assert!(query(&longest).is_some());
        for name in ["", ".", "a..b", &(longest + "a"), &"a".repeat(64)] {
            assert_eq!(query(name), None, "{name}");
        }
    }
}
