//! Tasks that talk without end, next to one that listens.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::future::pending;
use core::time::Duration;

use embassy_futures::block_on;
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embedded_io_async::{ErrorType, Read, Write};
use kernel::{Feeding, Memory, Stop, System, feed};

use super::run;
use crate::Parameters;
use crate::hub::Hub;
use crate::parameters::Settings;

/// What a task that talks says before the one that listens must have had its turn.
const PATIENCE: u32 = 10_000;
/// The task that listens.
const LISTENS: u16 = 3;

/// A platform whose tasks are there at once.
struct Platform;

/// A task that takes everything, and closes its end or talks.
struct Channel {
    talks: bool,
    said: u32,
}

impl System for Platform {
    fn memory(&self) -> Memory {
        unimplemented!("not asked for")
    }

    fn random(&self, destination: &mut [u8]) {
        destination.fill(0);
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_800_000_000)
    }

    async fn stop_requested(&self) -> Stop {
        pending().await
    }
}

impl Feeding for Platform {
    type Channel = Channel;

    async fn serve(&self, task: u16) -> Result<Channel, feed::Error> {
        Ok(Channel { talks: task != LISTENS, said: 0 })
    }
}

impl ErrorType for Channel {
    type Error = Infallible;
}

impl Read for Channel {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        self.said += 1;
        assert!(self.said < PATIENCE, "nobody else has had a turn");
        Ok(if self.talks { buffer.len() } else { 0 })
    }
}

impl Write for Channel {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn a_task_that_talks_without_end_takes_no_more_than_its_turn() {
    let tasks = ["1?name=*&past_s=60", "2?name=*&live=yes", "3?name=*&past_s=60"];
    let parameters = Parameters {
        source: "10.0.0.1".into(),
        topics: ["sensors/#".into()].into(),
        tasks: tasks.iter().map(|task| (*task).into()).collect::<Vec<_>>(),
        ..Parameters::default()
    };
    let settings = Settings::new(parameters, &Platform).expect("parameters");
    let hub = Hub::new(&settings).expect("memory");
    let listened = async {
        while hub.tasks[2].ended.borrow().is_empty() {
            yield_now().await;
        }
    };
    match block_on(select(run(&hub, &Platform), listened)) {
        Either::First(never) => match never {},
        Either::Second(()) => assert_eq!(*hub.tasks[2].ended.borrow(), "complete"),
    }
    assert!(hub.tasks[0].ended.borrow().is_empty() && hub.tasks[1].ended.borrow().is_empty());
}
