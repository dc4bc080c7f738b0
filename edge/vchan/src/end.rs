//! An end of a channel that is read and written as a file is.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use channel::{Channel, Error, Peer, Wait, Want};

use crate::directory::Shown;
use crate::events::Line;
use crate::memory::Memory;

/// How long a peer's death may go unnoticed: it sends no event.
const LOOK: Duration = Duration::from_secs(1);

/// An end of a channel. Reading and writing wait; a peer that is gone is the end of what is read, and an error of what is
/// written. Dropping it closes it: the peer is told, and can still read what it was sent.
#[derive(Debug)]
pub struct End {
    channel: Channel<Memory, Memory, Line>,
    /// What shows a server to its client.
    _shown: Option<Shown>,
}

impl End {
    pub(crate) fn new(channel: Channel<Memory, Memory, Line>, shown: Option<Shown>) -> Self {
        Self { channel, _shown: shown }
    }

    /// Waits for the client, and says whether it has come.
    ///
    /// # Errors
    /// The peer breaks the protocol.
    pub fn accept(&mut self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        while self.channel.peer().map_err(broken)? == Peer::Awaited {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.channel.events().wait(left.min(LOOK))?;
        }
        Ok(true)
    }

    /// Waits for what is wanted, and says whether it is there: otherwise the peer is gone.
    fn wait(&mut self, want: Want) -> io::Result<bool> {
        loop {
            match self.channel.prepare_wait(want).map_err(broken)? {
                Wait::Ready => return Ok(true),
                Wait::Closed => return Ok(false),
                Wait::Sleep => {
                    self.channel.events().wait(LOOK)?;
                    // A peer that is dead is remembered.
                    self.channel.peer().map_err(broken)?;
                }
            }
        }
    }
}

impl Read for End {
    fn read(&mut self, destination: &mut [u8]) -> io::Result<usize> {
        if destination.is_empty() || !self.wait(Want::Data(1))? {
            return Ok(0);
        }
        self.channel.read(destination).map_err(broken)
    }
}

impl Write for End {
    fn write(&mut self, source: &[u8]) -> io::Result<usize> {
        if source.is_empty() {
            return Ok(0);
        }
        if !self.wait(Want::Room(1))? {
            return Err(broken(Error::Closed));
        }
        self.channel.write(source).map_err(broken)
    }

    /// What was written is in the ring, and the peer is told already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(error: Error) -> io::Error {
    let kind = match error {
        Error::Closed => io::ErrorKind::BrokenPipe,
        Error::TooLong => io::ErrorKind::InvalidInput,
        Error::Broken(_) => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}
