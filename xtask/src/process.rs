//! Running other programs: each command is shown before it runs, and no child outlives its owner.

use std::ffi::OsStr;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::terminal::{self, Style};

/// The cargo that runs xtask.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command as one would type it.
fn line(command: &Command) -> String {
    let mut words = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            // What one would type; xtask uses the other form because it allows spaces in a flag.
            let key = key.to_string_lossy().replace("CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS");
            words.push(format!("{key}={}", quoted(value)));
        }
    }
    let program = std::path::Path::new(command.get_program());
    words.push(quoted(program.file_name().unwrap_or(command.get_program())));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy().replace('\x1f', " ");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%^".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Shows the command.
pub fn show(command: &Command) {
    terminal::say(terminal::on_stderr(format_args!("$ {}", line(command)), Style::Dim));
}

/// Runs the command to its end, its output going where ours goes.
///
/// # Errors
/// When it does not start or does not succeed; the message has the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = spawn(command.stdin(Stdio::null()))?.wait()?;
    if !status.success() {
        bail!("this failed ({status}): {}", line(command));
    }
    Ok(())
}

/// Runs the command quietly and returns what it printed.
///
/// # Errors
/// When it does not start or does not succeed; the message has the command and what it said.
pub fn output(command: &mut Command) -> Result<Output> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("this did not start: {}", line(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("this failed ({}): {}\n{}", output.status, line(command), said.trim());
    }
    Ok(output)
}

/// Shows and starts the command.
pub fn spawn(command: &mut Command) -> Result<Running> {
    show(command);
    let child = command.spawn().with_context(|| format!("this did not start: {}", line(command)))?;
    Ok(Running(child))
}

/// A child process that is killed when its owner lets go of it.
pub struct Running(Child);

impl Running {
    /// Waits for its end.
    pub fn wait(&mut self) -> Result<std::process::ExitStatus> {
        self.0.wait().context("waiting for a child process")
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a wait() neither does anything.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{line, output, run};

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/cargo");
        command.env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS").args(["build", "a b", "it's"]);
        assert_eq!(line(&command), r"RUSTC_BOOTSTRAP=1 cargo build 'a b' 'it'\''s'");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err().to_string();
        assert_eq!(error, "this failed (exit status: 3): sh -c 'echo broken >&2; exit 3'\nbroken");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("no-such-program")).err().unwrap().to_string();
        assert_eq!(error, "this did not start: no-such-program");
    }
}
