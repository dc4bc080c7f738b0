//! What a person sees on the terminal: colours where they are wanted, progress on what takes time.

use std::fmt::Display;
use std::io::{stderr, stdout};
use std::time::{Duration, Instant};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use indicatif::{ProgressBar, ProgressStyle};

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

impl From<Style> for anstyle::Style {
    fn from(style: Style) -> Self {
        let bold = |colour: AnsiColor| colour.on_default().bold();
        match style {
            Style::Dim => Self::new().dimmed(),
            Style::Bold => Self::new().bold(),
            Style::Green => bold(AnsiColor::Green),
            Style::Yellow => bold(AnsiColor::Yellow),
            Style::Red => bold(AnsiColor::Red),
            Style::Cyan => AnsiColor::Cyan.on_default(),
        }
    }
}

/// Whether a stream takes colours: a terminal whose user has not said otherwise, or one who has asked for them.
fn coloured(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

fn paint(text: impl Display, style: Style, colours: bool) -> String {
    match (colours, anstyle::Style::from(style)) {
        (true, style) => format!("{style}{text}{style:#}"),
        (false, _) => text.to_string(),
    }
}

/// The text in a style, for standard error.
pub fn on_stderr(text: impl Display, style: Style) -> String {
    paint(text, style, coloured(&stderr()))
}

/// The text in a style, for standard output.
pub fn on_stdout(text: impl Display, style: Style) -> String {
    paint(text, style, coloured(&stdout()))
}

/// Says what is going on, on standard error: standard output is kept for results.
pub fn say(text: impl Display) {
    eprintln!("{text}");
}

/// Something that takes its time. While it lasts, a terminal shows for how long already; a log file gets one line.
///
/// Dropping it without [`Progress::done`] leaves a line, for the error that follows to explain.
pub struct Progress {
    what: String,
    since: Instant,
    bar: ProgressBar,
}

impl Progress {
    /// Begins; `what` is a phrase such as "booting Xen".
    pub fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = ProgressBar::new_spinner().with_message(what.clone());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ... {elapsed}") {
            bar.set_style(style);
        }
        match bar.is_hidden() {
            true => say(format_args!("{what} ...")),
            false => bar.enable_steady_tick(Duration::from_millis(200)),
        }
        Self { what, since: Instant::now(), bar }
    }

    /// Ends well.
    pub fn done(self) {
        self.bar.finish_and_clear();
        let seconds = self.since.elapsed().as_secs_f64();
        say(on_stderr(format_args!("{}: done in {seconds:.1} s", self.what), Style::Dim));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
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
        assert_eq!(paint("x", Style::Cyan, true), "\x1b[36mx\x1b[0m");
    }
}
