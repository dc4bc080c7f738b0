//! The platform as a task sees it, and the order in which everything is brought up and down.
//!
//! Console, memory and traps work before [`run`]. It brings up, each as a future of its own: the xenstore client, the
//! watch for shutdown requests, the network where the image has its driver, and the task.

use core::cell::{Cell, RefCell};
use core::fmt::Display;
use core::future::Future;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use embassy_executor::Spawner;
use embassy_executor::raw::TaskStorage;
use embassy_futures::select::{Either, select};
use embassy_time::{Timer, with_timeout};
use kernel::entropy::Generator;
use kernel::parameters::Parameters;
use kernel::time::Driver;
use kernel::{Memory, Stop, System, println};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xen_sys::sched::POLL_PORTS_MAX;
use xen_sys::types::Port;

use crate::boot::SharedRing;
use crate::event_channel::Events;
use crate::lifecycle::{self, StopRequest};
use crate::real::{self, Xen};
use crate::single_cpu::SingleCpu;
use crate::xenstore::{Client, ErrorKind};
use crate::{arch, console, memory};

#[cfg(feature = "netfront")]
mod network;

embassy_time_driver::time_driver_impl!(static TIME: Driver = Driver::new(arch::now_ns));

static BOOT: SingleCpu<Cell<Option<Boot>>> = SingleCpu::new(Cell::new(None));

/// How long a task may go on after it was asked to end.
const GRACE: embassy_time::Duration = embassy_time::Duration::from_secs(10);

/// How long the end of a guest may be held up by somebody who does not answer.
const PATIENCE: embassy_time::Duration = embassy_time::Duration::from_secs(5);

/// What the boot leaves for the platform.
struct Boot {
    command_line: &'static [u8],
    xenstore: SharedRing,
}

/// Keeps what the platform needs once the task starts it.
pub(crate) fn boot(command_line: &'static [u8], xenstore: SharedRing) {
    BOOT.get().set(Some(Boot { command_line, xenstore }));
}

/// The platform.
pub struct Platform {
    random: Generator,
    request: StopRequest,
    #[cfg(feature = "netfront")]
    network: kernel::net::Handle,
}

/// Runs a task; [`crate::main!`] calls it.
///
/// # Panics
/// When called twice.
pub fn run<P, R, E, F>(name: &str, version: &str, task: impl FnOnce(P, &'static Platform) -> F + 'static) -> !
where
    P: DeserializeOwned + 'static,
    R: Serialize + 'static,
    E: Display + 'static,
    F: Future<Output = Result<R, E>> + 'static,
{
    let figures = memory::figures();
    println!("spore: {name} {version}, {} KiB, {} KiB for the heap", figures.total_bytes / 1024, figures.heap_bytes / 1024);
    let Some(boot) = BOOT.get().take() else { panic!("the platform runs once") };
    let events = Events::new(Xen);
    let store = Client::new(boot.xenstore.page, events.bind(boot.xenstore.port));
    let sources = events.clone();
    kernel::executor::run(
        |spawner| {
            let replies = store.clone();
            spawn(spawner, async move { replies.run().await });
            let bringing_up = BringUp { spawner, events, store, command_line: boot.command_line };
            spawn(spawner, bringing_up.run(task));
        },
        || {
            sources.dispatch();
            console::dispatch();
            TIME.next_wake_ns();
        },
        || sleep(&sources),
    )
}

/// Waits for an event or the next timer. Events which came before are still pending, so none is missed.
fn sleep(events: &Events<Xen>) {
    let mut ports = [Port(0); POLL_PORTS_MAX];
    let mut count = events.ports(&mut ports[1..]);
    let ports = match console::port() {
        Some(port) => {
            ports[0] = port;
            count += 1;
            &ports[..count]
        }
        None => &ports[1..=count],
    };
    real::poll(ports, TIME.next_wake_ns());
}

/// Starts a future of its own.
fn spawn(spawner: Spawner, future: impl Future<Output = ()> + 'static) {
    let storage = Box::leak(Box::new(TaskStorage::new()));
    match storage.spawn(|| future) {
        Ok(token) => spawner.spawn(token),
        // A storage that was just made is free.
        Err(_) => panic!("a new future cannot start"),
    }
}

/// What is there before the platform is.
struct BringUp {
    spawner: Spawner,
    events: Events<Xen>,
    store: Client<Xen>,
    command_line: &'static [u8],
}

impl BringUp {
    /// Brings everything up, runs the task, and ends the domain.
    async fn run<P, R, E, F>(self, task: impl FnOnce(P, &'static Platform) -> F)
    where
        P: DeserializeOwned,
        R: Serialize,
        E: Display,
        F: Future<Output = Result<R, E>>,
    {
        let request = StopRequest::default();
        spawn(self.spawner, lifecycle::watch(self.store.clone(), request.clone()));
        let outcome = match self.task(task, request.clone()).await {
            Ok(report) => self.write_report(&report).await,
            Err(message) => Err(message),
        };
        let status = match &outcome {
            Ok(()) => "ok".to_string(),
            Err(message) => {
                println!("error: {message}");
                alloc::format!("error: {message}")
            }
        };
        self.write_data("data/status", status.as_bytes()).await;
        lifecycle::end(request.get())
    }

    async fn task<P, R, E, F>(
        &self,
        task: impl FnOnce(P, &'static Platform) -> F,
        request: StopRequest,
    ) -> Result<R, String>
    where
        P: DeserializeOwned,
        E: Display,
        F: Future<Output = Result<R, E>>,
    {
        let random = self.random().await;
        let text = core::str::from_utf8(self.command_line).map_err(|_| "the command line is not UTF-8")?;
        let mut words = Parameters::parse(text).map_err(|error| error.to_string())?;
        #[cfg(feature = "netfront")]
        let network = network::start(self, words.read().map_err(|error| error.to_string())?, &random).await?;
        let parameters = self.parameters(words).await?;
        let platform: &'static Platform = Box::leak(Box::new(Platform {
            random,
            request,
            #[cfg(feature = "netfront")]
            network,
        }));
        let outcome = select(task(parameters, platform), async {
            platform.request.wait().await;
            Timer::after(GRACE).await;
        })
        .await;
        #[cfg(feature = "netfront")]
        // A peer that does not answer any more must not keep the guest from ending.
        let _ = with_timeout(PATIENCE, platform.network.settled()).await;
        match outcome {
            Either::First(outcome) => outcome.map_err(|error| error.to_string()),
            Either::Second(()) => Err(alloc::format!("the task did not end within {} s", GRACE.as_secs())),
        }
    }

    /// The task's parameters: those that a program left in xenstore, or else those of the command line.
    async fn parameters<P: DeserializeOwned>(&self, mut words: Parameters<'_>) -> Result<P, String> {
        match self.store.read("data/parameters").await {
            Ok(bytes) => {
                words.finish().map_err(|error| error.to_string())?;
                postcard::from_bytes(&bytes).map_err(|_| "data/parameters does not fit the task's parameters".into())
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                let parameters = words.read().map_err(|error| error.to_string())?;
                words.finish().map_err(|error| error.to_string())?;
                Ok(parameters)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Gathers entropy: the CPU's generator where there is one, clocks, the guest's identity, and the time that the
    /// reply from the other domain took.
    async fn random(&self) -> Generator {
        let random = Generator::new();
        if let Some(words) = arch::entropy() {
            words.iter().for_each(|word| random.absorb(&word.to_le_bytes()));
        }
        random.absorb(&arch::wall_clock_at_start_ns().to_le_bytes());
        random.absorb(&arch::now_ns().to_le_bytes());
        // The path of the guest's unique identifier; without it the other sources must do.
        random.absorb(&self.store.read("vm").await.unwrap_or_default());
        random.absorb(&arch::now_ns().to_le_bytes());
        random
    }

    /// Shows the report to a person and leaves it for a program.
    async fn write_report<R: Serialize>(&self, report: &R) -> Result<(), String> {
        let mut line = String::new();
        kernel::report::write(report, &mut line).map_err(|_| "the report cannot be written")?;
        println!("result: {line}");
        let bytes = postcard::to_allocvec(report).map_err(|_| "the report cannot be encoded")?;
        self.write_data("data/result", &bytes).await;
        Ok(())
    }

    async fn write_data(&self, path: &str, value: &[u8]) {
        match with_timeout(PATIENCE, self.store.write(path, value)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => println!("warning: {error}"),
            Err(_) => println!("warning: {path}: xenstore does not answer"),
        }
    }
}

impl System for Platform {
    fn memory(&self) -> Memory {
        memory::figures()
    }

    fn random(&self, destination: &mut [u8]) {
        self.random.fill(destination);
    }

    fn unix_time(&self) -> Duration {
        Duration::from_nanos(arch::wall_clock_at_start_ns() + arch::now_ns())
    }

    async fn stop_requested(&self) -> Stop {
        self.request.wait().await
    }
}

#[cfg(feature = "netfront")]
impl kernel::Networked for Platform {
    type Network = kernel::net::Handle;

    fn network(&self) -> &Self::Network {
        &self.network
    }
}
