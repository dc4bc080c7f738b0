//! Xen's own libxenvchan in dom0, as the other end of the channels of the subject `channels`.
//!
//! `libxenvchan-peer <library> serve|connect <domain> <path> <bytes> <order>...`: for each order a channel at
//! `<path>/<order>`, whose ring from the server to the client is so large; first the server sends so many bytes, then the
//! client. Every byte that comes is compared with what it must be.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "functions of a C library")]
mod library;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use library::{Channel, Library};

/// How much is moved at once: no divisor of a ring's size.
const PIECE_BYTES: usize = 3001;
/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [library, role, domain, path, bytes, orders @ ..] = &words[..] else {
        bail!("usage: libxenvchan-peer <library> serve|connect <domain> <path> <bytes> <order>...");
    };
    let library = Library::load(library)?;
    let (domain, bytes) = (domain.parse()?, bytes.parse()?);
    for order in orders {
        let path = format!("{path}/{order}");
        let order: u32 = order.parse()?;
        match role.as_str() {
            "serve" => {
                let mut channel = library.serve(domain, &path, 1, 1 << order)?;
                // So that a client that waits for its server's word has it.
                println!("serving {order}");
                send(&mut channel, bytes)?;
                receive(&mut channel, bytes)?;
            }
            "connect" => {
                let mut channel = connected(&library, domain, &path)?;
                receive(&mut channel, bytes)?;
                send(&mut channel, bytes)?;
                // Until the server has taken all: it closes.
                while channel.is_open() {
                    channel.wait()?;
                }
            }
            other => bail!("no role {other}"),
        }
        println!("done {order}");
    }
    Ok(())
}

/// Connects as soon as there is a server.
fn connected<'a>(library: &'a Library, domain: i32, path: &str) -> Result<Channel<'a>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match library.connect(domain, path) {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
}

/// What a byte of the stream is.
fn byte(at: usize) -> u8 {
    (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

fn send(channel: &mut Channel<'_>, bytes: usize) -> Result<()> {
    let mut sent = 0;
    while sent < bytes {
        let piece: Vec<u8> = (sent..bytes.min(sent + PIECE_BYTES)).map(byte).collect();
        match channel.write(&piece)? {
            0 if !channel.is_open() => bail!("the guest is gone after {sent} bytes"),
            0 => channel.wait()?,
            count => sent += count,
        }
    }
    Ok(())
}

fn receive(channel: &mut Channel<'_>, bytes: usize) -> Result<()> {
    let (mut received, mut piece) = (0, [0; PIECE_BYTES]);
    while received < bytes {
        let most = PIECE_BYTES.min(bytes - received);
        let count = channel.read(&mut piece[..most])?;
        for (at, found) in (received..).zip(&piece[..count]) {
            ensure!(*found == byte(at), "byte {at} is {found} instead of {}", byte(at));
        }
        received += count;
        match count {
            0 if !channel.is_open() => bail!("the guest is gone after {received} bytes"),
            0 => channel.wait()?,
            _ => {}
        }
    }
    Ok(())
}
