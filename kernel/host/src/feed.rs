//! A file or a socket as a task's feed.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use embedded_io_async::Read;
use feed_files::Form;
use kernel::feed::{Error, Source};

use crate::FeedSocket;

/// How much is read at once.
const READ_BYTES: usize = 32 * 1024;

/// A feed that was made of a file, all at once, or comes from a task that feeds others.
pub struct HostFeed {
    bytes: Vec<u8>,
    /// What was consumed.
    start: usize,
    /// Where more comes from.
    socket: Option<FeedSocket>,
}

impl HostFeed {
    /// Reads a file, or goes to a socket.
    pub(crate) async fn open(file: &Path, now: f64) -> Result<Self, Error> {
        let none = |why: &dyn Display| Error::None(format!("{}: {why}", file.display()));
        if fs::metadata(file).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            let socket = FeedSocket::connect(file).await.map_err(|error| none(&error))?;
            return Ok(Self { bytes: Vec::new(), start: 0, socket: Some(socket) });
        }
        let form = Form::of(file).map_err(|error| Error::None(error.to_string()))?;
        let content = fs::read(file).map_err(|error| none(&error))?;
        let bytes = form.feed(&content, now).map_err(|error| none(&error))?;
        Ok(Self { bytes, start: 0, socket: None })
    }
}

impl Source for HostFeed {
    fn held(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    async fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
        let Some(socket) = &mut self.socket else { return Ok(false) };
        self.bytes.drain(..self.start);
        self.start = 0;
        let mut more = [0; READ_BYTES];
        while self.bytes.len() < wanted {
            match socket.read(&mut more).await.map_err(|error| Error::source(&error))? {
                0 => return Ok(false),
                count => self.bytes.extend(&more[..count]),
            }
        }
        Ok(true)
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}
