//! Servers on the host as child processes, and what they say.

use std::fs::File;
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long until it is looked again whether a server listens.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A process that is killed on drop.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Starts a server; what it says on its standard error goes into `said` and the file.
    pub(crate) fn start(mut command: Command, said: &Log, mut file: File) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Self(command.spawn()?);
        let said = said.clone();
        if let Some(lines) = process.0.stderr.take().map(BufReader::new) {
            thread::spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    // The file is for people; a full disk must not stop the server.
                    let _ = writeln!(file, "{line}");
                    said.push(line);
                }
            });
        }
        Ok(process)
    }

    /// Waits until it listens on this port of the loopback interface, for a server that does not say so; whether it does, in
    /// time and before it has ended.
    pub(crate) fn listens(&mut self, port: u16, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() >= deadline || self.0.try_wait()?.is_some() {
                return Ok(false);
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(true)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a server has said, all its lives together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    /// How many lines there are.
    pub(crate) fn length(&self) -> usize {
        self.lines().len()
    }

    /// How many lines have this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        count(&self.lines(), text)
    }

    /// Waits until so many of the lines after the first `begin` have this text; whether they did in time.
    pub(crate) fn wait(&self, begin: usize, text: &str, wanted: usize, patience: Duration) -> bool {
        let missing = |lines: &mut Vec<String>| count(lines.get(begin..).unwrap_or_default(), text) < wanted;
        let waited = self.0.1.wait_timeout_while(self.lines(), patience, missing);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn push(&self, line: String) {
        self.lines().push(line);
        self.0.1.notify_all();
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many lines have this text.
fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}
