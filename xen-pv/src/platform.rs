//! The platform as a task sees it, and the order in which everything is brought up and down.

use core::cell::Cell;
use core::fmt::Display;
use core::future::Future;
use core::time::Duration;

use alloc::boxed::Box;
use embassy_executor::Spawner;
use embassy_executor::raw::TaskStorage;
use kernel::entropy::Generator;
use kernel::parameters::Parameters;
use kernel::time::Driver;
use kernel::{Memory, Stop, System, println};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xen_sys::sched::ShutdownReason;

use crate::boot::SharedRing;
use crate::single_cpu::SingleCpu;
use crate::{arch, console, memory, real};

embassy_time_driver::time_driver_impl!(static TIME: Driver = Driver::new(arch::now_ns));

static BOOT: SingleCpu<Cell<Option<Boot>>> = SingleCpu::new(Cell::new(None));

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
    command_line: &'static [u8],
    random: Generator,
}

/// Runs a task; [`crate::main!`] calls it.
pub fn run<P, R, E, F>(name: &str, version: &str, task: impl FnOnce(P, &'static Platform) -> F + 'static) -> !
where
    P: DeserializeOwned + 'static,
    R: Serialize + 'static,
    E: Display + 'static,
    F: Future<Output = Result<R, E>> + 'static,
{
    let figures = memory::figures();
    println!("spore {name} {version}: {} KiB, {} KiB for the heap", figures.total_bytes / 1024, figures.heap_bytes / 1024);
    let boot = BOOT.get().take().unwrap_or_else(|| panic!("run is called once"));
    kernel::executor::run(
        |spawner| {
            let platform: &'static Platform =
                Box::leak(Box::new(Platform { command_line: boot.command_line, random: Generator::new() }));
            spawn(spawner, platform.run_task(task));
        },
        || {
            TIME.next_wake_ns();
        },
        || real::poll(&[], TIME.next_wake_ns()),
    )
}

/// Starts a future of its own.
fn spawn(spawner: Spawner, future: impl Future<Output = ()> + 'static) {
    let storage = Box::leak(Box::new(TaskStorage::new()));
    match storage.spawn(|| future) {
        Ok(token) => spawner.spawn(token),
        Err(error) => panic!("a new task cannot start: {error:?}"),
    }
}

impl Platform {
    async fn run_task<P, R, E, F>(&'static self, task: impl FnOnce(P, &'static Platform) -> F)
    where
        P: DeserializeOwned,
        R: Serialize,
        E: Display,
        F: Future<Output = Result<R, E>>,
    {
        let text = core::str::from_utf8(self.command_line).unwrap_or("");
        let parameters = Parameters::parse(text).and_then(|mut parameters| {
            let read = parameters.read::<P>()?;
            parameters.finish()?;
            Ok(read)
        });
        match parameters {
            Ok(parameters) => match task(parameters, self).await {
                Ok(report) => {
                    let mut line = alloc::string::String::new();
                    let _ = kernel::report::write(&report, &mut line);
                    println!("result: {line}");
                }
                Err(error) => println!("error: {error}"),
            },
            Err(error) => println!("error: {error}"),
        }
        console::flush();
        real::shutdown(ShutdownReason::PowerOff)
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
        core::future::pending().await
    }
}
