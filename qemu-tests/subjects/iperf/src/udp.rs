//! UDP streams: one socket for all of them, told apart by the client's ports.
//!
//! A datagram begins with the time at which it was sent, in seconds and microseconds, and its number: 1 is the first.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::Poll;

use embassy_futures::{poll_once, yield_now};
use embassy_time::{Duration, Instant, Timer};
use embedded_nal_async::UnconnectedUdp;

use crate::failure::Failure;
use crate::protocol;
use crate::results::Tally;
use crate::settings::Settings;

/// The datagram by which a client shows its address, and the answer, by their bytes on the wire. Both are numbers in
/// the client's byte order, so there are two of each; older clients have others.
const GREETINGS: [([u8; 4], [u8; 4]); 4] = [
    (*b"9876", *b"6789"),
    (*b"6789", *b"9876"),
    (123_456_789_u32.to_le_bytes(), 987_654_321_u32.to_le_bytes()),
    (123_456_789_u32.to_be_bytes(), 987_654_321_u32.to_be_bytes()),
];

/// Time and number, the latter in its wide form.
const HEADER_BYTES: usize = 16;

/// After so many datagrams others get a turn, even if this could go on.
const TURN_DATAGRAMS: u32 = 256;

/// Sent as fast as they go, so many datagrams bear one time. They leave together, when this task waits; and where a
/// hypervisor emulates the clock, reading it costs as much as sending one.
const SAME_TIME_DATAGRAMS: u64 = 16;

/// How long a sender that is ahead of its rate waits.
const PACE: Duration = Duration::from_millis(1);

/// A client's stream.
pub struct Peer {
    remote: SocketAddr,
    /// The address of ours that the client uses.
    local: SocketAddr,
}

/// Throws away what came before this test, such as the end of the last one's datagrams: a socket whose queue is full
/// has no room for a greeting, and the client sends each greeting once.
pub async fn discard_earlier<S: UnconnectedUdp>(socket: &mut S) -> Result<(), Failure> {
    protocol::in_time(async {
        let mut turn = 0;
        while let Poll::Ready(received) = poll_once(socket.receive_into(&mut [])) {
            received.map_err(|_| Failure::Datagrams)?;
            take_turns(&mut turn).await;
        }
        Ok(())
    })
    .await
}

/// Waits until the client has shown the addresses of all its streams.
pub async fn accept<S: UnconnectedUdp>(socket: &mut S, settings: &Settings) -> Result<Vec<Peer>, Failure> {
    let mut peers = Vec::new();
    protocol::in_time(async {
        while peers.len() < settings.incoming + settings.outgoing {
            let mut greeting = [0; 4];
            let received = socket.receive_into(&mut greeting).await.map_err(|_| Failure::Datagrams)?;
            let (4, local, remote) = received else { continue };
            let Some((_, answer)) = GREETINGS.iter().find(|(known, _)| *known == greeting) else { continue };
            socket.send(local, remote, answer).await.map_err(|_| Failure::Datagrams)?;
            if peers.iter().all(|peer: &Peer| peer.remote != remote) {
                peers.push(Peer { remote, local });
            }
        }
        Ok(())
    })
    .await?;
    Ok(peers)
}

/// Counts what comes, for ever.
pub async fn receive<S: UnconnectedUdp>(
    socket: &mut S,
    peers: &[Peer],
    tallies: &[Tally],
    settings: &Settings,
) -> Failure {
    // What does not fit is not copied.
    let mut header = [0; HEADER_BYTES];
    let mut turn = 0;
    loop {
        let Ok((length, _, remote)) = socket.receive_into(&mut header).await else { return Failure::Datagrams };
        if length < HEADER_BYTES {
            continue;
        }
        let found = peers.iter().zip(tallies).find(|(peer, _)| peer.remote == remote);
        if let Some((_, tally)) = found {
            let header = Header::read(&header, settings.wide_counters);
            tally.add_bytes(length);
            tally.arrived(header.number, header.sent_us, Instant::now().as_micros());
        }
        take_turns(&mut turn).await;
    }
}

/// Sends, at the rate that is wanted or as the socket has room, for ever.
pub async fn send<S: UnconnectedUdp>(
    socket: &mut S,
    peers: &[Peer],
    tallies: &[Tally],
    settings: &Settings,
    block: &mut [u8],
) -> Failure {
    let start = Instant::now();
    let mut turn = 0;
    // The number of the last datagram, on every stream.
    let mut number = 0;
    let mut sent_us = 0;
    loop {
        pace(start, number, settings).await;
        if settings.bits_per_second != 0 || number.is_multiple_of(SAME_TIME_DATAGRAMS) {
            sent_us = Instant::now().as_micros();
        }
        number += 1;
        for (peer, tally) in peers.iter().zip(tallies) {
            let header = Header { sent_us, number };
            header.write(block, settings.wide_counters);
            if socket.send(peer.local, peer.remote, block).await.is_err() {
                return Failure::Datagrams;
            }
            tally.add_bytes(block.len());
            tally.left();
            take_turns(&mut turn).await;
        }
    }
}

/// Waits while so many datagrams on a stream since `start` are more than its rate allows.
async fn pace(start: Instant, datagrams: u64, settings: &Settings) {
    if settings.bits_per_second == 0 {
        return;
    }
    let due_us = due_us(datagrams, settings);
    while u128::from(start.elapsed().as_micros()) < due_us {
        Timer::after(PACE).await;
    }
}

/// When, in microseconds after the start, so many datagrams are just what the rate allows.
fn due_us(datagrams: u64, settings: &Settings) -> u128 {
    let bits = u128::from(datagrams) * settings.block_bytes as u128 * 8;
    bits * 1_000_000 / u128::from(settings.bits_per_second)
}

async fn take_turns(turn: &mut u32) {
    *turn += 1;
    if *turn >= TURN_DATAGRAMS {
        *turn = 0;
        yield_now().await;
    }
}

/// What a datagram begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    /// By the clock of who sent it.
    sent_us: u64,
    number: u64,
}

impl Header {
    fn read(bytes: &[u8; HEADER_BYTES], wide: bool) -> Self {
        let word = |index: usize| {
            u64::from(u32::from_be_bytes([bytes[index], bytes[index + 1], bytes[index + 2], bytes[index + 3]]))
        };
        let number = if wide { word(8) << 32 | word(12) } else { word(8) };
        Self { sent_us: word(0) * 1_000_000 + word(4), number }
    }

    fn write(self, datagram: &mut [u8], wide: bool) {
        let words = [(self.sent_us / 1_000_000) as u32, (self.sent_us % 1_000_000) as u32].map(u32::to_be_bytes);
        datagram[..8].copy_from_slice(words.as_flattened());
        match wide {
            true => datagram[8..16].copy_from_slice(&self.number.to_be_bytes()),
            false => datagram[8..12].copy_from_slice(&(self.number as u32).to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use core::convert::Infallible;
    use core::future::{pending, poll_fn};
    use core::net::Ipv4Addr;
    use core::pin::pin;

    const OURS: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5201);
    const CLIENT: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

    /// A socket with a queue of so many datagrams, of which each holds four bytes.
    struct Queue {
        room: usize,
        datagrams: VecDeque<[u8; 4]>,
        answers: Vec<Vec<u8>>,
    }

    impl Queue {
        /// What Linux does and smoltcp does: a datagram for which there is no room is gone.
        fn arrives(&mut self, datagram: [u8; 4]) {
            if self.datagrams.len() < self.room {
                self.datagrams.push_back(datagram);
            }
        }
    }

    impl UnconnectedUdp for Queue {
        type Error = Infallible;

        async fn send(&mut self, _: SocketAddr, _: SocketAddr, data: &[u8]) -> Result<(), Infallible> {
            self.answers.push(data.to_vec());
            Ok(())
        }

        async fn receive_into(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr, SocketAddr), Infallible> {
            let Some(datagram) = self.datagrams.pop_front() else { return pending().await };
            let length = buffer.len().min(datagram.len());
            buffer[..length].copy_from_slice(&datagram[..length]);
            Ok((datagram.len(), OURS, CLIENT))
        }
    }

    /// Polls a future that waits for nothing but its turn.
    fn finish<F: Future>(future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = poll_once(poll_fn(|context| future.as_mut().poll(context))) {
                return output;
            }
        }
    }

    #[test]
    fn a_greeting_finds_room_after_a_test_that_filled_the_queue() {
        let mut socket = Queue { room: 1000, datagrams: VecDeque::new(), answers: Vec::new() };
        (0..2000).for_each(|_| socket.arrives([0; 4]));
        finish(discard_earlier(&mut socket)).expect("the queue can be emptied");
        socket.arrives(*b"9876");
        let settings = Settings::read(br#"{"udp":true,"len":64}"#).expect("settings");
        let peers = finish(accept(&mut socket, &settings)).expect("a peer");
        assert_eq!((peers.len(), peers[0].remote, socket.answers.as_slice()), (1, CLIENT, &[b"6789".to_vec()][..]));
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for (wide, number) in [(true, 0x1_2345_6789), (false, 0x2345_6789)] {
            let header = Header { sent_us: 1_700_000_000_123_456, number };
            let mut bytes = [0; HEADER_BYTES];
            header.write(&mut bytes, wide);
            assert_eq!(Header::read(&bytes, wide), header);
        }
        let mut bytes = [0; HEADER_BYTES];
        Header { sent_us: 2_000_003, number: 5 }.write(&mut bytes, false);
        assert_eq!(bytes, [0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0]);
    }

    #[test]
    fn a_rate_says_when_datagrams_are_due() {
        let json = br#"{"udp":true,"len":1000,"bandwidth":8000000}"#;
        let settings = Settings::read(json).expect("settings");
        assert_eq!([0, 1, 1000].map(|datagrams| due_us(datagrams, &settings)), [0, 1000, 1_000_000]);
    }
}
