//! Feeds for other tasks, which are processes too: a socket for each, in a folder.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use async_io::Async;
use kernel::feed::Error;

/// The way to a task that is fed.
pub struct FeedSocket(Async<UnixStream>);

impl FeedSocket {
    /// Waits for a task at the socket of its number in a folder.
    pub(crate) async fn serve(folder: &Path, task: u16) -> Result<Self, Error> {
        let path = folder.join(task.to_string());
        let none = |why: io::Error| Error::None(format!("{}: {why}", path.display()));
        // One that an earlier process has left.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(none(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).and_then(Async::new).map_err(none)?;
        let (stream, _) = listener.accept().await.map_err(none)?;
        // As in a guest: there is one who takes it.
        fs::remove_file(&path).map_err(none)?;
        Ok(Self(stream))
    }

    /// Goes to the socket at which somebody feeds a task.
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        Async::<UnixStream>::connect(path).await.map(Self)
    }
}

impl embedded_io_async::ErrorType for FeedSocket {
    type Error = io::Error;
}

impl embedded_io_async::Read for FeedSocket {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_with(|mut stream| stream.read(buffer)).await
    }
}

impl embedded_io_async::Write for FeedSocket {
    async fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write_with(|mut stream| stream.write(data)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
