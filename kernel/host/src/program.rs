//! A task's life as a process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use futures_lite::future;
use kernel::parameters::{Error, Parameters};
use kernel::{Outcome, System, console, net};
use postcard_schema::Schema;
use serde::de::DeserializeOwned;

use crate::{Host, help, log};

/// How long a task may go on after it was asked to end.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a task with the process's command line; [`crate::main!`] calls it.
pub fn run<P, O>(name: &str, task: impl AsyncFnOnce(P, &Host) -> O) -> ExitCode
where
    P: DeserializeOwned + Schema,
    O: Outcome,
{
    console::attach(&StandardOutput);
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{}", help::text::<P>(name));
        return ExitCode::SUCCESS;
    }
    let ended = match read::<P>(&words.join(" ")) {
        Ok((parameters, input)) => attempt(task, parameters, input),
        Err(error) => Err(format!("{error}\n{}", help::text::<P>(name))),
    };
    log::report_dropped();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Files that a process has in place of what a guest has from a node.
#[derive(serde::Deserialize)]
struct Input {
    /// Where the task's feed comes from.
    feed: Option<PathBuf>,
    /// A folder for the feeds of other tasks.
    feeds: Option<PathBuf>,
    /// Where what the task saves is kept.
    checkpoint: Option<PathBuf>,
}

/// Reads the task's parameters, the files, and the parameters of a guest's network, which have no meaning here.
fn read<P: DeserializeOwned>(command_line: &str) -> Result<(P, Input), Box<Error>> {
    let mut parameters = Parameters::parse(command_line)?;
    let task = parameters.read::<P>()?;
    let input = parameters.read()?;
    let network = net::Parameters::read(&mut parameters)?;
    let card = net::Card::read(&mut parameters)?;
    parameters.finish()?;
    if network != net::Parameters::default() || card != net::Card::default() {
        eprintln!("note: ip, gateway, dns, vif and pacing have no effect here; the task uses this machine's network");
    }
    Ok((task, input))
}

/// Runs the task to its end, and shows its report as one line.
fn attempt<P, O: Outcome>(
    task: impl AsyncFnOnce(P, &Host) -> O,
    parameters: P,
    Input { feed, feeds, checkpoint }: Input,
) -> Result<(), String> {
    let host = Host::new().map_err(|error| format!("the platform cannot start: {error}"))?;
    let host = host.with_feed(feed).with_feeds(feeds).keep_checkpoints(checkpoint.clone());
    let work = async {
        let (report, ended) = task(parameters, &host).await.parts();
        (report, ended.map_err(|error| error.to_string()))
    };
    let limit = async {
        host.stop_requested().await;
        async_io::Timer::after(GRACE).await;
        (None, Err(format!("the task did not end within {} s of being asked to", GRACE.as_secs())))
    };
    let (report, ended) = async_io::block_on(future::or(work, limit));
    if let Some(file) = checkpoint {
        // What has ended in order does not go on. There may have been nothing to save.
        drop(std::fs::remove_file(file));
    }
    if let Some(report) = report {
        let mut line = String::new();
        kernel::report::write(&report, &mut line).map_err(|_| "the report cannot be written".to_owned())?;
        println!("result: {line}");
    }
    ended
}

/// The process's standard output as the kernel's console.
struct StandardOutput;

impl console::Console for StandardOutput {
    fn write(&self, bytes: &[u8]) {
        use std::io::Write;
        // A closed standard output leaves nowhere to say so.
        let _ = std::io::stdout().write_all(bytes);
    }
}
