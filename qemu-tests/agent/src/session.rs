//! Programs that the host talks to while they run: with pipes, or with a terminal, as one has after a login.

use crate::protocol::{self, Stream, TerminalSize};
use crate::run::status_of;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What is sent at once.
const PIECE_BYTES: usize = 16 << 10;

/// The sessions that run now, by the number of their call.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<u32, Arc<Running>>>);

/// A program and the host's end of its input.
struct Running {
    /// The program is the first of a process group.
    group: Pid,
    /// None once it has been ended.
    input: Mutex<Option<File>>,
    /// Whether the input is a terminal.
    terminal: bool,
}

/// A program that has started, and the host's ends of its input and outputs.
struct Started {
    child: Child,
    input: File,
    outputs: Vec<(Stream, File)>,
}

/// A session that has started and that nobody follows yet.
#[must_use]
pub struct Session {
    id: u32,
    child: Child,
    outputs: Vec<(Stream, File)>,
}

impl Sessions {
    /// Starts a program. From now on it takes input.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(&self, id: u32, wanted: &protocol::Session) -> Result<Session, String> {
        let started = match wanted.terminal {
            Some(size) => with_terminal(wanted, size),
            None => with_pipes(wanted),
        };
        let Started { child, input, outputs } = started.map_err(|error| format!("bash: {error}"))?;
        let group = Pid::from_child(&child);
        let running = Running { group, input: Mutex::new(Some(input)), terminal: wanted.terminal.is_some() };
        self.lock().insert(id, Arc::new(running));
        Ok(Session { id, child, outputs })
    }

    /// Gives `send` what a program prints until it and all that hold its outputs have ended. Returns its exit status.
    ///
    /// # Errors
    /// The status cannot be had.
    pub fn follow(
        &self,
        session: Session,
        send: impl Fn(Stream, &[u8]) -> io::Result<()> + Sync,
    ) -> Result<i32, String> {
        let Session { id, mut child, outputs } = session;
        let status = thread::scope(|scope| {
            for (stream, output) in outputs {
                let send = &send;
                scope.spawn(move || pass_on(output, |bytes| send(stream, bytes)));
            }
            child.wait()
        });
        self.lock().remove(&id);
        status.map(status_of).map_err(|error| format!("bash: {error}"))
    }

    /// Writes to a session's input, and returns once all is written; no bytes end the input.
    ///
    /// # Errors
    /// The session has ended, or does not read any more.
    pub fn input(&self, id: u32, bytes: &[u8]) -> Result<(), String> {
        let running = self.find(id)?;
        let mut input = running.input.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.is_empty() && !running.terminal {
            drop(input.take());
            return Ok(());
        }
        // A terminal has no end of its own: its user types one.
        let bytes = if bytes.is_empty() { &[END_OF_TRANSMISSION] } else { bytes };
        let Some(file) = input.as_mut() else { return Err("the input was ended before".into()) };
        file.write_all(bytes).map_err(|error| format!("input: {error}"))
    }

    /// Gives a session's terminal another size; its program hears of it.
    ///
    /// # Errors
    /// The session has ended, or has no terminal.
    pub fn resize(&self, id: u32, size: TerminalSize) -> Result<(), String> {
        let running = self.find(id)?;
        let input = running.input.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(terminal) = input.as_ref().filter(|_| running.terminal) else {
            return Err("it has no terminal".into());
        };
        tcsetwinsize(terminal, window(size)).map_err(|error| format!("resize: {error}"))
    }

    /// Kills a session's program and what it started; nothing happens when it has ended.
    pub fn kill(&self, id: u32) {
        if let Ok(running) = self.find(id) {
            // The group may have ended a moment ago: then there is nothing left to do.
            let _ = kill_process_group(running.group, Signal::KILL);
        }
    }

    fn find(&self, id: u32) -> Result<Arc<Running>, String> {
        self.lock().get(&id).cloned().ok_or_else(|| "the session has ended".to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<Running>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a person types to end a terminal's input.
const END_OF_TRANSMISSION: u8 = 4;

fn with_pipes(wanted: &protocol::Session) -> io::Result<Started> {
    let mut command = shell(wanted, Command::new("bash"));
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let missing = || io::Error::other("a pipe is missing");
    let input = OwnedFd::from(child.stdin.take().ok_or_else(missing)?);
    let output = OwnedFd::from(child.stdout.take().ok_or_else(missing)?);
    let error = OwnedFd::from(child.stderr.take().ok_or_else(missing)?);
    let outputs = vec![(Stream::Output, File::from(output)), (Stream::Error, File::from(error))];
    Ok(Started { child, input: File::from(input), outputs })
}

fn with_terminal(wanted: &protocol::Session, size: TerminalSize) -> io::Result<Started> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    tcsetwinsize(&ours, window(size))?;
    let theirs = File::from(ioctl_tiocgptpeer(&ours, flags)?);
    // Makes a session with this terminal, and thereby a process group; the standard library has no safe way to do it.
    let mut setsid = Command::new("setsid");
    setsid.args(["-c", "bash"]);
    if wanted.command.is_none() {
        setsid.arg("-l");
    }
    let mut command = shell(wanted, setsid);
    command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
    let child = command.spawn()?;
    // Otherwise this process would hold the terminal open, and its end would never be seen.
    drop(command);
    let input = File::from(ours);
    let output = input.try_clone()?;
    Ok(Started { child, input, outputs: vec![(Stream::Output, output)] })
}

fn shell(wanted: &protocol::Session, mut command: Command) -> Command {
    if let Some(script) = &wanted.command {
        command.args(["-c", script]);
    }
    command.current_dir(&wanted.directory).envs(wanted.environment.iter().map(|(name, value)| (name, value)));
    command
}

fn window(size: TerminalSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Gives `send` all that can be read. A terminal whose last program has ended says EIO.
fn pass_on(mut from: File, send: impl Fn(&[u8]) -> io::Result<()>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if send(&piece[..length]).is_err() {
            // The host is gone, and this machine ends with it.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// A session on this machine, in a thread of its own, and what it prints.
    struct Talk {
        sessions: Arc<Sessions>,
        printed: Receiver<(Stream, Vec<u8>)>,
        thread: thread::JoinHandle<Result<i32, String>>,
        seen: String,
    }

    impl Talk {
        fn start(command: &str, terminal: Option<TerminalSize>) -> Self {
            let sessions = Arc::new(Sessions::default());
            let (send, printed) = channel();
            let wanted = protocol::Session {
                command: Some(command.to_owned()),
                directory: "/".into(),
                environment: vec![("WORD".into(), "given".into())],
                terminal,
            };
            let session = sessions.start(7, &wanted).unwrap();
            let following = sessions.clone();
            let thread = thread::spawn(move || {
                following.follow(session, |stream, bytes| send.send((stream, bytes.to_vec())).map_err(io::Error::other))
            });
            Self { sessions, printed, thread, seen: String::new() }
        }

        /// Waits until this has been printed, on either output.
        fn wait_for(&mut self, text: &str) {
            while !self.seen.contains(text) {
                let (_, bytes) =
                    self.printed.recv().unwrap_or_else(|_| panic!("{text:?} did not come: {:?}", self.seen));
                self.seen += &String::from_utf8_lossy(&bytes);
            }
        }

        fn end(self) -> (i32, Vec<(Stream, Vec<u8>)>) {
            let status = self.thread.join().unwrap().unwrap();
            (status, self.printed.try_iter().collect())
        }
    }

    #[test]
    fn input_and_both_outputs_are_pipes_and_the_status_is_the_programs() {
        let mut talk = Talk::start("cat; echo $WORD >&2; pwd; exit 3", None);
        talk.sessions.input(7, b"in\n").unwrap();
        talk.wait_for("in\n");
        talk.sessions.input(7, b"").unwrap();
        let (status, printed) = talk.end();
        let of = |wanted| {
            let of = printed.iter().filter(|(stream, _)| *stream == wanted).flat_map(|(_, bytes)| bytes);
            String::from_utf8(of.copied().collect()).unwrap()
        };
        assert_eq!((status, of(Stream::Output).as_str(), of(Stream::Error).as_str()), (3, "/\n", "given\n"));
    }

    #[test]
    fn a_terminal_has_a_size_and_a_foreground_program_that_ctrl_c_ends() {
        let script = "trap 'stty size; exit 5' INT; stty size; echo ready; while :; do read -r line; done";
        let mut talk = Talk::start(script, Some(TerminalSize { rows: 11, columns: 77 }));
        talk.wait_for("11 77\r\nready");
        talk.sessions.resize(7, TerminalSize { rows: 12, columns: 78 }).unwrap();
        talk.sessions.input(7, b"\x03").unwrap();
        talk.wait_for("12 78");
        assert_eq!(talk.end().0, 5);
    }

    #[test]
    fn what_a_terminals_program_leaves_behind_does_not_keep_the_session() {
        let mut talk = Talk::start("sleep 1000 & echo ready; exit 6", Some(TerminalSize { rows: 2, columns: 2 }));
        talk.wait_for("ready");
        assert_eq!(talk.end().0, 6);
    }

    #[test]
    fn a_killed_session_reports_the_signal_and_takes_no_more_input() {
        let mut talk = Talk::start("echo ready; sleep 1000", None);
        talk.wait_for("ready");
        talk.sessions.kill(7);
        let sessions = talk.sessions.clone();
        assert_eq!(talk.end().0, 128 + 9);
        assert_eq!(sessions.input(7, b"x"), Err("the session has ended".to_owned()));
    }
}
