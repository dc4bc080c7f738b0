//! Guests' consoles and the toolstack's logs, sent on as they grow.
//!
//! One inotify descriptor covers both directories, so the order in which the files grew is the order in which their
//! bytes are sent, and nothing is polled: dom0 has a single emulated CPU.

use crate::protocol::{CONSOLE_DIRECTORY, LogSource, TOOLSTACK_DIRECTORY};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

/// The largest piece that is sent at once.
const PIECE_BYTES: usize = 64 << 10;

/// The guest whose log a file is.
#[must_use]
pub fn source_of(directory: &str, file: &str) -> Option<LogSource> {
    let stem = file.strip_suffix(".log")?;
    if directory == CONSOLE_DIRECTORY {
        stem.strip_prefix("guest-").map(|guest| LogSource::Console(guest.into()))
    } else {
        stem.strip_prefix("xl-").map(|guest| LogSource::Toolstack(guest.into()))
    }
}

/// The paths of a guest's logs.
#[must_use]
pub fn logs_of(guest: &str) -> [PathBuf; 2] {
    [
        Path::new(CONSOLE_DIRECTORY).join(format!("guest-{guest}.log")),
        Path::new(TOOLSTACK_DIRECTORY).join(format!("xl-{guest}.log")),
    ]
}

/// Sends all that is written to logs, for ever.
///
/// # Errors
/// inotify fails, or `send` does.
pub fn follow(mut send: impl FnMut(&LogSource, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let directories = [CONSOLE_DIRECTORY, TOOLSTACK_DIRECTORY];
    let notify = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    let interest =
        WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
    let mut watched = HashMap::new();
    for directory in directories {
        watched.insert(inotify::add_watch(&notify, directory, interest)?, directory);
    }
    let mut open: HashMap<PathBuf, File> = HashMap::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut events = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&notify, &mut events);
    loop {
        let event = events.next()?;
        let Some((directory, name)) = watched.get(&event.wd()).zip(event.file_name()) else { continue };
        let Ok(name) = name.to_str() else { continue };
        let Some(source) = source_of(directory, name) else { continue };
        let path = Path::new(directory).join(name);
        let kind = event.events();
        // A file of the same name may be another file now: xl renames its old log before it begins a new one.
        if kind.intersects(ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO) {
            open.remove(&path);
        }
        if kind.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            continue;
        }
        if !open.contains_key(&path) {
            // It may be gone again already.
            let Ok(file) = File::open(&path) else { continue };
            open.insert(path.clone(), file);
        }
        let Some(file) = open.get_mut(&path) else { continue };
        loop {
            match file.read(&mut piece)? {
                0 => break,
                length => send(&source, &piece[..length])?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_current_logs_of_guests_are_followed() {
        assert_eq!(source_of(CONSOLE_DIRECTORY, "guest-echo.log"), Some(LogSource::Console("echo".into())));
        assert_eq!(source_of(TOOLSTACK_DIRECTORY, "xl-echo.log"), Some(LogSource::Toolstack("echo".into())));
        assert_eq!(source_of(TOOLSTACK_DIRECTORY, "xl-echo.log.1"), None);
        assert_eq!(source_of(TOOLSTACK_DIRECTORY, "xen-hotplug.log"), None);
        assert_eq!(source_of(CONSOLE_DIRECTORY, "hypervisor.log"), None);
    }
}
