//! The program `spored`: a node with everything around it.
//!
//! Four threads, so that nothing waits for what may hang: the *clerk* owns the journal and decides (`books`); the
//! *hands* take turns with the toolstack (`hands`); one fetches tasks (`fetch`), one delivers results
//! (`deliver`); and the program's first thread serves all connections (`http`). They ask the clerk and wake each
//! other; they share nothing.

mod books;
mod clerk;
mod deliver;
mod fetch;
mod hands;
mod http;
mod metrics;
mod mqtt;
mod program;
mod refused;
mod steps;
mod waker;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use artifact::Store;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::log;
use crate::turn::Board;
use crate::{Config, Disk, GuestSpec, Node, Toolstack};

pub use program::main;
pub use waker::Waker;

use books::{Books, Facts};
use clerk::Clerk;
use steps::{Steps, Timed};

/// The kernel's name for this boot of the board.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Runs a node until it is told to end. `toolstack` makes what starts guests; the waker that it gets tells the node
/// that a guest may have changed. What the node needs and cannot use ends it, with a message.
fn run<T: Toolstack + Send + 'static>(
    config: &Config,
    format: log::Format,
    toolstack: impl FnOnce(Waker) -> Result<T, String>,
) -> Result<(), String> {
    log::set(format);
    let name = config.node_name()?;
    let boot = fs::read_to_string(BOOT_ID).map_err(|error| format!("{BOOT_ID}: {error}"))?.trim().to_owned();
    let state = &config.state;
    fs::create_dir_all(state).map_err(|error| format!("{}: {error}", state.display()))?;
    let journal = Disk::open(&state.join("journal"), config.bounds()).map_err(|error| error.to_string())?;
    let node = Node::new(journal).map_err(|error| error.to_string())?.with_feeder(config.feeder.clone());
    let images = state.join("images");
    let store = Store::open(&images, u64::from(config.images_mib) << 20).map_err(|error| error.to_string())?;
    let (waker, wakes) = Waker::new();
    let steps = Steps::default();
    let toolstack = Timed { toolstack: toolstack(waker.clone())?, steps: steps.clone() };
    let consoles = toolstack.consoles();
    let facts = Facts {
        name: name.clone(),
        xen: toolstack.xen_version(),
        network: !config.bridge.is_empty(),
        reserve_kib: u64::from(config.memory_reserve_mib) << 10,
        receivers: config.receivers.clone(),
        has_broker: config.broker.is_some(),
        save_pause: std::time::Duration::from_secs(config.checkpoint_seconds.into()),
    };
    let (fetches, fetched) = mpsc::channel();
    let (deliveries, delivered) = mpsc::channel();
    let again = fetches.clone();
    let books =
        Books::new(node, facts, steps.clone(), waker, fetches, deliveries).map_err(|error| error.to_string())?;
    let clerk = Clerk::start(books)?;
    let board = Board {
        boot,
        reserve_kib: u64::from(config.memory_reserve_mib) << 10,
        image: move |guest: &GuestSpec| {
            artifact::image_file(&images, guest.image).map_err(|error| {
                // Flash has forgotten it: it is fetched once more, and the guest is tried again after a pause.
                let _ = again.send(guest.key.clone());
                error.to_string()
            })
        },
    };
    let poll = std::time::Duration::from_millis(config.poll_milliseconds.into());
    let hands = clerk.clone();
    start("hands", move || hands::run(toolstack, &hands, &wakes, &board, poll))?;
    let fetching = fetch::Fetcher::new(store, clerk.clone(), config, steps);
    start("fetch", move || fetching.run(&fetched))?;
    let delivering = deliver::Deliverer::new(clerk.clone(), config)?;
    start("deliver", move || delivering.run(&delivered))?;
    serve(config, http::Server { clerk, name, consoles })
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(512 * 1024);
    builder.spawn(run).map(drop).map_err(|error| format!("starting the thread \"{name}\": {error}"))
}

/// Serves until the system asks the program to end.
fn serve(config: &Config, server: http::Server) -> Result<(), String> {
    let (socket, server) = (config.socket.as_path(), Arc::new(server));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime: {error}"))?;
    runtime.block_on(async {
        let listener = listen(socket)?;
        let signals = |kind| signal(kind).map_err(|error| format!("listening for signals: {error}"));
        let (mut terminate, mut interrupt) = (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
        log::say(log::Level::Info, &format!("node \"{}\" serves at {}", server.name, socket.display()));
        if let Some(listen) = &config.listen {
            tokio::spawn(http::remote::serve(listen.clone(), server.clone()));
        }
        tokio::select! {
            () = http::serve(listener, server) => {}
            _ = terminate.recv() => log::say(log::Level::Info, "told to end: guests go on"),
            _ = interrupt.recv() => log::say(log::Level::Info, "interrupted: guests go on"),
        }
        // A program that comes after this one finds nothing in its way; who asks meanwhile is told at once.
        drop(fs::remove_file(socket));
        Ok(())
    })
}

/// Listens at a path, where a dead program may have left a socket.
fn listen(path: &Path) -> Result<UnixListener, String> {
    let failed = |what: &str, error: std::io::Error| format!("{what} {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed("making the folder of", error))?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(format!("{}: another program serves there", path.display()));
    }
    drop(fs::remove_file(path));
    let listener = UnixListener::bind(path).map_err(|error| failed("listening at", error))?;
    // Everyone may connect: who may do what is decided with each call.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(|error| failed("opening", error))?;
    Ok(listener)
}
