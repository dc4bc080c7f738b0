//! A run of many parts: each is named before it runs, one that fails does not keep the others from running, and a list at
//! the end says how each of them ended.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::terminal::{self, Style};

/// One part and how it ended.
#[derive(Debug)]
pub struct Part {
    name: String,
    took: Duration,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// Not run, and what one types to have it run.
    Skipped(String),
}

impl Part {
    /// Says the part's name and runs it.
    pub fn run(name: impl Into<String>, part: impl FnOnce() -> Result<()>) -> Self {
        let name = name.into();
        terminal::say(terminal::on_stderr(format_args!("\n== {name}"), Style::Bold));
        let since = Instant::now();
        let outcome = match part() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                terminal::say(format_args!("{error:#}"));
                Outcome::Failed
            }
        };
        Self { name, took: since.elapsed(), outcome }
    }

    /// A part that this machine lacks a tool for; `typed` brings it.
    pub fn skipped(name: impl Into<String>, typed: impl Into<String>) -> Self {
        Self { name: name.into(), took: Duration::ZERO, outcome: Outcome::Skipped(typed.into()) }
    }

    /// Whether it ran and passed.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }

    fn line(&self) -> String {
        let Self { name, took, outcome } = self;
        let verdict = match outcome {
            Outcome::Passed => terminal::on_stderr("passed ", Style::Green),
            Outcome::Failed => terminal::on_stderr("FAILED ", Style::Red),
            Outcome::Skipped(_) => terminal::on_stderr("skipped", Style::Yellow),
        };
        match outcome {
            Outcome::Skipped(typed) => format!("{verdict}  {name}, which needs: {typed}"),
            _ => format!("{verdict}  {name} ({:.0} s)", took.as_secs_f64()),
        }
    }
}

/// Says how each part ended; the exit status says whether none failed.
pub fn summary(parts: &[Part]) -> ExitCode {
    terminal::say("");
    parts.iter().for_each(|part| terminal::say(part.line()));
    match parts.iter().any(|part| part.outcome == Outcome::Failed) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use anyhow::bail;

    use super::{Part, summary};

    #[test]
    fn a_failure_is_the_whole_runs_and_a_skipped_part_is_none() {
        let (good, bad) = (Part::run("good", || Ok(())), Part::run("bad", || bail!("broken")));
        let skipped = Part::skipped("other", "cargo install other");
        assert_eq!([good.passed(), bad.passed(), skipped.passed()], [true, false, false]);
        assert_eq!(skipped.line(), "skipped  other, which needs: cargo install other");
        let status = |parts: &[Part]| format!("{:?}", summary(parts));
        assert_eq!(status(&[bad]), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(status(&[good, skipped]), format!("{:?}", ExitCode::SUCCESS));
    }
}
