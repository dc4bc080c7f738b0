//! The command line of `spored`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::waker::Waker;
use crate::log::Format;
use crate::{Config, Toolstack};

/// Runs offloaded tasks on this board, each in a guest of its own.
///
/// It is started by systemd and told what to do with `spore`. When it ends, guests go on; when it starts, it takes
/// them over.
#[derive(Debug, Parser)]
#[command(name = "spored", version)]
struct Arguments {
    /// What the operator decides. A file that is not there says nothing: every key has a default.
    #[arg(long, default_value = "/etc/spore/node.toml")]
    config: PathBuf,
    /// How lines of the log look.
    #[arg(long, value_enum, default_value_t)]
    log_format: Format,
}

/// The whole program, with these words of its command line (the first is its name) and what starts its guests.
pub fn main<T: Toolstack + Send + 'static>(
    words: impl IntoIterator<Item = OsString>,
    toolstack: impl FnOnce(&Config, Waker) -> Result<T, String>,
) -> ExitCode {
    let Arguments { config, log_format } = Arguments::parse_from(words);
    let ran =
        Config::read(&config).and_then(|config| super::run(&config, log_format, |waker| toolstack(&config, waker)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
