//! A program in dom0 that is talked to while it runs.

use crate::link::{Event, Link};
use anyhow::{Result, anyhow, bail};
use bed_agent::protocol::{Request, Stream, TerminalSize};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long a program may leave its input unread. A person's program may do so for long.
const INPUT_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// A program that was started in dom0; killed on drop, if it still runs.
#[derive(Debug)]
pub struct Session {
    events: Receiver<Event>,
    input: Input,
    ended: bool,
}

/// What a look at a session finds.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Its program printed something.
    Printed(Stream, Vec<u8>),
    /// Its program ended with this exit status; 128 + signal when a signal ended it. There is no more.
    Ended(i32),
    /// Nothing, within the time that was given.
    Nothing,
}

impl Session {
    pub(crate) fn new(link: Arc<Link>, id: u32, events: Receiver<Event>) -> Self {
        Self { events, input: Input { link, id }, ended: false }
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// dom0 is gone, or says that something is wrong with the program.
    pub fn next(&mut self, patience: Duration) -> Result<News> {
        match self.events.recv_timeout(patience) {
            Ok(Event::Printed(stream, bytes)) => Ok(News::Printed(stream, bytes)),
            Ok(Event::Ended(status)) => {
                self.ended = true;
                status.map(News::Ended).map_err(|error| anyhow!("in dom0: {error}"))
            }
            Err(RecvTimeoutError::Timeout) => Ok(News::Nothing),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("{}", self.input.link.closed().unwrap_or_else(|| "the session has ended".into()))
            }
        }
    }

    /// The program's input, for another thread: what is written waits until it is read, and output has to be taken
    /// meanwhile.
    #[must_use]
    pub fn input(&self) -> Input {
        self.input.clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.ended {
            // dom0 may be gone, and the program with it.
            let _ = self.input.link.kill_session(self.input.id);
        }
    }
}

/// The input of a session's program.
#[derive(Debug, Clone)]
pub struct Input {
    link: Arc<Link>,
    id: u32,
}

impl Input {
    /// Writes bytes and returns once the program or its terminal has taken them.
    ///
    /// # Errors
    /// The program reads no more, or dom0 is gone.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        // No bytes would end the input.
        if bytes.is_empty() { Ok(()) } else { self.send(bytes) }
    }

    /// Ends the input.
    ///
    /// # Errors
    /// As [`Input::write`].
    pub fn end(&self) -> Result<()> {
        self.send(&[])
    }

    /// Gives the program's terminal another size.
    ///
    /// # Errors
    /// The program has no terminal or has ended, or dom0 is gone.
    pub fn resize(&self, size: TerminalSize) -> Result<()> {
        self.link.call(Request::Resize { session: self.id, size }, INPUT_PATIENCE).map(drop)
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        self.link.call(Request::Input { session: self.id, bytes: bytes.to_vec() }, INPUT_PATIENCE).map(drop)
    }
}
