//! The toolstack as xenstore knows it.
//!
//! | node, below the domain's own directory | |
//! |---|---|
//! | `control/shutdown` | `xl shutdown` and `xl reboot` write `poweroff` or `reboot`; the guest takes it by writing nothing |
//! | `data/parameters` | the task's parameters as postcard, where a program set them |
//! | `data/result` | the task's report as postcard |
//! | `data/status` | `ok`, or `error: ` and why |
//!
//! Source: `docs/misc/xenstore-paths.pandoc` of Xen, section Domain Controlled Paths.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, Waker};

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use embassy_executor::Spawner;
use embassy_time::{Duration, with_timeout};
use kernel::{Stop, println};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arch;
use crate::boot::SharedRing;
use crate::event_channel::Events;
use crate::platform::spawn;
use crate::real::Xen;
use crate::xenstore::{Client, Error, ErrorKind};

/// How long the end of a guest may be held up by a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest value that fits a message of the store beside its path. Source: `XENSTORE_PAYLOAD_MAX`, 4096 bytes.
const REPORT_MAX: usize = 4000;

/// The other end of xenstore. A value is a handle: cloning it names the same toolstack.
#[derive(Clone)]
pub(crate) struct Toolstack {
    /// The connection, which drivers use as well.
    pub(crate) store: Client<Xen>,
    requests: Rc<Requests>,
}

#[derive(Default)]
struct Requests {
    stop: Cell<Option<Stop>>,
    waiting: RefCell<Vec<Waker>>,
    /// When the store answered first.
    answered_ns: Cell<u64>,
}

impl Toolstack {
    /// Opens the connection.
    pub(crate) fn connect(ring: SharedRing, events: &Events<Xen>) -> Self {
        Self { store: Client::new(ring.page, events.bind(ring.port)), requests: Rc::default() }
    }

    /// Starts moving messages and listening to requests.
    pub(crate) async fn start(&self, spawner: Spawner) {
        let store = self.store;
        spawn(spawner, async move { store.run().await });
        let mut watch = pin!(self.store.watch("control/shutdown"));
        let watch = match with_timeout(PATIENCE, watch.as_mut()).await {
            Ok(watch) => watch,
            Err(_) => {
                println!("xenstore does not answer; waiting for it");
                watch.await
            }
        };
        self.requests.answered_ns.set(arch::now_ns());
        let toolstack = self.clone();
        spawn(spawner, async move {
            let Ok(watch) = watch else { return println!("warning: xl shutdown and xl reboot will not be heard") };
            loop {
                watch.changed().await;
                // Without a request there is no node, which is an error that says nothing new.
                let _ = toolstack.take_request().await;
            }
        });
    }

    async fn take_request(&self) -> Result<(), Error> {
        let request = self.store.read("control/shutdown").await?;
        let stop = match request.as_slice() {
            b"poweroff" | b"halt" => Stop::PowerOff,
            b"reboot" => Stop::Reboot,
            b"" => return Ok(()),
            _ => {
                println!("warning: control/shutdown holds a request that Spore does not know");
                return Ok(());
            }
        };
        println!("asked to {}", if stop == Stop::Reboot { "reboot" } else { "power off" });
        self.requests.stop.set(Some(stop));
        self.requests.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        // That it was taken; one that cannot be told obeys all the same.
        self.store.write("control/shutdown", b"").await.map(|_| ())
    }

    /// The parameters that a program left, if there are any.
    pub(crate) async fn parameters<P: DeserializeOwned>(&self) -> Result<Option<P>, String> {
        match self.store.read("data/parameters").await {
            Ok(bytes) => match postcard::from_bytes(&bytes) {
                Ok(parameters) => Ok(Some(parameters)),
                Err(_) => Err("data/parameters does not fit the task's parameters".to_string()),
            },
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Leaves the report for a program.
    pub(crate) async fn report<R: Serialize>(&self, report: &R) {
        match postcard::to_allocvec(report) {
            Ok(bytes) if bytes.len() <= REPORT_MAX => self.leave("data/result", &bytes).await,
            _ => println!("warning: the report is larger than xenstore takes; the line above has it all"),
        }
    }

    /// Leaves the outcome for a program.
    pub(crate) async fn status(&self, outcome: &Result<(), String>) {
        let text = outcome.as_ref().err().map_or("ok", String::as_str);
        self.leave("data/status", text.as_bytes()).await;
    }

    async fn leave(&self, path: &str, value: &[u8]) {
        if !matches!(with_timeout(PATIENCE, self.store.write(path, value)).await, Ok(Ok(_))) {
            println!("warning: xenstore does not take {path}");
        }
    }

    /// What distinguishes this boot from others: how long the answer of another domain took.
    pub(crate) fn seed(&self) -> [u8; 8] {
        self.requests.answered_ns.get().to_le_bytes()
    }

    /// The request to end, if there was one.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.requests.stop.get()
    }

    /// Waits for a request to end; returns at once when there was one.
    pub(crate) async fn stop_requested(&self) -> Stop {
        poll_fn(|context| {
            if let Some(stop) = self.stop() {
                return Poll::Ready(stop);
            }
            let mut waiting = self.requests.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}
