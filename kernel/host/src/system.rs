//! Memory figures, randomness, the wall clock, the standard input, checkpoints, and Ctrl-C.

use std::cell::RefCell;
use std::fs::{self, File};
use std::future::{pending, poll_fn};
use std::io::{self, Stdin, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use async_io::Async;
use blocking::Unblock;
use futures_lite::AsyncRead;
use kernel::checkpoint::{Error, MAX_BYTES};
use kernel::feed::{self, Feed};
use kernel::{Fed, Feeding, Memory, Networked, Restored, Stop, System};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{FeedSocket, HostFeed, HostNetwork};

/// The exit status of a process that Ctrl-C ended, as shells count it.
const INTERRUPTED: i32 = 130;

/// The developer's machine as a task sees it.
pub struct Host {
    network: HostNetwork,
    /// Receives a byte for each signal that asks the process to end.
    signals: Async<UnixStream>,
    /// A thread of its own reads it: the standard input may be a file, which is never waited for, or a terminal, whose
    /// mode is not ours alone.
    input: RefCell<Unblock<Stdin>>,
    /// The file of the task's feed.
    feed: Option<PathBuf>,
    /// The folder of the tasks that it feeds.
    feeds: Option<PathBuf>,
    /// Where checkpoints are kept.
    checkpoint: Option<PathBuf>,
}

impl Host {
    /// Makes Ctrl-C and SIGTERM ask the task to end; a second Ctrl-C ends the process at once.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn new() -> std::io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        // The order counts: the condition is looked at before it is set.
        signal_hook::flag::register_conditional_shutdown(SIGINT, INTERRUPTED, asked.clone())?;
        signal_hook::flag::register(SIGINT, asked)?;
        let (signals, sender) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGINT, sender.try_clone()?)?;
        signal_hook::low_level::pipe::register(SIGTERM, sender)?;
        Ok(Self {
            network: HostNetwork::default(),
            signals: Async::new(signals)?,
            input: RefCell::new(Unblock::new(std::io::stdin())),
            feed: None,
            feeds: None,
            checkpoint: None,
        })
    }

    /// Gives the task a file of readings as its feed.
    #[must_use]
    pub fn with_feed(self, file: Option<PathBuf>) -> Self {
        Self { feed: file, ..self }
    }

    /// Gives the task a folder for the sockets of tasks that it feeds.
    #[must_use]
    pub fn with_feeds(self, folder: Option<PathBuf>) -> Self {
        Self { feeds: folder, ..self }
    }

    /// Keeps what the task saves in a file, for the next process that is told the same one.
    #[must_use]
    pub fn keep_checkpoints(self, file: Option<PathBuf>) -> Self {
        Self { checkpoint: file, ..self }
    }
}

/// Writes a file as a whole: whoever reads it, after whatever, finds this content or the one before.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

impl System for Host {
    fn memory(&self) -> Memory {
        let total_bytes = kilobytes("/proc/meminfo", "MemTotal:");
        let process = "/proc/self/status";
        Memory {
            total_bytes,
            image_bytes: kilobytes(process, "VmExe:"),
            heap_bytes: total_bytes,
            heap_used_bytes: kilobytes(process, "RssAnon:"),
            heap_peak_bytes: kilobytes(process, "VmHWM:"),
        }
    }

    fn random(&self, destination: &mut [u8]) {
        if let Err(error) = getrandom::fill(destination) {
            panic!("the operating system has no randomness: {error}");
        }
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    async fn stop_requested(&self) -> Stop {
        // The byte is left in the pipe, so that everybody who waits sees it, and everybody who asks later. Without the
        // pipe nobody could ask again, so an error counts as a request.
        let _ = self.signals.readable().await;
        Stop::PowerOff
    }

    async fn restored(&self) -> Restored {
        let Some(path) = &self.checkpoint else { return Restored::Unkept };
        match fs::read(path) {
            Ok(state) if !state.is_empty() => Restored::State(state),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                eprintln!("{}: {error}: the task begins afresh", path.display());
                Restored::Nothing
            }
            _ => Restored::Nothing,
        }
    }

    async fn checkpoint(&self, state: &[u8]) -> Result<(), Error> {
        let Some(path) = &self.checkpoint else { return Ok(()) };
        if state.len() > MAX_BYTES {
            return Err(Error::TooLarge(state.len()));
        }
        write_whole(path, state).map_err(|error| {
            eprintln!("{}: {error}", path.display());
            Error::NotTaken
        })
    }

    async fn console_input(&self, destination: &mut [u8]) -> usize {
        match poll_fn(|context| Pin::new(&mut *self.input.borrow_mut()).poll_read(context, destination)).await {
            Ok(length @ 1..) => length,
            // Nobody can type any more.
            Ok(0) | Err(_) => pending().await,
        }
    }
}

impl Fed for Host {
    type Source = HostFeed;

    async fn feed(&self) -> Result<Feed<HostFeed>, feed::Error> {
        match &self.feed {
            Some(file) => HostFeed::open(file, self.unix_time().as_secs_f64()).await.map(Feed::new),
            None => Err(feed::Error::None("name a file of readings, such as feed=readings.csv".to_owned())),
        }
    }
}

impl Feeding for Host {
    type Channel = FeedSocket;

    async fn serve(&self, task: u16) -> Result<FeedSocket, feed::Error> {
        match &self.feeds {
            Some(folder) => FeedSocket::serve(folder, task).await,
            None => {
                Err(feed::Error::None("name a folder for the sockets of tasks, such as feeds=/tmp/feeds".to_owned()))
            }
        }
    }
}

impl Networked for Host {
    type Network = HostNetwork;

    fn network(&self) -> &HostNetwork {
        &self.network
    }
}

/// A figure that Linux gives in kB, as bytes; 0 where there is none.
fn kilobytes(file: &str, key: &str) -> usize {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()).and_then(|number| number.parse().ok());
    number.unwrap_or(0usize) * 1024
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_lite::future;

    use super::*;

    #[test]
    fn memory_has_figures() {
        let memory = Host::new().expect("a platform").memory();
        assert!(memory.total_bytes > memory.heap_peak_bytes);
        assert!(memory.heap_peak_bytes > 0);
    }

    #[test]
    fn randomness_differs() {
        let host = Host::new().expect("a platform");
        let (mut one, mut other) = ([0; 16], [0; 16]);
        host.random(&mut one);
        host.random(&mut other);
        assert_ne!(one, other);
    }

    #[test]
    fn a_checkpoint_is_in_its_file_for_the_next_process() {
        let folder = std::env::temp_dir().join(format!("spore-host-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let host = || Host::new().expect("a platform").keep_checkpoints(Some(folder.join("state")));
        assert_eq!(async_io::block_on(Host::new().expect("a platform").restored()), Restored::Unkept);
        assert_eq!(async_io::block_on(host().restored()), Restored::Nothing);
        async_io::block_on(host().checkpoint(b"first")).expect("saved");
        async_io::block_on(host().checkpoint(b"second")).expect("saved");
        let too_large = async_io::block_on(host().checkpoint(&[0; MAX_BYTES + 1]));
        assert_eq!(too_large, Err(Error::TooLarge(MAX_BYTES + 1)));
        assert_eq!(async_io::block_on(host().restored()), Restored::State(b"second".to_vec()));
        fs::remove_dir_all(&folder).expect("the folder is removed");
        assert_eq!(async_io::block_on(host().checkpoint(b"third")), Err(Error::NotTaken));
    }

    #[test]
    fn a_signal_asks_the_task_to_end_again_and_again() {
        let host = Host::new().expect("a platform");
        signal_hook::low_level::raise(SIGTERM).expect("a signal");
        for _ in 0..2 {
            assert_eq!(async_io::block_on(host.stop_requested()), Stop::PowerOff);
        }
    }

    #[test]
    fn a_signal_is_seen_by_all_who_wait() {
        let host = Host::new().expect("a platform");
        let mut early = pin!(host.stop_requested());
        assert_eq!(async_io::block_on(future::poll_once(early.as_mut())), None);
        signal_hook::low_level::raise(SIGTERM).expect("a signal");
        assert_eq!(async_io::block_on(host.stop_requested()), Stop::PowerOff);
        let limit = async {
            async_io::Timer::after(Duration::from_secs(10)).await;
            None
        };
        assert_eq!(async_io::block_on(future::or(async { Some(early.await) }, limit)), Some(Stop::PowerOff));
    }
}
