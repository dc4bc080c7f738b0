//! Tasks that talk without end next to one that listens, and tasks that come and go.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::{pending, poll_fn};
use core::task::Poll;
use core::time::Duration;

use embassy_futures::block_on;
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embedded_io_async::{ErrorType, Read, Write};
use kernel::{Feeding, Memory, Networked, Stop, System, feed};

use super::run;
use crate::Parameters;
use crate::hub::Hub;
use crate::parameters::Settings;
use crate::tasks::LET_GO;

/// What a task that talks says before the one that listens must have had its turn.
const PATIENCE: u32 = 10_000;
/// The task that listens.
const LISTENS: u16 = 3;
/// From here on tasks take what they get and say nothing.
const SILENT: u16 = 10;

/// A platform whose tasks are there at once.
#[derive(Default)]
struct Platform {
    /// The list of tasks, for who waits for another one: it is asked each time that something happens.
    listed: RefCell<BTreeMap<u16, String>>,
    /// The tasks to which there is a way.
    there: Rc<RefCell<Vec<u16>>>,
    network: testing::Guest,
}

/// A task that takes everything, and closes its end or talks.
struct Channel {
    task: u16,
    there: Rc<RefCell<Vec<u16>>>,
    said: u32,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.there.borrow_mut().retain(|task| *task != self.task);
    }
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
        self.there.borrow_mut().push(task);
        Ok(Channel { task, there: self.there.clone(), said: 0 })
    }

    async fn tasks(&self, known: &BTreeMap<u16, String>) -> BTreeMap<u16, String> {
        poll_fn(|_| match &*self.listed.borrow() {
            same if same == known => Poll::Pending,
            other => Poll::Ready(other.clone()),
        })
        .await
    }
}

impl Networked for Platform {
    type Network = testing::Guest;

    fn network(&self) -> &testing::Guest {
        &self.network
    }
}

impl ErrorType for Channel {
    type Error = Infallible;
}

impl Read for Channel {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if self.task >= SILENT {
            return pending().await;
        }
        self.said += 1;
        assert!(self.said < PATIENCE, "nobody else has had a turn");
        Ok(if self.task == LISTENS { 0 } else { buffer.len() })
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

fn hub(tasks: &[&str], platform: &Platform) -> Hub {
    let parameters = Parameters {
        source: "10.0.0.1".into(),
        topics: ["sensors/#".into()].into(),
        tasks: Some(tasks.iter().map(ToString::to_string).collect()),
        ..Parameters::default()
    };
    Hub::new(&Settings::new(parameters, platform).expect("parameters")).expect("memory")
}

/// Waits until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        yield_now().await;
    }
}

#[test]
fn a_task_that_talks_without_end_takes_no_more_than_its_turn() {
    let platform = Platform::default();
    let hub = hub(&["1?name=*&past_s=60", "2?name=*&live=yes", "3?name=*&past_s=60"], &platform);
    match block_on(select(run(&hub, &platform), until(|| !hub.tasks()[2].is_fed()))) {
        Either::First(never) => match never {},
        Either::Second(()) => assert_eq!(hub.report().tasks[2].ended, "complete"),
    }
    assert!(hub.tasks()[0].is_fed() && hub.tasks()[1].is_fed());
}

#[test]
fn tasks_come_and_go_while_others_are_fed_and_one_that_goes_leaves_no_way_to_it() {
    let platform = Platform::default();
    let hub = hub(&["10?name=*"], &platform);
    let list = |listed: &[(u16, &str)]| {
        let listed = listed.iter().map(|(task, text)| (*task, text.to_string()));
        platform.listed.replace(listed.collect());
    };
    let channels = &platform.there;
    let there = |tasks: &'static [u16]| {
        until(move || {
            channels.borrow_mut().sort_unstable();
            *channels.borrow() == tasks
        })
    };
    let course = async {
        there(&[10]).await;
        list(&[(11, "name=*"), (12, "name=*")]);
        there(&[10, 11, 12]).await;
        list(&[(12, "name=*"), (13, "colour=red")]);
        there(&[10, 12]).await;
        until(|| hub.tasks().iter().any(|task| task.number == 13 && !task.is_fed())).await;
        list(&[(14, "name=*")]);
        there(&[10, 14]).await;
    };
    match block_on(select(run(&hub, &platform), course)) {
        Either::First(never) => match never {},
        Either::Second(()) => {}
    }
    let report = hub.report();
    let ended = |task| &*report.tasks.iter().find(|found| found.task == task).expect("a report").ended;
    assert_eq!([ended(10), ended(11), ended(12), ended(14)], ["", LET_GO, LET_GO, ""]);
    assert!(ended(13).starts_with("its contract: a key is"), "{}", ended(13));
}
