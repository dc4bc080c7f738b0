//! The toolstack as xenstore knows it.
//!
//! | node, below the domain's own directory | |
//! |---|---|
//! | `control/shutdown` | `xl shutdown`, `reboot`, `save` write `poweroff`, `reboot`, `suspend`; the guest takes it by writing nothing |
//! | `control/sysrq` | `xl sysrq` writes a letter, whichever: the guest says what it has counted, then writes nothing; a program writes `counters`: the guest does not say it |
//! | `data/counters` | what it had counted then, as `name=count ...` |
//! | `data/checkpoint` | what the task has saved, where somebody keeps it: see `kernel::checkpoint` |
//! | `data/parameters`, `data/parameters-1`, ... | the task's parameters as postcard, where a program set them |
//! | `data/result`, `data/result-1`, ... | the task's report as postcard, see `kernel::nodes` |
//! | `data/status` | `ok`, or `error: ` and why |
//!
//! Source: `docs/misc/xenstore-paths.pandoc` of Xen, section Domain Controlled Paths.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use embassy_executor::Spawner;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use kernel::{Restored, Stop, checkpoint, nodes, println};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checkpoint::Checkpoints;
use crate::event_channel::Events;
use crate::platform::{sleep, spawn};
use crate::shared_ring::SharedRing;
use crate::xen::Xen;
use crate::xenstore::{Client, Error, ErrorKind, Request, Watch};
use crate::{arch, resume};

/// How long the end of a guest, or its task, may be held up by a store that does not answer.
const PATIENCE_NS: u64 = 5_000_000_000;

const SHUTDOWN: &str = "control/shutdown";
const SYSRQ: &str = "control/sysrq";
/// What a program writes there that has the guest counted: no letter, which is a person's.
const QUIETLY: &[u8] = b"counters";

/// The other end of xenstore.
pub(crate) struct Toolstack {
    /// The connection, which drivers use as well.
    pub(crate) store: Client<Xen>,
    checkpoints: Checkpoints<Xen>,
    events: Events<Xen>,
    stop: Cell<Option<Stop>>,
    waiting: RefCell<Vec<Waker>>,
    /// When the store answered first.
    answered_ns: Cell<u64>,
    /// What it said of the task's parameters, until they are taken.
    parameters: Cell<Option<Result<Vec<u8>, Error>>>,
}

impl Toolstack {
    /// Opens the connection.
    pub(crate) fn connect(ring: SharedRing, events: &Events<Xen>) -> Self {
        let store = Client::new(ring.page, events.bind(ring.port));
        Self {
            store,
            checkpoints: Checkpoints::new(store),
            events: *events,
            stop: Cell::default(),
            waiting: RefCell::default(),
            answered_ns: Cell::default(),
            parameters: Cell::default(),
        }
    }

    /// Starts moving messages and listening to requests, and reads the task's parameters: in one exchange, because each
    /// takes some ten milliseconds on a CPU that the toolstack shares with us and where it has not finished with this
    /// domain's creation.
    pub(crate) fn start(&'static self, spawner: Spawner, counters: impl Fn() -> String + 'static) {
        spawn(spawner, self.store.run());
        let (watch, registered) = self.store.start_watch("control");
        let parameters = self.store.read(nodes::PARAMETERS);
        let registered = self.wait(registered);
        self.answered_ns.set(arch::now_ns());
        self.parameters.set(Some(self.wait(parameters).and_then(|first| self.rest(nodes::PARAMETERS, first))));
        match registered {
            Ok(_) => spawn(spawner, self.listen(watch, counters)),
            Err(_) => println!("warning: xl shutdown, reboot and sysrq will not be heard"),
        }
    }

    /// Waits for a reply as long as it takes. For before the task starts: nothing else runs meanwhile.
    fn wait(&self, mut request: Request<'_, Xen>) -> Result<Vec<u8>, Error> {
        self.wait_until(&mut request, arch::now_ns() + PATIENCE_NS).unwrap_or_else(|| {
            println!("xenstore does not answer; waiting for it");
            loop {
                if let Some(reply) = self.wait_until(&mut request, u64::MAX) {
                    return reply;
                }
            }
        })
    }

    /// The whole value whose first node holds this.
    fn rest(&self, first: &str, mut value: Vec<u8>) -> Result<Vec<u8>, Error> {
        // A node that is full is not the last.
        let mut number = 1;
        while value.len() == number * nodes::NODE_BYTES && value.len() < nodes::MAX_BYTES {
            match self.wait(self.store.read(&nodes::path(first, number))) {
                Ok(part) => value.extend(part),
                // Not that there is no value: there is part of one.
                Err(_) => return Err(Error::new(ErrorKind::Malformed, first)),
            }
            number += 1;
        }
        Ok(value)
    }

    /// Waits for a reply, but not beyond a time; nothing else runs meanwhile.
    fn wait_until(&self, request: &mut Request<'_, Xen>, until_ns: u64) -> Option<Result<Vec<u8>, Error>> {
        let mut request = pin!(request);
        self.pump_until(until_ns, || match request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        })
    }

    /// Moves messages until `ready` finds what it looks for, but not beyond a time; nothing else runs meanwhile.
    fn pump_until<T>(&self, until_ns: u64, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            // Events are taken before the ring is looked at: one that comes after that look ends the sleep.
            self.events.dispatch();
            self.store.pump();
            if let Some(found) = ready() {
                return Some(found);
            }
            if arch::now_ns() >= until_ns {
                return None;
            }
            sleep(&self.events, Some(until_ns));
        }
    }

    /// Takes requests, for ever.
    async fn listen(&self, watch: Watch<Xen>, counters: impl Fn() -> String) {
        loop {
            watch.changed().await;
            for &node in &[SHUTDOWN, SYSRQ] {
                // Without a request there may be no node, which is an error that says nothing new.
                match self.store.read(node).await {
                    Ok(request) if request.is_empty() => {}
                    Ok(request) if node == SHUTDOWN => self.take_request(&request),
                    Ok(request) => self.show(&counters(), request != QUIETLY),
                    Err(_) => {}
                }
            }
        }
    }

    /// Shows what was counted to a program, which knows that it is there when the request is gone, and `aloud` to a
    /// person.
    fn show(&self, counters: &str, aloud: bool) {
        if aloud {
            println!("counters: {counters}");
        }
        self.tell("data/counters", counters.as_bytes());
        self.tell(SYSRQ, b"");
    }

    /// Writes a node and does not wait for the reply.
    // Inlined, each use would cost a hundred bytes.
    #[inline(never)]
    fn tell(&self, path: &str, value: &[u8]) {
        drop(self.store.write(path, value));
    }

    fn take_request(&self, request: &[u8]) {
        let stop = match request {
            b"poweroff" | b"halt" => Stop::PowerOff,
            b"reboot" => Stop::Reboot,
            b"suspend" if arch::SUSPENDS => return self.suspend(),
            _ => return println!("warning: control/shutdown holds a request that Spore does not know"),
        };
        println!("asked to {}", if stop == Stop::Reboot { "reboot" } else { "power off" });
        self.stop.set(Some(stop));
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        // That it was taken; when that cannot be told, the guest obeys all the same.
        self.tell(SHUTDOWN, b"");
    }

    /// Takes the request, and suspends once no message is under way: the store that goes on with the guest knows of
    /// none.
    fn suspend(&self) {
        self.tell(SHUTDOWN, b"");
        match self.pump_until(arch::now_ns() + PATIENCE_NS, || self.store.is_idle().then_some(())) {
            Some(()) => resume::suspend(&self.events, &self.store),
            None => println!("not suspended: xenstore does not answer"),
        }
    }

    /// The parameters that a program left, if there are any.
    pub(crate) fn parameters<P: DeserializeOwned>(&self) -> Result<Option<P>, String> {
        let Some(read) = self.parameters.take() else { return Ok(None) };
        match read {
            Ok(bytes) => match postcard::from_bytes(&bytes) {
                Ok(parameters) => Ok(Some(parameters)),
                Err(_) => Err("data/parameters does not fit the task's parameters".to_string()),
            },
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What an earlier run of the task has saved.
    pub(crate) async fn restored(&self) -> Restored {
        self.checkpoints.restored().await
    }

    /// Saves what the task needs to go on.
    pub(crate) async fn checkpoint(&self, state: &[u8]) -> Result<(), checkpoint::Error> {
        let patience = Timer::after(Duration::from_nanos(PATIENCE_NS));
        match select(self.checkpoints.save(state), patience).await {
            Either::First(saved) => saved,
            Either::Second(()) => Err(checkpoint::Error::NotTaken),
        }
    }

    /// Leaves the report for a program.
    pub(crate) fn report<R: Serialize>(&self, report: &R) {
        match postcard::to_allocvec(report) {
            Ok(bytes) if bytes.len() <= nodes::MAX_BYTES => {
                let parts = nodes::split(&bytes).enumerate();
                parts.for_each(|(number, part)| self.leave(&nodes::path(nodes::RESULT, number), part));
            }
            _ => println!("warning: the report is larger than {} bytes; the line above has it all", nodes::MAX_BYTES),
        }
    }

    /// Leaves the outcome for a program.
    pub(crate) fn status(&self, outcome: &Result<(), String>) {
        let text = outcome.as_ref().err().map_or("ok", String::as_str);
        self.leave("data/status", text.as_bytes());
    }

    /// Writes a node after the task's end.
    fn leave(&self, path: &str, value: &[u8]) {
        let mut request = self.store.write(path, value);
        if !matches!(self.wait_until(&mut request, arch::now_ns() + PATIENCE_NS), Some(Ok(_))) {
            println!("warning: xenstore does not take {path}");
        }
    }

    /// What distinguishes this boot from others: how long the answer of another domain took.
    pub(crate) fn seed(&self) -> u64 {
        self.answered_ns.get()
    }

    /// The request to end, if there was one.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.stop.get()
    }

    /// Waits for a request to end; returns at once when there was one.
    pub(crate) async fn stop_requested(&self) -> Stop {
        poll_fn(|context| {
            if let Some(stop) = self.stop() {
                return Poll::Ready(stop);
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}
