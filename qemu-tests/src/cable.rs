//! A network cable that can be cut: connections to its end go on to a server, until they don't.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The cable's state.
#[derive(Debug, Default)]
struct State {
    cut: bool,
    /// Both ends of every connection since the last cut.
    streams: Vec<TcpStream>,
    /// Bytes that go through before the cable cuts itself.
    budget: Option<u64>,
    /// It is mended at once when it has cut itself.
    hiccup: bool,
}

/// The cable. Its thread lives as long as the test's process.
#[derive(Debug, Clone)]
pub struct Cable {
    state: Arc<(Mutex<State>, Condvar)>,
    end: SocketAddr,
}

impl Cable {
    /// A whole cable to `server`, with its end on the loopback interface.
    ///
    /// # Errors
    /// The operating system has no port for it.
    pub fn to(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let cable = Self { state: Arc::default(), end: listener.local_addr()? };
        let accepting = cable.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is away closes the connection, as a cut does.
                if let Ok(server) = TcpStream::connect(server) {
                    accepting.join(client, server);
                }
            }
        });
        Ok(cable)
    }

    /// The address that leads to the server.
    #[must_use]
    pub fn end(&self) -> SocketAddr {
        self.end
    }

    /// Breaks all connections; new ones end at once until [`Cable::mend`].
    pub fn cut(&self) {
        let mut state = self.state();
        state.cut = true;
        self.state.1.notify_all();
        for stream in state.streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Makes the cable whole again.
    pub fn mend(&self) {
        let mut state = self.state();
        state.cut = false;
        state.budget = None;
    }

    /// Cuts the cable for a moment, in the middle of what happens to be under way, after so many more bytes.
    pub fn hiccup_after(&self, bytes: u64) {
        let mut state = self.state();
        (state.budget, state.hiccup) = (Some(bytes), true);
    }

    /// Cuts the cable after so many more bytes, until [`Cable::mend`].
    pub fn cut_after(&self, bytes: u64) {
        let mut state = self.state();
        (state.budget, state.hiccup) = (Some(bytes), false);
    }

    /// Waits until the cable is cut.
    pub fn wait_cut(&self) {
        let waited = self.state.1.wait_while(self.state(), |state| !state.cut);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, client: TcpStream, server: TcpStream) {
        let mut state = self.state();
        if state.cut {
            return;
        }
        let copies = [client.try_clone(), server.try_clone(), client.try_clone(), server.try_clone()];
        let Ok(copies) = copies.into_iter().collect::<Result<Vec<_>, _>>() else { return };
        state.streams.extend(copies);
        drop(state);
        for (from, to) in [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))] {
            if let (Ok(from), Ok(to)) = (from, to) {
                let cable = self.clone();
                thread::spawn(move || cable.carry(from, to));
            }
        }
    }

    /// Carries bytes one way until an end closes or the cable is cut.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let passed = self.pass(count);
            if to.write_all(&buffer[..passed]).is_err() {
                break;
            }
            if passed < count {
                let hiccup = self.state().hiccup;
                self.cut();
                if hiccup {
                    self.mend();
                }
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    /// How many of so many bytes go through.
    fn pass(&self, count: usize) -> usize {
        match &mut self.state().budget {
            None => count,
            Some(budget) => {
                let passed = (*budget).min(count as u64);
                *budget -= passed;
                passed as usize
            }
        }
    }
}
