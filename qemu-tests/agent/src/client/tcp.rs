//! TCP against an echo server: many connections, or one long stream both ways at once.

use super::pattern::Pattern;
use crate::protocol::{TcpConnections, TcpConnectionsResult, TcpRoundTrips, TcpStream as Stream, TcpStreamResult};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes handed to the connection, or taken from it, at once.
const PIECE_BYTES: usize = 32 << 10;

/// How many times all streams were told to end: a stream that is to last until then ends when the number changes.
static ENDS: AtomicU64 = AtomicU64::new(0);

/// Lets the streams end that have no size.
pub fn end_streams() {
    ENDS.fetch_add(1, Ordering::Relaxed);
}

/// Opens the connections, `parallel` at a time.
#[must_use]
pub fn connections(wanted: &TcpConnections) -> TcpConnectionsResult {
    let start = Instant::now();
    let next = AtomicU32::new(0);
    let result = Mutex::new(TcpConnectionsResult::default());
    thread::scope(|scope| {
        for _ in 0..wanted.parallel.clamp(1, wanted.count.max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= wanted.count {
                        return;
                    }
                    let outcome = one_connection(wanted, number);
                    let mut result = result.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match outcome {
                        Ok(()) => result.succeeded += 1,
                        Err(error) => {
                            result.failed += 1;
                            result.first_error.get_or_insert(format!("connection {number}: {error}"));
                        }
                    }
                }
            });
        }
    });
    let mut result = result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    result.elapsed_us = microseconds(start);
    result
}

fn one_connection(wanted: &TcpConnections, number: u32) -> io::Result<()> {
    let mut connection = connect(wanted.address, wanted.patience_ms)?;
    let mut sent = vec![0; wanted.size_bytes as usize];
    Pattern::new(number.into()).fill(&mut sent);
    connection.write_all(&sent).map_err(named("send"))?;
    let mut received = vec![0; sent.len()];
    connection.read_exact(&mut received).map_err(named("read back"))?;
    if received != sent {
        return Err(io::Error::other("what came back differs from what was sent"));
    }
    connection.shutdown(Shutdown::Write).map_err(named("close"))?;
    match connection.read(&mut [0]).map_err(named("wait for the other side's close"))? {
        0 => Ok(()),
        _ => Err(io::Error::other("more came back than was sent")),
    }
}

/// Sends messages one after the other and returns the time that each needed to come back, in microseconds.
///
/// # Errors
/// The connection breaks, or a message comes back changed.
pub fn round_trips(wanted: &TcpRoundTrips) -> io::Result<Vec<u32>> {
    let mut connection = connect(wanted.address, wanted.patience_ms)?;
    connection.set_nodelay(true)?;
    let mut sent = vec![0; wanted.size_bytes as usize];
    let mut received = sent.clone();
    let mut times = Vec::new();
    for number in 0..wanted.count {
        Pattern::new(number.into()).fill(&mut sent);
        let start = Instant::now();
        connection.write_all(&sent).map_err(named("send"))?;
        connection.read_exact(&mut received).map_err(named("read back"))?;
        times.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
        if received != sent {
            return Err(io::Error::other("what came back differs from what was sent"));
        }
    }
    Ok(times)
}

/// Sends the pattern and checks what comes back, at the same time.
#[must_use]
pub fn stream(wanted: &Stream) -> TcpStreamResult {
    let start = Instant::now();
    let mut result = TcpStreamResult::default();
    if let Err(error) = stream_into(wanted, &mut result) {
        result.error = Some(error.to_string());
    }
    result.elapsed_us = microseconds(start);
    result
}

fn stream_into(wanted: &Stream, result: &mut TcpStreamResult) -> io::Result<()> {
    let ends = ENDS.load(Ordering::Relaxed);
    let connection = connect(wanted.address, wanted.patience_ms)?;
    let TcpStreamResult { sent_bytes, received_bytes, first_wrong_byte, .. } = result;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send_pattern(&connection, wanted, ends, sent_bytes));
        let received = receive_pattern(&connection, wanted, received_bytes, first_wrong_byte);
        if received.is_err() {
            // Wakes a sender that waits for room which will never come. The connection may be reset already.
            let _ = connection.shutdown(Shutdown::Both);
        }
        let sent = sender.join().unwrap_or_else(|_| Err(io::Error::other("the sender panicked")));
        // A reset is reported to one direction only, and looks like an ordinary end to the other.
        match (received, sent) {
            (Err(received), Err(sent)) => Err(io::Error::other(format!("{received}; {sent}"))),
            (received, sent) => received.and(sent),
        }
    })?;
    match sent_bytes.checked_sub(*received_bytes) {
        Some(0) => Ok(()),
        Some(missing) => Err(io::Error::other(format!("the other side closed {missing} bytes early"))),
        None => Err(io::Error::other("more came back than was sent")),
    }
}

fn send_pattern(mut connection: &TcpStream, wanted: &Stream, ends: u64, sent_bytes: &mut u64) -> io::Result<()> {
    let mut pattern = Pattern::new(wanted.seed);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let left = match wanted.size_bytes {
            Some(size_bytes) => size_bytes - *sent_bytes,
            None if ENDS.load(Ordering::Relaxed) == ends => u64::MAX,
            None => 0,
        };
        if left == 0 {
            break;
        }
        let length = piece_length(left);
        pattern.fill(&mut piece[..length]);
        connection.write_all(&piece[..length]).map_err(named("send"))?;
        *sent_bytes += length as u64;
    }
    connection.shutdown(Shutdown::Write).map_err(named("close"))
}

fn receive_pattern(
    mut connection: &TcpStream,
    wanted: &Stream,
    received_bytes: &mut u64,
    first_wrong_byte: &mut Option<u64>,
) -> io::Result<()> {
    let mut pattern = Pattern::new(wanted.seed);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = connection.read(&mut piece).map_err(named("receive"))?;
        if length == 0 {
            return Ok(());
        }
        if let Some(offset) = pattern.first_difference(&piece[..length]) {
            *received_bytes += offset as u64;
            *first_wrong_byte = Some(*received_bytes);
            return Err(io::Error::other(format!("byte {received_bytes} is wrong")));
        }
        *received_bytes += length as u64;
    }
}

fn piece_length(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
}

fn connect(address: SocketAddrV4, patience_ms: u32) -> io::Result<TcpStream> {
    let patience = Duration::from_millis(patience_ms.into());
    let connection = TcpStream::connect_timeout(&address.into(), patience).map_err(named("connect"))?;
    connection.set_read_timeout(Some(patience))?;
    connection.set_write_timeout(Some(patience))?;
    Ok(connection)
}

fn named(step: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{step}: {error}"))
}

fn microseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    /// An echo server on loopback that changes the byte at `wrong_byte` of each connection.
    fn server(wrong_byte: Option<usize>) -> SocketAddrV4 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                thread::spawn(move || {
                    let mut done = 0;
                    let mut piece = [0; 5000];
                    while let Ok(length @ 1..) = connection.read(&mut piece) {
                        if let Some(at) = wrong_byte.and_then(|at| at.checked_sub(done)).filter(|at| *at < length) {
                            piece[at] ^= 1;
                        }
                        done += length;
                        if connection.write_all(&piece[..length]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    #[test]
    fn connections_all_succeed_against_an_honest_server() {
        let wanted =
            TcpConnections { address: server(None), count: 20, parallel: 4, size_bytes: 3000, patience_ms: 10_000 };
        let result = connections(&wanted);
        assert_eq!((result.succeeded, result.failed, result.first_error), (20, 0, None));
    }

    #[test]
    fn each_message_has_a_time_and_a_changed_one_is_an_error() {
        let wanted =
            |wrong_byte| TcpRoundTrips { address: server(wrong_byte), count: 5, size_bytes: 64, patience_ms: 10_000 };
        assert_eq!(round_trips(&wanted(None)).unwrap().len(), 5);
        assert!(round_trips(&wanted(Some(100))).unwrap_err().to_string().contains("differs"));
    }

    #[test]
    fn a_refused_connection_is_counted_and_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        drop(listener);
        let result =
            connections(&TcpConnections { address, count: 2, parallel: 1, size_bytes: 1, patience_ms: 10_000 });
        assert_eq!((result.succeeded, result.failed), (0, 2));
        assert!(result.first_error.unwrap().starts_with("connection 0: connect: "));
    }

    #[test]
    fn a_stream_comes_back_whole() {
        let wanted = Stream { address: server(None), size_bytes: Some(1_000_001), seed: 7, patience_ms: 10_000 };
        let result = stream(&wanted);
        assert_eq!((result.sent_bytes, result.received_bytes, result.error), (1_000_001, 1_000_001, None));
    }

    #[test]
    fn a_stream_without_a_size_lasts_until_it_is_told_to_end() {
        let wanted = Stream { address: server(None), size_bytes: None, seed: 7, patience_ms: 10_000 };
        let running = thread::spawn(move || stream(&wanted));
        // More than once: the stream may not have begun the first time.
        while !running.is_finished() {
            thread::sleep(Duration::from_millis(10));
            end_streams();
        }
        let result = running.join().unwrap();
        assert_eq!((result.sent_bytes, result.error), (result.received_bytes, None));
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let wanted =
            Stream { address: server(Some(123_456)), size_bytes: Some(1_000_000), seed: 7, patience_ms: 10_000 };
        assert_eq!(stream(&wanted).first_wrong_byte, Some(123_456));
    }
}
