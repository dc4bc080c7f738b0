//! What a person sees on the terminal: colours where they are wanted, progress on what takes time.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The ways in which text is set apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Of less interest: commands that are run, log lines' origins.
    Dim,
    /// Headings and verdicts.
    Bold,
    /// Success.
    Green,
    /// A warning.
    Yellow,
    /// Failure.
    Red,
    /// A voice other than xtask's: a guest's console.
    Cyan,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Dim => "2",
            Style::Bold => "1",
            Style::Green => "1;32",
            Style::Yellow => "1;33",
            Style::Red => "1;31",
            Style::Cyan => "36",
        }
    }
}

fn coloured(is_terminal: bool) -> bool {
    is_terminal
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

fn paint(text: impl Display, style: Style, colours: bool) -> String {
    match colours {
        true => format!("\x1b[{}m{text}\x1b[0m", style.code()),
        false => text.to_string(),
    }
}

/// The text in a style, for standard error.
pub fn on_stderr(text: impl Display, style: Style) -> String {
    paint(text, style, coloured(stderr().is_terminal()))
}

/// The text in a style, for standard output.
pub fn on_stdout(text: impl Display, style: Style) -> String {
    paint(text, style, coloured(stdout().is_terminal()))
}

/// Says what is going on, on standard error: standard output is kept for results.
pub fn say(text: impl Display) {
    eprintln!("{text}");
}

/// Something that takes its time. While it lasts, a terminal shows for how long already; a log file gets one line.
///
/// Dropping it without [`Progress::done`] leaves the line as it is, for the error that follows to explain.
pub struct Progress {
    what: Arc<str>,
    since: Instant,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins; `what` is a phrase such as "booting Xen".
    pub fn start(what: impl Into<Arc<str>>) -> Self {
        let what = what.into();
        let since = Instant::now();
        if !stderr().is_terminal() {
            say(format_args!("{what} ..."));
            return Self { what, since, ticker: None };
        }
        let (stop, stopped) = channel::<()>();
        let shown = Arc::clone(&what);
        let thread = std::thread::spawn(move || {
            loop {
                let seconds = since.elapsed().as_secs();
                eprint!("\r\x1b[K{}", on_stderr(format_args!("{shown} ... {seconds} s"), Style::Dim));
                let _ = stderr().flush();
                if stopped.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                    eprint!("\r\x1b[K");
                    return;
                }
            }
        });
        Self { what, since, ticker: Some((stop, thread)) }
    }

    /// Ends well.
    pub fn done(mut self) {
        self.stop();
        let seconds = self.since.elapsed().as_secs_f64();
        say(on_stderr(format_args!("{}: done in {seconds:.1} s", self.what), Style::Dim));
    }

    fn stop(&mut self) {
        if let Some((stop, thread)) = self.ticker.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.ticker.is_some() {
            self.stop();
            say(format_args!("{} ... did not end", self.what));
        }
    }
}

/// Bytes as a person reads them, with the digits in groups of three.
pub fn bytes(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::{Style, bytes, paint};

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([bytes(0), bytes(999), bytes(1000), bytes(1234567)], ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn no_escape_reaches_what_is_no_terminal() {
        assert_eq!(paint("x", Style::Red, false), "x");
        assert_eq!(paint("x", Style::Red, true), "\x1b[1;31mx\x1b[0m");
    }
}
