//! Runs `xl`, one at a time, and never waits for ever.
//!
//! A node that is killed may leave an `xl` behind that is still making a guest. Each one's standard input is the lock
//! file, so the lock is held until the last of them has ended: who has the lock knows that nobody else makes guests.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::toolstack::Error;

/// How long a process that was killed may take to be gone: one that waits in the kernel is gone later.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two looks at the lock: the kernel tells nobody when it becomes free but who waits for ever.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// The most that is kept of what a process prints: a list of all guests has a hundred bytes for each.
const OUTPUT_MAX: usize = 1 << 20;
/// Bytes of an error's text that are kept: its end says what went wrong.
const SAID_MAX: usize = 600;

/// Runs a program, whose name stands in every error.
#[derive(Debug)]
pub(super) struct Runner {
    program: PathBuf,
    lock: File,
    patience: Duration,
    /// Those that were killed and not gone in time.
    stuck: Vec<Child>,
}

impl Runner {
    /// Takes the lock; waits for a process that an earlier node left, and kills it after `patience`.
    ///
    /// # Errors
    /// Another node has the lock.
    pub(super) fn new(program: PathBuf, lock: &Path, patience: Duration) -> Result<Self, Error> {
        let named = |source| Error::Lock { path: lock.to_owned(), source };
        fs::create_dir_all(lock.parent().unwrap_or(lock)).map_err(named)?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(lock).map_err(named)?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            let left = fs::read_to_string(lock).map_err(named)?;
            if let Some(process) = Process::from_text(&left) {
                process.end(patience);
            }
        }
        // What the process had started, and was killed with it, lets go of the lock a moment later.
        let deadline = Instant::now() + patience.min(KILL_PATIENCE);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { program, lock: file, patience, stuck: Vec::new() }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(named(io::Error::other("another node has it"))),
                Err(TryLockError::Error(source)) => return Err(named(source)),
            }
        }
    }

    /// Runs the program to its end; returns what it printed.
    ///
    /// # Errors
    /// It cannot be started, fails, or does not end in time: then it was killed.
    pub(super) fn run<A: AsRef<OsStr>>(&mut self, arguments: &[A]) -> Result<String, Error> {
        self.stuck.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let name = name(&self.program, arguments);
        let failed = |source| Error::Run { command: name.clone(), source };
        let mut command = Command::new(&self.program);
        command.args(arguments).process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(Stdio::from(self.lock.try_clone().map_err(failed)?));
        let mut child = command.spawn().map_err(failed)?;
        let process = Process::of(&child);
        self.note(&process).map_err(failed)?;
        let (mut printed, mut said) = (Vec::new(), Vec::new());
        let ended = collect(&mut child, &mut printed, &mut said, self.patience).map_err(failed)?;
        if !ended {
            process.kill();
            let gone = collect(&mut child, &mut printed, &mut said, KILL_PATIENCE).map_err(failed)?;
            let id = child.id();
            if gone {
                child.wait().map_err(failed)?;
            } else {
                self.stuck.push(child);
            }
            return Err(Error::Hung { command: name, process: id, patience: self.patience, said: tail(&said) });
        }
        let status = child.wait().map_err(failed)?;
        if !status.success() {
            let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            return Err(Error::Failed { command: name, status, said: tail(&said) });
        }
        String::from_utf8(printed).map_err(|error| Error::Garbage {
            command: name.clone(),
            read: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            why: "it is not UTF-8".into(),
        })
    }

    /// Writes down which process runs, for a node that starts while it does.
    fn note(&mut self, process: &Process) -> io::Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(process.to_text().as_bytes())
    }
}

/// A process, told from another one that has its number later by the time at which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    id: i32,
    began: u64,
}

impl Process {
    fn of(child: &Child) -> Self {
        let id = i32::try_from(child.id()).unwrap_or(0);
        Self { id, began: began(id).unwrap_or(0) }
    }

    fn to_text(self) -> String {
        format!("{} {}\n", self.id, self.began)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (id, began) = text.trim().split_once(' ')?;
        Some(Self { id: id.parse().ok()?, began: began.parse().ok()? })
    }

    fn lives(self) -> bool {
        began(self.id) == Some(self.began)
    }

    /// Kills it, and what it has started, if it is still the same.
    fn kill(self) {
        if let Some(group) = Pid::from_raw(self.id).filter(|_| self.lives()) {
            // It may have ended a moment ago.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits for its end, and kills it when that does not come.
    fn end(self, patience: Duration) {
        let Some(pidfd) = Pid::from_raw(self.id).filter(|_| self.lives()) else { return };
        let Ok(pidfd) = pidfd_open(pidfd, PidfdFlags::empty()) else { return };
        if !matches!(wait(&[pidfd.as_fd()], patience), Ok(ready) if ready[0]) {
            self.kill();
            // What is left then is said by the lock, which it still has.
            let _ = wait(&[pidfd.as_fd()], KILL_PATIENCE);
        }
    }
}

/// When a process began, in ticks since the boot; none when there is no such process. Source: proc(5), `stat`, field 22.
fn began(id: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is a name in brackets, which may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Takes what a process prints until it has ended; whether it has, in time.
///
/// Its end counts, not that of its output: what it has started may live on and hold the pipes.
fn collect(child: &mut Child, printed: &mut Vec<u8>, said: &mut Vec<u8>, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    let pidfd = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)).ok_or(io::ErrorKind::NotFound)?;
    let pidfd = pidfd_open(pidfd, PidfdFlags::empty())?;
    loop {
        let outputs: Vec<_> = [child.stdout.as_ref().map(AsFd::as_fd), child.stderr.as_ref().map(AsFd::as_fd)]
            .into_iter()
            .flatten()
            .chain([pidfd.as_fd()])
            .collect();
        let ready = wait(&outputs, deadline.saturating_duration_since(Instant::now()))?;
        let ended = ready.last() == Some(&true);
        take(&mut child.stdout, printed)?;
        take(&mut child.stderr, said)?;
        if ended {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
}

/// Takes what is in a pipe now, and closes it at its end.
fn take<R: Read + AsFd>(pipe: &mut Option<R>, into: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    while let Some(open) = pipe {
        if !wait(&[open.as_fd()], Duration::ZERO)?[0] {
            return Ok(());
        }
        match open.read(&mut piece)? {
            0 => *pipe = None,
            count => into.extend(&piece[..count.min(OUTPUT_MAX.saturating_sub(into.len()))]),
        }
    }
    Ok(())
}

/// Waits until one of these can be read; which ones.
fn wait(what: &[BorrowedFd<'_>], patience: Duration) -> io::Result<Vec<bool>> {
    let deadline = Instant::now() + patience;
    let mut polled: Vec<_> = what.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.try_into().map_err(io::Error::other)?;
        match poll(&mut polled, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            other => {
                other?;
                return Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect());
            }
        }
    }
}

/// The end of what a process said, on one line.
fn tail(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(&said[said.len().saturating_sub(SAID_MAX)..]);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// What errors call a run: the program's name and its first argument.
fn name<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> String {
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    arguments.first().map_or(program.clone(), |first| format!("{program} {}", first.as_ref().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Pid, Signal};
    use tempfile::TempDir;

    use super::{Process, Runner};
    use crate::toolstack::Error;

    const LONG: Duration = Duration::from_secs(100);

    fn runner(folder: &TempDir, patience: Duration) -> Result<Runner, Error> {
        Runner::new("/bin/sh".into(), &folder.path().join("lock"), patience)
    }

    #[test]
    fn output_is_taken_and_a_failure_says_status_and_words() {
        let folder = TempDir::new().unwrap();
        let mut runner = runner(&folder, LONG).unwrap();
        // More than a pipe holds, on both outputs.
        let script = "i=0; while [ $i -lt 9000 ]; do echo 0123456789; echo 0123456789 >&2; i=$((i+1)); done";
        assert_eq!(runner.run(&["-c", script]).unwrap().len(), 99_000);
        let error = runner.run(&["-c", "echo no memory >&2; echo for a guest >&2; exit 3"]).unwrap_err();
        assert_eq!(error.to_string(), "sh -c failed with status 3: no memory; for a guest");
    }

    #[test]
    fn one_that_hangs_is_killed_with_what_it_started_and_named() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("child");
        let mut runner = runner(&folder, Duration::from_millis(300)).unwrap();
        let script = format!("sleep 1000 & echo $! >{}; echo stuck >&2; wait", file.display());
        let error = runner.run(&["-c", &script]).unwrap_err().to_string();
        assert!(error.starts_with("sh -c did not end within 300ms and was killed (process "), "{error}");
        assert!(error.ends_with("): stuck"), "{error}");
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let ended = |id: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !ended(child) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn one_whose_child_lives_on_and_holds_the_output_is_not_waited_for() {
        let folder = TempDir::new().unwrap();
        let mut runner = runner(&folder, LONG).unwrap();
        let printed = runner.run(&["-c", "sleep 1000 & echo $!"]).unwrap();
        let child: i32 = printed.trim().parse().unwrap();
        assert!(Process { id: child, began: super::began(child).unwrap() }.lives());
        rustix::process::kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn a_second_node_is_refused_and_one_after_the_first_is_not() {
        let folder = TempDir::new().unwrap();
        let first = runner(&folder, LONG).unwrap();
        let error = runner(&folder, Duration::ZERO).unwrap_err().to_string();
        assert!(error.ends_with("another node has it"), "{error}");
        drop(first);
        runner(&folder, LONG).unwrap();
    }

    #[test]
    fn what_a_killed_node_left_running_is_ended_before_the_next_one_begins() {
        let folder = TempDir::new().unwrap();
        let mut left = {
            let mut runner = runner(&folder, LONG).unwrap();
            // As a killed node would leave it: it holds the lock by its standard input.
            let mut command = std::process::Command::new("/bin/sh");
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            let child = command.args(["-c", "sleep 1000"]).stdin(runner.lock.try_clone().unwrap()).spawn().unwrap();
            runner.note(&Process::of(&child)).unwrap();
            child
        };
        let reaper = std::thread::spawn(move || left.wait().unwrap());
        runner(&folder, Duration::from_millis(100)).unwrap();
        assert!(!reaper.join().unwrap().success());
    }
}
