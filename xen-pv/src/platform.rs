//! The platform as a task sees it, and the order in which everything is brought up and down.
//!
//! Console, memory and traps work before [`run`]. It brings up the way to the toolstack, the network where the image
//! has its driver, and the task. Before the task starts and after it has ended nothing else runs, so there the platform
//! waits for xenstore in place, up to a limit where one is due: code that does not wait in a future is smaller.

use core::cell::{OnceCell, RefCell};
use core::fmt::Write;
use core::future::Future;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use embassy_executor::Spawner;
use embassy_executor::raw::TaskStorage;
use embassy_futures::select::{Either, select};
use embassy_time::Timer;
use kernel::entropy::Generator;
use kernel::parameters::Parameters;
use kernel::time::{Clock, Driver};
use kernel::{Counts, Memory, Outcome, Restored, Stop, System, checkpoint, println};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xen_sys::sched::ShutdownReason;
use xen_sys::types::Port;

pub use crate::boot::Boot;
use crate::event_channel::{Events, PORTS_MAX};
use crate::toolstack::Toolstack;
use crate::xen::{self, Xen};
use crate::{arch, console, memory, wall_clock};

mod devices;

#[cfg(feature = "vchan")]
pub use devices::Channels;
use devices::Devices;

embassy_time_driver::time_driver_impl!(static TIME: Driver<SystemTime> = Driver::new());

/// Xen's system time.
struct SystemTime;

impl Clock for SystemTime {
    fn now_ns() -> u64 {
        arch::now_ns()
    }
}

/// How long a task may go on after it was asked to end.
const GRACE: embassy_time::Duration = embassy_time::Duration::from_secs(10);

/// The platform.
pub struct Platform {
    /// When the guest began to run.
    entered_ns: u64,
    /// Random words that the toolstack has drawn.
    seed: Option<[u64; 4]>,
    toolstack: Toolstack,
    /// Made when it is first asked for, so that an image whose task never asks does without.
    random: OnceCell<Generator>,
    /// The task's own counts.
    counts: RefCell<Option<Rc<dyn Counts>>>,
    devices: Devices,
}

/// Runs a task; [`crate::main!`] calls it with what the entry found, which there is once.
pub fn run<P, F>(boot: Boot, name: &str, version: &str, task: impl FnOnce(P, &'static Platform) -> F + 'static) -> !
where
    P: DeserializeOwned + 'static,
    F: Future<Output: Outcome> + 'static,
{
    let figures = memory::figures();
    println!(
        "spore: {name} {version}, {} KiB, {} KiB for the heap",
        figures.total_bytes / 1024,
        figures.heap_bytes / 1024
    );
    let events = Events::new(Xen);
    let platform: &'static Platform = Box::leak(Box::new(Platform {
        entered_ns: boot.entered_ns,
        seed: boot.seed,
        toolstack: Toolstack::connect(boot.xenstore, &events),
        random: OnceCell::new(),
        counts: RefCell::default(),
        devices: Devices::new(events),
    }));
    kernel::executor::run(
        |spawner| {
            platform.toolstack.start(spawner, || platform.counters());
            match platform.prepare(spawner, boot.command_line) {
                Ok(parameters) => spawn(spawner, async move {
                    let (report, ended) = platform.limited(task(parameters, platform)).await;
                    let shown = report.map_or(Ok(()), |report| platform.show(&report));
                    platform.end(ended.and(shown))
                }),
                Err(message) => platform.end(Err(message)),
            }
        },
        |look| {
            events.dispatch();
            console::dispatch();
            if look {
                TIME.look();
            }
            TIME.next_wake_ns()
        },
        |until_ns| sleep(&events, until_ns),
    )
}

/// Waits for an event or the time of the next timer. Events which came before are still pending, and a time that has
/// passed ends the wait at once, so none is missed.
pub(crate) fn sleep(events: &Events<Xen>, until_ns: Option<u64>) {
    let mut ports = [Port(0); 1 + PORTS_MAX];
    let mut count = events.ports(&mut ports[1..]);
    let ports = match console::port() {
        Some(port) => {
            ports[0] = port;
            count += 1;
            &ports[..count]
        }
        None => &ports[1..=count],
    };
    xen::poll(ports, until_ns);
}

/// Starts a future of its own.
pub(crate) fn spawn(spawner: Spawner, future: impl Future<Output = ()> + 'static) {
    let storage = Box::leak(Box::new(TaskStorage::new()));
    match storage.spawn(|| future) {
        Ok(token) => spawner.spawn(token),
        // A storage that was just made is free.
        Err(_) => panic!("a new future cannot start"),
    }
}

impl Platform {
    /// Starts the drivers and reads the task's parameters.
    fn prepare<P: DeserializeOwned>(&'static self, spawner: Spawner, command_line: &'static [u8]) -> Result<P, String> {
        let text = core::str::from_utf8(command_line).map_err(|_| "the command line is not UTF-8")?;
        let mut words = Parameters::parse(text).map_err(|error| error.to_string())?;
        devices::start(self, spawner, &mut words)?;
        // Read in any case: keys of the task are not unknown because a program's parameters win over them.
        let typed = words.read();
        let parameters = match self.toolstack.parameters()? {
            Some(parameters) => parameters,
            None => typed.map_err(|error| error.to_string())?,
        };
        words.finish().map_err(|error| error.to_string())?;
        println!("task: started {} us after the guest", (arch::now_ns() - self.entered_ns) / 1000);
        Ok(parameters)
    }

    /// Runs the task to its end, or to a while after it was asked to end.
    async fn limited<O: Outcome>(&self, task: impl Future<Output = O>) -> (Option<O::Report>, Result<(), String>) {
        let outcome = select(task, async {
            self.toolstack.stop_requested().await;
            Timer::after(GRACE).await;
        })
        .await;
        self.devices.settle().await;
        match outcome {
            Either::First(outcome) => {
                let (report, ended) = outcome.parts();
                (report, ended.map_err(|error| error.to_string()))
            }
            Either::Second(()) => (None, Err(alloc::format!("the task did not end within {} s", GRACE.as_secs()))),
        }
    }

    /// Shows the report to a person and leaves it for a program.
    fn show<R: Serialize>(&self, report: &R) -> Result<(), String> {
        let mut line = String::new();
        kernel::report::write(report, &mut line).map_err(|_| "the report cannot be written")?;
        println!("result: {line}");
        self.toolstack.report(report);
        Ok(())
    }

    /// What was counted up to now, as `name=count ...`.
    fn counters(&self) -> String {
        let mut text = String::new();
        self.devices.count(&mut text);
        let figures = memory::figures();
        let (used, peak, lost) = (figures.heap_used_bytes, figures.heap_peak_bytes, console::lost_bytes());
        // A string takes what it is given.
        let _ = write!(text, "heap_used={used} heap_peak={peak} console_lost_bytes={lost}");
        if let Some(counts) = &*self.counts.borrow() {
            text.push(' ');
            counts.write(&mut text);
        }
        text
    }

    /// Ends the domain, after all that was written to the console has been taken.
    fn end(&self, mut outcome: Result<(), String>) -> ! {
        if let Err(message) = &mut outcome {
            message.insert_str(0, "error: ");
            println!("{message}");
        }
        self.toolstack.status(&outcome);
        let figures = memory::figures();
        println!(
            "memory: {} KiB of {} KiB heap used at most",
            figures.heap_peak_bytes.div_ceil(1024),
            figures.heap_bytes / 1024
        );
        console::flush();
        xen::shutdown(match self.toolstack.stop() {
            Some(Stop::Reboot) => ShutdownReason::Reboot,
            Some(Stop::PowerOff) | None => ShutdownReason::PowerOff,
        })
    }

    /// The generator of random bytes. It is seeded from the CPU's generator where there is one, the wall clock, the
    /// time since the host's boot, and what the toolstack adds.
    fn generator(&self) -> &Generator {
        self.random.get_or_init(|| {
            let random = Generator::new();
            let [first, second, third, fourth] = arch::entropy().or(self.seed).unwrap_or_default();
            let time = wall_clock::unix_time();
            let clocks = [time.as_secs(), time.subsec_nanos().into(), arch::now_ns(), self.toolstack.seed()];
            for word in [first, second, third, fourth].iter().chain(&clocks) {
                random.absorb(&word.to_le_bytes());
            }
            random
        })
    }
}

impl System for Platform {
    fn memory(&self) -> Memory {
        memory::figures()
    }

    fn random(&self, destination: &mut [u8]) {
        self.generator().fill(destination);
    }

    fn unix_time(&self) -> Duration {
        wall_clock::unix_time()
    }

    async fn stop_requested(&self) -> Stop {
        self.toolstack.stop_requested().await
    }

    async fn restored(&self) -> Restored {
        self.toolstack.restored().await
    }

    async fn checkpoint(&self, state: &[u8]) -> Result<(), checkpoint::Error> {
        self.toolstack.checkpoint(state).await
    }

    fn show_counts(&self, counts: Rc<dyn Counts>) {
        self.counts.replace(Some(counts));
    }

    async fn console_input(&self, destination: &mut [u8]) -> usize {
        console::read(destination).await
    }
}
