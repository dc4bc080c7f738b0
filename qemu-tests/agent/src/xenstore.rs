//! A small client of xenstored, over its socket.
//!
//! Implements what public/io/xs_wire.h describes: a header of four words (type, request, transaction, length) and a
//! payload, both ways. One connection serves one operation; the tools in dom0 cost a process each and change binary
//! values on the way.

use crate::protocol::{Answer, Xenstore};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Where xenstored listens.
pub const SOCKET: &str = "/run/xenstored/socket";

const DIRECTORY: u32 = 1;
const READ: u32 = 2;
const WATCH: u32 = 4;
const WRITE: u32 = 11;
const RM: u32 = 13;
const WATCH_EVENT: u32 = 15;
const ERROR: u32 = 16;

/// Does one operation.
///
/// # Errors
/// xenstored's own error by its name, with the path; or that it cannot be reached.
pub fn perform(operation: &Xenstore) -> Result<Answer, String> {
    let mut connection = UnixStream::connect(SOCKET).map_err(|error| format!("{SOCKET}: {error}"))?;
    match operation {
        Xenstore::Read(path) => read(&mut connection, path).map(Answer::Value),
        Xenstore::List(path) => {
            let names = request(&mut connection, DIRECTORY, path, b"")?;
            let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Ok(Answer::Names(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()))
        }
        Xenstore::Write(path, value) => request(&mut connection, WRITE, path, value).map(|_| Answer::Done),
        Xenstore::Remove(path) => request(&mut connection, RM, path, b"").map(|_| Answer::Done),
        Xenstore::WaitFor { path, value, deadline_ms } => {
            wait_for(&mut connection, path, value.as_ref(), Duration::from_millis(u64::from(*deadline_ms)))
                .map(Answer::Value)
        }
    }
}

fn read(connection: &mut UnixStream, path: &str) -> Result<Option<Vec<u8>>, String> {
    match request(connection, READ, path, b"") {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.ends_with("ENOENT") => Ok(None),
        Err(error) => Err(error),
    }
}

fn wait_for(
    connection: &mut UnixStream,
    path: &str,
    value: Option<&Vec<u8>>,
    patience: Duration,
) -> Result<Option<Vec<u8>>, String> {
    let deadline = Instant::now() + patience;
    // A watch fires once when it is set, so the first look happens after it is in place and no change is missed.
    request(connection, WATCH, path, b"bed\0")?;
    loop {
        let now = read(connection, path)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if now.as_ref() == value || left.is_zero() {
            return Ok(now);
        }
        connection.set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
        match receive(connection) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(format!("xenstored: {error}")),
        }
        connection.set_read_timeout(None).map_err(|error| error.to_string())?;
    }
}

/// Sends a request about a path and returns the answer's payload; watch events that come in between are passed over.
fn request(connection: &mut UnixStream, kind: u32, path: &str, argument: &[u8]) -> Result<Vec<u8>, String> {
    let mut payload = path.as_bytes().to_vec();
    payload.push(0);
    payload.extend_from_slice(argument);
    let length = u32::try_from(payload.len()).map_err(|error| error.to_string())?;
    let header: Vec<u8> = [kind, 0, 0, length].into_iter().flat_map(u32::to_ne_bytes).collect();
    let mut exchange = || {
        connection.write_all(&[header.as_slice(), &payload].concat())?;
        loop {
            match receive(connection)? {
                (WATCH_EVENT, _) => {}
                answer => return io::Result::Ok(answer),
            }
        }
    };
    match exchange().map_err(|error| format!("xenstored: {error}"))? {
        (ERROR, name) => Err(format!("xenstore {path}: {}", String::from_utf8_lossy(&name).trim_end_matches('\0'))),
        (_, payload) => Ok(payload),
    }
}

fn receive(connection: &mut UnixStream) -> io::Result<(u32, Vec<u8>)> {
    let mut header = [0; 16];
    connection.read_exact(&mut header)?;
    let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let mut payload = vec![0; word(12) as usize];
    connection.read_exact(&mut payload)?;
    Ok((word(0), payload))
}
