//! A client of xenstored for programs in dom0, over its socket.
//!
//! The tools of Xen cost a process for each question, and change binary values on the way; the wire format is four
//! words and a payload. Source: `xen/include/public/io/xs_wire.h`.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

/// Where xenstored listens.
pub const SOCKET: &str = "/run/xenstored/socket";
/// The path whose watch tells that a domain has shut down or is gone.
pub const RELEASE: &str = "@releaseDomain";

/// How long xenstored may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest payload. Source: `XENSTORE_PAYLOAD_MAX`.
const PAYLOAD_MAX: usize = 4096;

/// What a message asks or tells. Source: `enum xsd_sockmsg_type`.
mod kind {
    pub(super) const DIRECTORY: u32 = 1;
    pub(super) const READ: u32 = 2;
    pub(super) const WATCH: u32 = 4;
    pub(super) const UNWATCH: u32 = 5;
    pub(super) const INTRODUCE: u32 = 8;
    pub(super) const WRITE: u32 = 11;
    pub(super) const REMOVE: u32 = 13;
    pub(super) const SET_PERMISSIONS: u32 = 14;
    pub(super) const WATCH_EVENT: u32 = 15;
    pub(super) const ERROR: u32 = 16;
}

/// Why xenstore could not be used.
#[derive(Debug, Error)]
pub enum Error {
    /// It refused.
    #[error("xenstore {path}: {code}")]
    Refused {
        /// What was asked about.
        path: String,
        /// Its error's name, such as `EACCES`.
        code: String,
    },
    /// It cannot be reached, or not in time.
    #[error("xenstored ({}): {source}", .socket.display())]
    Unreachable {
        /// Where it should be.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it says is no message of its own protocol.
    #[error("xenstored says something that its protocol does not have: {0}")]
    Protocol(String),
}

/// One of many changes that are made together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'c> {
    /// Sets a node's value, and makes the node where there is none, with the permissions of the one above it.
    Write {
        /// Which.
        path: &'c str,
        /// Its value.
        value: &'c [u8],
    },
    /// Says who may use a node: its owner, dom0, and who may read it.
    Permit {
        /// Which.
        path: &'c str,
        /// The domain whose it is.
        owner: u16,
        /// The one that may read it, if there is one.
        reader: Option<u16>,
    },
    /// Tells xenstored of a new domain, which from now on can use the store.
    Introduce {
        /// Its number.
        domain: u16,
        /// The frame of the page that they share.
        frame: u64,
        /// The event channel.
        port: u32,
    },
}

impl Change<'_> {
    /// Its kind, what errors call it, and the payload.
    fn message(&self) -> (u32, String, Vec<u8>) {
        match *self {
            Self::Write { path, value } => (kind::WRITE, path.to_owned(), [path.as_bytes(), b"\0", value].concat()),
            Self::Permit { path, owner, reader } => {
                let reader = reader.map_or_else(String::new, |reader| format!("r{reader}\0"));
                (kind::SET_PERMISSIONS, path.to_owned(), format!("{path}\0n{owner}\0{reader}").into_bytes())
            }
            Self::Introduce { domain, frame, port } => {
                (kind::INTRODUCE, format!("domain {domain}"), format!("{domain}\0{frame}\0{port}\0").into_bytes())
            }
        }
    }
}

/// A connection. One that broke is made anew by the next request; its watches are gone then.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: Option<UnixStream>,
    number: u32,
    events: VecDeque<String>,
}

impl Client {
    /// For xenstored's usual socket; connects with the first request.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Path::new(SOCKET))
    }

    /// For a socket elsewhere.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), stream: None, number: 0, events: VecDeque::new() }
    }

    /// A node's value, byte for byte; none when there is no such node.
    ///
    /// # Errors
    /// xenstored refuses or cannot be reached.
    pub fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        absent(self.request(kind::READ, path, b""))
    }

    /// The names below a node; none when there is no such node.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn list(&mut self, path: &str) -> Result<Option<Vec<String>>, Error> {
        let names = absent(self.request(kind::DIRECTORY, path, b""))?;
        Ok(names.map(|names| {
            let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        }))
    }

    /// Sets a node's value, and makes the node where there is none.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error> {
        self.request(kind::WRITE, path, value).map(drop)
    }

    /// Makes changes in this order. They are sent together: most of a request's time is the way there and back. They are
    /// no transaction: when one is refused, the others were made.
    ///
    /// # Errors
    /// xenstored refuses one of them (the first is named) or cannot be reached.
    pub fn change(&mut self, changes: &[Change<'_>]) -> Result<(), Error> {
        let messages: Vec<_> = changes.iter().map(Change::message).collect();
        if let Some((_, path, payload)) = messages.iter().find(|(_, _, payload)| payload.len() > PAYLOAD_MAX) {
            return Err(too_long(path, payload));
        }
        let answers = self.exchange(|client| {
            let mut bytes = Vec::new();
            let numbers: Vec<u32> =
                messages.iter().map(|(kind, _, payload)| client.message(*kind, payload, &mut bytes)).collect();
            client.connected()?.write_all(&bytes)?;
            numbers.into_iter().map(|number| client.answer(number)).collect::<Result<Vec<_>, Step>>()
        })?;
        let mut judged = messages.iter().zip(answers).map(|((kind, path, _), answer)| self.judge(*kind, path, answer));
        judged.try_for_each(|answer| answer.map(drop))
    }

    /// Removes a node and all below it; whether there was one.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn remove(&mut self, path: &str) -> Result<bool, Error> {
        absent(self.request(kind::REMOVE, path, b"")).map(|answer| answer.is_some())
    }

    /// Has [`Client::event`] tell when something at or below this path changes. It tells once at the beginning, so that
    /// a look after that misses nothing.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn watch(&mut self, path: &str) -> Result<(), Error> {
        self.request(kind::WATCH, path, &[path.as_bytes(), b"\0"].concat()).map(drop)
    }

    /// Ends a watch.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn unwatch(&mut self, path: &str) -> Result<(), Error> {
        self.request(kind::UNWATCH, path, &[path.as_bytes(), b"\0"].concat()).map(drop)
    }

    /// Waits for the next event of a watch and returns the watch's path; none when none came in time.
    ///
    /// # Errors
    /// The connection broke, and all watches with it.
    pub fn event(&mut self, patience: Duration) -> Result<Option<String>, Error> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        let deadline = Instant::now() + patience;
        match self.exchange(|client| client.next_event(deadline)) {
            Err(Error::Unreachable { source, .. }) if is_late(&source) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether an event waits that was read along with an answer: a poll of the socket would not tell.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The connection, to poll for events; none before the first request.
    #[must_use]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// Waits until a node has this value (`None`: until it is gone); returns what it is at last.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn wait_for(&mut self, path: &str, value: Option<&[u8]>, patience: Duration) -> Result<Option<Vec<u8>>, Error> {
        let deadline = Instant::now() + patience;
        self.watch(path)?;
        let found = loop {
            let now = self.read(path)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if now.as_deref() == value || left.is_zero() {
                break now;
            }
            self.event(left)?;
        };
        self.unwatch(path)?;
        Ok(found)
    }

    /// Sends a request and waits for its answer; a connection that failed at it is closed.
    fn request(&mut self, kind: u32, path: &str, argument: &[u8]) -> Result<Vec<u8>, Error> {
        let payload = [path.as_bytes(), b"\0", argument].concat();
        if payload.len() > PAYLOAD_MAX {
            return Err(too_long(path, &payload));
        }
        let answer = self.exchange(|client| {
            let mut bytes = Vec::new();
            let number = client.message(kind, &payload, &mut bytes);
            client.connected()?.write_all(&bytes)?;
            client.answer(number)
        })?;
        self.judge(kind, path, answer)
    }

    /// What an answer says to a request of this kind.
    fn judge(&mut self, kind: u32, path: &str, answer: (u32, Vec<u8>)) -> Result<Vec<u8>, Error> {
        match answer {
            (kind::ERROR, code) => {
                let code = String::from_utf8_lossy(&code).trim_end_matches('\0').to_owned();
                Err(Error::Refused { path: path.to_owned(), code })
            }
            (answered, payload) if answered == kind => Ok(payload),
            (answered, _) => {
                self.stream = None;
                Err(Error::Protocol(format!("the answer to a request of kind {kind} has kind {answered}")))
            }
        }
    }

    /// Does something with the connection, which is closed when that fails: what comes next on it is unknown.
    fn exchange<T>(&mut self, action: impl FnOnce(&mut Self) -> Result<T, Step>) -> Result<T, Error> {
        let (late, step) = match action(self) {
            Ok(value) => return Ok(value),
            Err(step @ Step::NothingCame) => (true, step),
            Err(step) => (false, step),
        };
        if !late {
            self.stream = None;
        }
        Err(match step {
            Step::NothingCame => self.unreachable(io::ErrorKind::TimedOut.into()),
            Step::Io(source) => self.unreachable(source),
            Step::Protocol(what) => Error::Protocol(what),
        })
    }

    fn unreachable(&self, source: io::Error) -> Error {
        Error::Unreachable { socket: self.socket.clone(), source }
    }

    /// Appends a message to what is to be sent; its number. A payload's length was judged before.
    fn message(&mut self, kind: u32, payload: &[u8], bytes: &mut Vec<u8>) -> u32 {
        self.number = self.number.wrapping_add(1);
        bytes.extend([kind, self.number, 0, payload.len() as u32].into_iter().flat_map(u32::to_ne_bytes));
        bytes.extend(payload);
        self.number
    }

    /// Waits for the answer to this request, which is the next one: its kind and payload.
    fn answer(&mut self, number: u32) -> Result<(u32, Vec<u8>), Step> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // An answer that does not come leaves the connection out of step: that it is late is an error like others.
            let message = self.receive(deadline).map_err(|step| match step {
                Step::NothingCame => Step::Io(io::ErrorKind::TimedOut.into()),
                other => other,
            })?;
            match message {
                Message { kind: kind::WATCH_EVENT, payload, .. } => self.events.push_back(watch_of(&payload)?),
                Message { kind, number: answered, payload } if answered == number => return Ok((kind, payload)),
                Message { number: answered, .. } => {
                    return Err(Step::Protocol(format!("an answer to request {answered}, not {number}")));
                }
            }
        }
    }

    fn next_event(&mut self, deadline: Instant) -> Result<String, Step> {
        match self.receive(deadline)? {
            Message { kind: kind::WATCH_EVENT, payload, .. } => watch_of(&payload),
            Message { kind, .. } => Err(Step::Protocol(format!("an answer of kind {kind} that nobody asked for"))),
        }
    }

    fn connected(&mut self) -> Result<&mut UnixStream, Step> {
        if self.stream.is_none() {
            self.events.clear();
            let stream = UnixStream::connect(&self.socket)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            self.stream = Some(stream);
        }
        self.stream.as_mut().ok_or_else(|| Step::Io(io::ErrorKind::NotConnected.into()))
    }

    fn receive(&mut self, deadline: Instant) -> Result<Message, Step> {
        let stream = self.stream.as_mut().ok_or_else(|| Step::Io(io::ErrorKind::NotConnected.into()))?;
        let mut header = [0; 16];
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        let begun = loop {
            match stream.read(&mut header) {
                Ok(0) => return Err(Step::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_late(&error) => return Err(Step::NothingCame),
                Err(error) => return Err(error.into()),
            }
        };
        // The rest of a message that has begun is under way.
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_exact(&mut header[begun..])?;
        let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = word(12) as usize;
        if length > PAYLOAD_MAX {
            return Err(Step::Protocol(format!("a payload of {length} bytes")));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        Ok(Message { kind: word(0), number: word(4), payload })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

struct Message {
    kind: u32,
    number: u32,
    payload: Vec<u8>,
}

/// Why a step on the connection failed.
enum Step {
    /// Not a byte came in time: the connection is as it was.
    NothingCame,
    Io(io::Error),
    Protocol(String),
}

impl From<io::Error> for Step {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The token of a watch event, which is the watch's path: "path\0token\0".
fn watch_of(payload: &[u8]) -> Result<String, Step> {
    let token = payload.split(|byte| *byte == 0).nth(1);
    let token = token.ok_or_else(|| Step::Protocol("a watch event without a token".into()))?;
    Ok(String::from_utf8_lossy(token).into_owned())
}

fn too_long(path: &str, payload: &[u8]) -> Error {
    Error::Refused { path: path.to_owned(), code: format!("{} bytes, E2BIG", payload.len()) }
}

/// What was asked about is not there.
fn absent<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(Error::Refused { code, .. }) if code == "ENOENT" => Ok(None),
        other => other.map(Some),
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
