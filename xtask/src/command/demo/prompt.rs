//! People at shells of dom0: what they type is shown, done, and answered.

use std::time::Duration;

use anyhow::{Result, bail};
use qemu_tests::Bed;

use crate::terminal::{self, Style};

/// The longest that a command may take: one may wait for five days of readings to go by.
const PATIENCE: Duration = Duration::from_secs(300);
/// Lines of an answer that are shown.
const SHOWN_LINES: usize = 12;
/// Characters of a line that are shown.
const SHOWN_WIDTH: usize = 150;

/// Somebody at a shell.
pub struct Person<'b> {
    bed: &'b Bed,
    prompt: String,
    style: Style,
    /// What the shell has been told before: its folder and its variables.
    before: String,
}

/// What a command said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whether its status was 0.
    pub is_good: bool,
    /// All that it printed.
    pub text: String,
}

impl<'b> Person<'b> {
    /// The operator.
    pub fn operator(bed: &'b Bed) -> Self {
        Self { bed, prompt: "board#".to_owned(), style: Style::Bold, before: "cd /root".to_owned() }
    }

    /// A tenant, in a folder of its own.
    pub fn tenant(bed: &'b Bed, name: &str, style: Style) -> Result<Self> {
        bed.must(&format!("mkdir -p /root/{name}"))?;
        Ok(Self { bed, prompt: format!("{name}$"), style, before: format!("cd /root/{name}") })
    }

    /// Sets variables for all that follows.
    pub fn sets(&mut self, variables: &str) {
        self.show(&format!("export {variables}"));
        self.before += &format!("; export {variables}");
    }

    /// Types a command, and gives its answer whatever it is.
    pub fn types(&self, command: &str) -> Result<Answer> {
        self.show(command);
        let output = self.bed.shell_within(&format!("{}; {command}", self.before), PATIENCE)?;
        let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
        let voice = terminal::on_stdout("  |", Style::Dim);
        for line in text.lines().take(SHOWN_LINES) {
            println!("{voice} {}", line.chars().take(SHOWN_WIDTH).collect::<String>());
        }
        if let more @ 1.. = text.lines().count().saturating_sub(SHOWN_LINES) {
            println!("{voice} ... and {more} more lines");
        }
        Ok(Answer { is_good: output.status == 0, text })
    }

    /// Types a command that must succeed; returns what it printed.
    pub fn must(&self, command: &str) -> Result<String> {
        let Answer { is_good, text } = self.types(command)?;
        if !is_good {
            bail!("this failed: {command}\n{text}");
        }
        Ok(text)
    }

    /// Shows a command that is done in another way.
    pub fn show(&self, command: &str) {
        println!("{} {}", terminal::on_stdout(&self.prompt, self.style), terminal::on_stdout(command, Style::Bold));
    }
}
