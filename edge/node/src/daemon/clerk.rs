//! The thread that owns the books.

use std::sync::mpsc::{self, Sender};
use std::thread;

use tokio::sync::oneshot;

use super::books::Books;

type Job = Box<dyn FnOnce(&mut Books) + Send>;

/// Asks the thread that owns the books. Questions are answered one after the other.
#[derive(Debug, Clone)]
pub(super) struct Clerk(Sender<Job>);

/// The clerk never ends before the program does.
const GONE: &str = "the thread that owns the journal has died";

impl Clerk {
    pub(super) fn start(mut books: Books) -> Result<Self, String> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let run = move || {
            books.begin();
            for job in jobs {
                job(&mut books);
                books.tell();
            }
        };
        let builder = thread::Builder::new().name("clerk".to_owned()).stack_size(1024 * 1024);
        builder.spawn(run).map_err(|error| format!("starting the thread \"clerk\": {error}"))?;
        Ok(Self(sender))
    }

    /// Tells something and does not wait.
    pub(super) fn tell(&self, job: impl FnOnce(&mut Books) + Send + 'static) {
        self.0.send(Box::new(job)).expect(GONE);
    }

    /// Asks and waits, on a thread that may.
    pub(super) fn ask_now<T: Send + 'static>(&self, question: impl FnOnce(&mut Books) -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::channel();
        let job = move |books: &mut Books| drop(answer.send(question(books)));
        self.0.send(Box::new(job)).expect(GONE);
        answered.recv().expect(GONE)
    }

    /// Asks, on the thread of all connections.
    pub(super) async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut Books) -> T + Send + 'static) -> T {
        let (answer, answered) = oneshot::channel();
        let job = move |books: &mut Books| drop(answer.send(question(books)));
        self.0.send(Box::new(job)).expect(GONE);
        answered.await.expect(GONE)
    }
}
