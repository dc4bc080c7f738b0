//! A small executor: polls futures when they are woken, on the test's own thread.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A waker that counts how often it was woken.
#[derive(Debug, Default)]
pub struct CountingWaker(AtomicU32);

impl CountingWaker {
    /// A counter that was never woken, and a waker for it.
    #[must_use]
    pub fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        let waker = Waker::from(Arc::clone(&counter));
        (counter, waker)
    }

    /// How often it was woken since the last call.
    pub fn take(&self) -> u32 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<CountingWaker>,
    waker: Waker,
}

/// Futures that run when woken.
#[derive(Default)]
pub struct Tasks(Vec<Task>);

impl Tasks {
    /// Starts a future.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        let (woken, waker) = CountingWaker::new();
        waker.wake_by_ref();
        self.0.push(Task { future: Box::pin(future), woken, waker });
    }

    /// Starts a future whose result is put into the returned cell.
    pub fn spawn_for<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> Rc<RefCell<Option<T>>> {
        let result = Rc::new(RefCell::new(None));
        let place = Rc::clone(&result);
        self.spawn(async move {
            let value = future.await;
            place.replace(Some(value));
        });
        result
    }

    /// Polls each future that was woken, once; says whether there was one.
    pub fn run(&mut self) -> bool {
        let mut progress = false;
        self.0.retain_mut(|task| {
            if task.woken.take() == 0 {
                return true;
            }
            progress = true;
            task.future.as_mut().poll(&mut Context::from_waker(&task.waker)) == Poll::Pending
        });
        progress
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Tasks({})", self.0.len())
    }
}

/// Lets the others run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
