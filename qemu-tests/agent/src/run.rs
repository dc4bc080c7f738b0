//! Scripts that the host wants run: any number at a time, each in a process group of its own.

use crate::protocol::Output;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::HashMap;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;

/// The scripts that run now, by the number of their call.
#[derive(Default)]
pub struct Scripts(Mutex<HashMap<u32, Pid>>);

impl Scripts {
    /// Runs a script to its end.
    ///
    /// # Errors
    /// The shell could not be started.
    pub fn run(&self, id: u32, script: &str) -> Result<Output, String> {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(script)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("/bin/sh: {error}"))?;
        self.lock().insert(id, Pid::from_child(&child));
        let output = child.wait_with_output();
        self.lock().remove(&id);
        let output = output.map_err(|error| format!("/bin/sh: {error}"))?;
        Ok(Output { status: status_of(output.status), stdout: output.stdout, stderr: output.stderr })
    }

    /// Kills a script and what it started; nothing happens when it has ended.
    pub fn kill(&self, id: u32) {
        if let Some(group) = self.lock().get(&id) {
            // The group may have ended a moment ago: then there is nothing left to do.
            let _ = kill_process_group(*group, Signal::KILL);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Pid>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A status as shells say it: 128 + signal when a signal ended the program.
pub(crate) fn status_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_status_are_kept_apart() {
        let output = Scripts::default().run(1, "echo out; echo err >&2; exit 3").unwrap();
        assert_eq!(output, Output { status: 3, stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec() });
    }

    #[test]
    fn a_killed_script_reports_the_signal() {
        let scripts = Scripts::default();
        let output = std::thread::scope(|scope| {
            let running = scope.spawn(|| scripts.run(5, "sleep 1000"));
            while !running.is_finished() {
                scripts.kill(5);
                std::thread::yield_now();
            }
            running.join().unwrap()
        });
        assert_eq!(output.unwrap().status, 128 + 9);
    }
}
