//! What guests print, captured from their creation on, the last of it kept in memory.
//!
//! xenconsoled gives each domain a terminal, and keeps what nobody reads there for a while: so little is lost when a
//! node is killed and the next one goes on. One thread reads the terminals of all guests.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use xenstore::Client;

use super::{Piece, ReadConsole};
use crate::GuestId;

/// Bytes that are kept of each guest: some hundred lines.
const RING_BYTES: usize = 16 * 1024;
/// Bytes that are read from one terminal before the next one has its turn.
const PIECE_BYTES: usize = 4096;
/// A guest that has ended and printed nothing for so long has printed all: its last bytes lie in xenconsoled.
const QUIET: Duration = Duration::from_millis(250);
/// The thread's stack.
pub(super) const STACK_BYTES: usize = 128 * 1024;
/// How long the last bytes are waited for.
const LAST_BYTES_PATIENCE: Duration = Duration::from_secs(3);
/// The pause before xenstored is asked again when it failed.
const STORE_PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// All guests' consoles. Clones lead to the same ones, from any thread.
#[derive(Debug, Clone)]
pub(super) struct Consoles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wake: PipeWriter,
}

#[derive(Debug, Default)]
struct State {
    rings: BTreeMap<GuestId, Ring>,
    requests: Vec<Request>,
}

#[derive(Debug, Clone, Copy)]
enum Request {
    Attach(GuestId, u16),
    Detach(GuestId),
}

impl Consoles {
    /// Starts the thread, which asks this store for terminals.
    ///
    /// # Errors
    /// There are no more threads or files to be had.
    pub(super) fn start(store: Client) -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        let consoles = Self(Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), wake }));
        let mut capture = Capture { consoles: consoles.clone(), store, woken, wanted: Vec::new(), open: Vec::new() };
        thread::Builder::new().name("consoles".into()).stack_size(STACK_BYTES).spawn(move || capture.run())?;
        Ok(consoles)
    }

    /// Begins to read a guest's terminal, as soon as it has one.
    pub(super) fn attach(&self, guest: GuestId, domain: u16) {
        let mut state = self.state();
        if state.rings.contains_key(&guest) {
            return;
        }
        state.rings.insert(guest, Ring::default());
        state.requests.push(Request::Attach(guest, domain));
        drop(state);
        self.wake();
    }

    /// Ends reading a guest's terminal, and forgets what it said.
    pub(super) fn detach(&self, guest: GuestId) {
        let mut state = self.state();
        if state.rings.remove(&guest).is_some() {
            state.requests.push(Request::Detach(guest));
        }
        drop(state);
        self.wake();
    }

    /// Waits until a guest that has ended has nothing more to say.
    pub(super) fn settle(&self, guest: GuestId) {
        let deadline = Instant::now() + LAST_BYTES_PATIENCE;
        let mut before = None;
        while let Some(printed) = self.printed(guest) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || before == Some(printed) && printed > 0 {
                return;
            }
            before = Some(printed);
            let same = |state: &mut State| state.rings.get(&guest).is_some_and(|ring| ring.printed == printed);
            drop(self.0.changed.wait_timeout_while(self.state(), left.min(QUIET), same));
        }
    }

    fn printed(&self, guest: GuestId) -> Option<u64> {
        self.state().rings.get(&guest).map(|ring| ring.printed)
    }

    fn push(&self, guest: GuestId, bytes: &[u8]) {
        if let Some(ring) = self.state().rings.get_mut(&guest) {
            ring.push(bytes);
        }
        self.0.changed.notify_all();
    }

    fn wake(&self) {
        // The thread lives as long as a clone does.
        let _ = (&self.0.wake).write_all(&[0]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadConsole for Consoles {
    fn read(&self, guest: GuestId, from: u64) -> Option<Piece> {
        self.state().rings.get(&guest).map(|ring| ring.read(from))
    }
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
struct Ring {
    bytes: VecDeque<u8>,
    printed: u64,
}

impl Ring {
    fn push(&mut self, bytes: &[u8]) {
        self.printed += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(RING_BYTES)..];
        let too_many = (self.bytes.len() + bytes.len()).saturating_sub(RING_BYTES);
        self.bytes.drain(..too_many);
        self.bytes.extend(bytes);
    }

    fn read(&self, from: u64) -> Piece {
        let first = self.printed - self.bytes.len() as u64;
        let from = from.clamp(first, self.printed);
        let skipped = usize::try_from(from - first).unwrap_or(usize::MAX);
        Piece { from, bytes: self.bytes.iter().skip(skipped).copied().collect() }
    }
}

/// What the thread has.
struct Capture {
    consoles: Consoles,
    store: Client,
    woken: PipeReader,
    /// Guests that have no terminal yet, with their domains.
    wanted: Vec<(GuestId, u16)>,
    open: Vec<(GuestId, File)>,
}

impl Capture {
    fn run(&mut self) {
        loop {
            self.take_requests();
            let store_works = self.look_for_terminals();
            let Ok(ready) = self.wait(store_works) else { return };
            if ready.first() == Some(&true) {
                // A byte for each request; all are taken at once.
                let _ = self.woken.read(&mut [0; 64]);
            }
            let ready = &ready[ready.len() - self.open.len()..];
            let mut place = 0;
            let consoles = &self.consoles;
            self.open.retain_mut(|(guest, file)| {
                place += 1;
                !ready[place - 1] || read_some(file, |bytes| consoles.push(*guest, bytes))
            });
        }
    }

    fn take_requests(&mut self) {
        let requests = std::mem::take(&mut self.consoles.state().requests);
        for request in requests {
            match request {
                Request::Attach(guest, domain) => {
                    self.wanted.push((guest, domain));
                    // When that fails, the look that follows fails too, and watches again.
                    let _ = self.store.watch(&tty_path(domain));
                }
                Request::Detach(guest) => {
                    // What it still holds was waited for by who destroyed the guest.
                    self.open.retain(|(open, _)| *open != guest);
                    let gone = self.wanted.iter().filter(|(wanted, _)| *wanted == guest);
                    gone.for_each(|(_, domain)| drop(self.store.unwatch(&tty_path(*domain))));
                    self.wanted.retain(|(wanted, _)| *wanted != guest);
                }
            }
        }
    }

    /// Opens the terminals that there are by now; whether the store could be asked.
    fn look_for_terminals(&mut self) -> bool {
        while self.store.has_event() {
            let _ = self.store.event(Duration::ZERO);
        }
        for (guest, domain) in std::mem::take(&mut self.wanted) {
            let path = tty_path(domain);
            let terminal = match self.store.read(&path) {
                Ok(terminal) => terminal.unwrap_or_default(),
                Err(_) => {
                    self.wanted.push((guest, domain));
                    continue;
                }
            };
            let terminal = String::from_utf8_lossy(&terminal).into_owned();
            if terminal.is_empty() {
                self.wanted.push((guest, domain));
                continue;
            }
            let _ = self.store.unwatch(&path);
            match open(Path::new(&terminal)) {
                Ok(file) => self.open.push((guest, file)),
                Err(error) => {
                    self.consoles.push(guest, format!("(no console: {terminal}: {error})\n").as_bytes());
                }
            }
        }
        if self.wanted.is_empty() || self.store.as_fd().is_some() {
            return true;
        }
        // Watches ended with the connection.
        self.wanted.iter().all(|(_, domain)| self.store.watch(&tty_path(*domain)).is_ok())
    }

    /// Waits for a request, the store, or a terminal; which of them are ready.
    fn wait(&self, store_works: bool) -> rustix::io::Result<Vec<bool>> {
        let store = self.store.as_fd().filter(|_| !self.wanted.is_empty());
        let descriptors = [Some(self.woken.as_fd()), store].into_iter().flatten();
        let descriptors: Vec<BorrowedFd<'_>> =
            descriptors.chain(self.open.iter().map(|(_, file)| file.as_fd())).collect();
        let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let pause = (!store_works).then_some(&STORE_PAUSE);
        let pause = if self.store.has_event() { Some(&Timespec { tv_sec: 0, tv_nsec: 0 }) } else { pause };
        loop {
            match poll(&mut polled, pause) {
                Err(rustix::io::Errno::INTR) => {}
                other => {
                    other?;
                    return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect());
                }
            }
        }
    }
}

/// Takes some of what a terminal has; whether there may be more later.
fn read_some(file: &mut File, mut push: impl FnMut(&[u8])) -> bool {
    let mut piece = [0; PIECE_BYTES];
    match file.read(&mut piece) {
        Ok(0) => false,
        Ok(count) => {
            push(&piece[..count]);
            true
        }
        // xenconsoled closes its end when the domain is gone: then it is EIO.
        Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Not the terminal of this process, and none that is waited for.
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn tty_path(domain: u16) -> String {
    format!("/local/domain/{domain}/console/tty")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use protocol::Digest;
    use xenstore::Client;

    use super::{Consoles, RING_BYTES, Ring};
    use crate::toolstack::{Piece, ReadConsole};
    use crate::{GuestId, Key};

    #[test]
    fn the_last_bytes_are_kept_and_what_is_lost_shows() {
        let mut ring = Ring::default();
        ring.push(b"abc");
        assert_eq!(ring.read(1), Piece { from: 1, bytes: b"bc".to_vec() });
        assert_eq!(ring.read(9), Piece { from: 3, bytes: Vec::new() });
        ring.push(&vec![b'x'; RING_BYTES - 1]);
        assert_eq!((ring.read(0).from, &ring.read(0).bytes[..2]), (2, b"cx".as_slice()));
        ring.push(&[vec![b'y'; 3 * RING_BYTES].as_slice(), b"z"].concat());
        let piece = ring.read(5);
        assert_eq!(piece.from, (3 + RING_BYTES - 1 + 2 * RING_BYTES + 1) as u64);
        assert_eq!((piece.bytes.len(), piece.bytes[RING_BYTES - 1]), (RING_BYTES, b'z'));
    }

    #[test]
    fn the_last_bytes_are_waited_for() {
        // No store: no terminal is found, and the test is the one that prints.
        let consoles = Consoles::start(Client::at("/nowhere/socket".as_ref())).unwrap();
        let guest =
            GuestId::of(&Key { tenant: "acme".parse().unwrap(), id: "one".parse().unwrap() }, Digest::of(b""), 1);
        assert_eq!(consoles.read(guest, 0), None);
        consoles.attach(guest, 1);
        let printing = consoles.clone();
        let thread = thread::spawn(move || printing.push(guest, b"crash: why\n"));
        consoles.settle(guest);
        thread.join().unwrap();
        assert_eq!(consoles.read(guest, 0).unwrap().bytes, b"crash: why\n");
        consoles.detach(guest);
        assert_eq!(consoles.read(guest, 0), None);
        consoles.settle(guest);
    }
}
