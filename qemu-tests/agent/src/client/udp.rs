//! UDP against an echo server: one datagram at a time, each awaited.

use super::pattern::Pattern;
use crate::protocol::{UdpEcho, UdpEchoResult};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// Sends the datagrams and counts what comes back.
///
/// # Errors
/// There is no socket. A datagram that the network refuses counts as sent and lost.
pub fn echo(wanted: &UdpEcho) -> io::Result<UdpEchoResult> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(wanted.address)?;
    let mut result = UdpEchoResult::default();
    let mut sent = vec![0; wanted.size_bytes.into()];
    let mut received = vec![0; usize::from(u16::MAX)];
    for number in 0..wanted.count {
        Pattern::new(number.into()).fill(&mut sent);
        // A refused datagram is a lost one.
        let _ = socket.send(&sent);
        result.sent += 1;
        let deadline = Instant::now() + Duration::from_millis(wanted.patience_ms.into());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut received) {
                Ok(length) if received[..length] == sent => {
                    result.received += 1;
                    break;
                }
                Ok(_) => result.corrupted += 1,
                // "Connection refused" and the like: the wait for this datagram goes on, an answer may still come.
                Err(_) => {}
            }
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn datagrams_come_back_and_lost_ones_are_counted() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = server.local_addr().unwrap() else { panic!("not IPv4") };
        std::thread::spawn(move || {
            let mut buffer = [0; 2000];
            for number in 0.. {
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                if number != 3 {
                    server.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        let result = echo(&UdpEcho { address, count: 5, size_bytes: 1400, patience_ms: 300 }).unwrap();
        assert_eq!(result, UdpEchoResult { sent: 5, received: 4, corrupted: 0 });
    }
}
