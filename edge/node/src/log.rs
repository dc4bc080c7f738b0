//! What the program says, a line at a time: to people, or to programs as JSON.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use protocol::Timestamp;
use serde_json::json;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A level and a sentence. systemd adds the time.
    #[default]
    Text,
    /// One JSON object with `time`, `level` and `message`.
    Json,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
}

static JSON: AtomicBool = AtomicBool::new(false);

/// Chooses the format of all lines to come.
pub(crate) fn set(format: Format) {
    JSON.store(format == Format::Json, Ordering::Relaxed);
}

/// Writes a line to stderr.
pub(crate) fn say(level: Level, message: &str) {
    let word = match level {
        Level::Info => "info",
        Level::Warning => "warning",
    };
    let line = if JSON.load(Ordering::Relaxed) {
        let time = Timestamp::from(SystemTime::now());
        json!({ "time": time, "level": word, "message": message }).to_string()
    } else {
        format!("{word}: {}", message.escape_debug())
    };
    // A program whose log nobody takes any more still does its work.
    drop(writeln!(std::io::stderr(), "{line}"));
}
