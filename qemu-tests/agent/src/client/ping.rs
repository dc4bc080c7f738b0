//! Echo requests over Linux's ICMP socket, where the kernel keeps the identifier and the checksum.

use super::pattern::Pattern;
use crate::protocol::{Ping, PingResult};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const HEADER_BYTES: usize = 8;

/// What is known about the requests sent so far.
struct Tally {
    result: PingResult,
    sent_at: Vec<Instant>,
    answered: Vec<bool>,
    total_us: u64,
}

/// Sends the requests, one each interval, and counts the answers.
///
/// # Errors
/// There is no ICMP socket. A request that the network refuses counts as sent and lost.
pub fn ping(ping: &Ping) -> io::Result<PingResult> {
    let socket = socket()?;
    let mut tally = Tally {
        result: PingResult::default(),
        sent_at: Vec::new(),
        answered: vec![false; ping.count.into()],
        total_us: 0,
    };
    tally.result.round_trip_us[0] = u32::MAX;
    let interval = Duration::from_micros(ping.interval_us.into());
    let mut next = Instant::now();
    for sequence in 0..ping.count {
        let request = request(sequence, ping.size_bytes);
        tally.sent_at.push(Instant::now());
        // A refused request is a lost one: the interface may be away on purpose.
        let _ = socket.send_to(&request, (ping.address, 0));
        tally.result.sent += 1;
        next += interval;
        receive_until(&socket, next, ping, &mut tally)?;
    }
    let last = Instant::now() + Duration::from_millis(ping.patience_ms.into());
    receive_until(&socket, last, ping, &mut tally)?;
    let mut result = tally.result;
    match result.received {
        0 => result.round_trip_us = [0; 3],
        received => result.round_trip_us[2] = u32::try_from(tally.total_us / u64::from(received)).unwrap_or(u32::MAX),
    }
    Ok(result)
}

/// A socket for echo requests. A datagram socket of std has the same calls; only its making differs.
///
/// # Errors
/// Linux has none for this user.
pub fn socket() -> io::Result<UdpSocket> {
    let icmp = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(ipproto::ICMP))?;
    Ok(UdpSocket::from(icmp))
}

/// An echo request.
#[must_use]
pub fn request(sequence: u16, size_bytes: u16) -> Vec<u8> {
    packet(ECHO_REQUEST, sequence, size_bytes)
}

/// Whether a message is the answer to an echo request.
#[must_use]
pub fn is_reply(message: &[u8]) -> bool {
    message.len() >= HEADER_BYTES && message[0] == ECHO_REPLY
}

/// Takes answers until the deadline, or until all requests of the whole run are answered.
fn receive_until(socket: &UdpSocket, deadline: Instant, ping: &Ping, tally: &mut Tally) -> io::Result<()> {
    let mut buffer = vec![0; usize::from(ping.size_bytes) + 64];
    while tally.result.received < u32::from(ping.count) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => tally.take(&buffer[..length], ping.size_bytes),
            // Errors that the network reports ("host unreachable") belong to a request that stays unanswered.
            Err(_) => continue,
        }
    }
    Ok(())
}

impl Tally {
    fn take(&mut self, reply: &[u8], size_bytes: u16) {
        if !is_reply(reply) {
            return;
        }
        let sequence = u16::from_be_bytes([reply[6], reply[7]]);
        let Some(sent_at) = self.sent_at.get(usize::from(sequence)) else {
            self.result.corrupted += 1;
            return;
        };
        if reply[HEADER_BYTES..] != packet(ECHO_REPLY, sequence, size_bytes)[HEADER_BYTES..] {
            self.result.corrupted += 1;
        } else if std::mem::replace(&mut self.answered[usize::from(sequence)], true) {
            self.result.duplicates += 1;
        } else {
            let round_trip = u32::try_from(sent_at.elapsed().as_micros()).unwrap_or(u32::MAX);
            let [fastest, slowest, _] = &mut self.result.round_trip_us;
            *fastest = round_trip.min(*fastest);
            *slowest = round_trip.max(*slowest);
            self.total_us += u64::from(round_trip);
            self.result.received += 1;
        }
    }
}

/// An echo message; identifier and checksum are the kernel's business.
fn packet(kind: u8, sequence: u16, size_bytes: u16) -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES + usize::from(size_bytes)];
    packet[0] = kind;
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    Pattern::new(sequence.into()).fill(&mut packet[HEADER_BYTES..]);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let result = PingResult { round_trip_us: [u32::MAX, 0, 0], ..PingResult::default() };
        Tally { result, sent_at: vec![Instant::now(); 3], answered: vec![false; 3], total_us: 0 }
    }

    #[test]
    fn answers_are_told_from_duplicates_strangers_and_damage() {
        let mut tally = tally();
        tally.take(&packet(ECHO_REPLY, 1, 56), 56);
        tally.take(&packet(ECHO_REPLY, 1, 56), 56);
        tally.take(&packet(ECHO_REPLY, 9, 56), 56);
        let mut damaged = packet(ECHO_REPLY, 2, 56);
        damaged[20] ^= 1;
        tally.take(&damaged, 56);
        tally.take(&packet(ECHO_REQUEST, 2, 56), 56);
        assert_eq!((tally.result.received, tally.result.duplicates, tally.result.corrupted), (1, 1, 2));
    }
}
