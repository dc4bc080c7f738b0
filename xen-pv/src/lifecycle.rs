//! Requests of the toolstack (`xl shutdown`, `xl reboot`), and the end of the domain.
//!
//! The toolstack writes the request to `control/shutdown` in xenstore; the guest takes it by writing an empty value.
//! Source: `docs/misc/xenstore-paths.pandoc` of Xen, section Domain Controlled Paths.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use alloc::rc::Rc;
use kernel::{Stop, println};
use xen_sys::sched::ShutdownReason;

use crate::real::{self, Xen};
use crate::xenstore::{Client, Error};
use crate::{console, memory};

const REQUEST: &str = "control/shutdown";

/// Whether the task was asked to end. A value is a handle: cloning it names the same request.
#[derive(Clone, Default)]
pub(crate) struct StopRequest(Rc<State>);

#[derive(Default)]
struct State {
    stop: Cell<Option<Stop>>,
    waiting: RefCell<alloc::vec::Vec<Waker>>,
}

impl StopRequest {
    /// The request, if there was one.
    pub(crate) fn get(&self) -> Option<Stop> {
        self.0.stop.get()
    }

    /// Waits for a request; returns at once when there was one.
    pub(crate) async fn wait(&self) -> Stop {
        poll_fn(|context| {
            if let Some(stop) = self.get() {
                return Poll::Ready(stop);
            }
            let mut waiting = self.0.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn set(&self, stop: Stop) {
        self.0.stop.set(Some(stop));
        self.0.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// Takes requests, for ever.
pub(crate) async fn watch(store: Client<Xen>, request: StopRequest) {
    if let Err(error) = take_requests(&store, &request).await {
        println!("warning: xl shutdown and xl reboot will not be obeyed: {error}");
    }
}

async fn take_requests(store: &Client<Xen>, request: &StopRequest) -> Result<(), Error> {
    // Tells the toolstack which requests will be obeyed.
    for feature in ["control/feature-poweroff", "control/feature-reboot"] {
        store.write(feature, b"1").await?;
    }
    let watch = store.watch(REQUEST).await?;
    loop {
        watch.changed().await;
        let wanted = store.read(REQUEST).await.unwrap_or_default();
        let stop = match wanted.as_slice() {
            b"poweroff" | b"halt" => Stop::PowerOff,
            b"reboot" => Stop::Reboot,
            b"" => continue,
            other => {
                println!("warning: {REQUEST} asks for {:?}, which Spore does not know", other.escape_ascii());
                continue;
            }
        };
        store.write(REQUEST, b"").await?;
        println!("{REQUEST}: {}", wanted.escape_ascii());
        request.set(stop);
    }
}

/// Ends the domain, after all that was written to the console has been taken.
pub(crate) fn end(request: Option<Stop>) -> ! {
    let figures = memory::figures();
    println!(
        "memory: {} KiB of {} KiB heap used at most",
        figures.heap_peak_bytes.div_ceil(1024),
        figures.heap_bytes / 1024
    );
    console::flush();
    real::shutdown(match request {
        Some(Stop::Reboot) => ShutdownReason::Reboot,
        Some(Stop::PowerOff) | None => ShutdownReason::PowerOff,
    })
}
