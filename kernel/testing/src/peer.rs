//! The two ends of a connection: the test's and the task's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use kernel::stream::ReadInPlace;

use crate::error::Error;

/// What a connection holds before the task has to wait until the peer could look at it.
const UNSEEN_MAX: usize = 2048;

/// What has moved so far, counted by all ends of all connections: a task that waits moves nothing.
pub(crate) type Progress = Rc<Cell<u64>>;

/// What both ends share.
#[derive(Debug, Default)]
struct Wire {
    to_task: VecDeque<u8>,
    /// Who in the task waits for them, which may be one of several futures that are polled only when they are woken.
    reader: Option<Waker>,
    from_task: Vec<u8>,
    /// Bytes that the task has written since its last poll began.
    unseen: usize,
    /// The peer sends no more: the task sees the end when it has read all.
    closes: bool,
    /// The task has let go of the connection.
    left: bool,
}

/// The test's end of a connection. Clones are the same end.
#[derive(Debug, Clone)]
pub struct Peer {
    wire: Rc<RefCell<Wire>>,
    progress: Progress,
}

impl Wire {
    fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl Peer {
    pub(crate) fn new(progress: &Progress) -> Self {
        Self { wire: Rc::default(), progress: Rc::clone(progress) }
    }

    /// Sends bytes to the task.
    pub fn say(&self, bytes: &[u8]) {
        let mut wire = self.wire.borrow_mut();
        wire.to_task.extend(bytes);
        wire.wake();
    }

    /// How many bytes the task has not read yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.wire.borrow().to_task.len()
    }

    /// Ends this direction of the connection: the task sees the end of the stream when it has read what was said.
    pub fn close(&self) {
        let mut wire = self.wire.borrow_mut();
        wire.closes = true;
        wire.wake();
    }

    /// Whether the task has let go of the connection.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.wire.borrow().left
    }

    /// All that the task has written and that was not [taken](Self::take_heard).
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.wire.borrow().from_task.clone()
    }

    /// Takes what the task has written: `take` may leave some for later, reserve room, and have this peer answer.
    pub fn take_heard<R>(&self, take: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut heard = std::mem::take(&mut self.wire.borrow_mut().from_task);
        let result = take(&mut heard);
        self.wire.borrow_mut().from_task = heard;
        result
    }

    /// The task's end.
    pub(crate) fn stream(&self) -> Stream {
        self.wire.borrow_mut().left = false;
        let stream = Stream(self.clone());
        stream.moved(1);
        stream
    }
}

/// The task's end of a connection.
#[derive(Debug)]
pub struct Stream(Peer);

impl Stream {
    /// Waits until there are bytes, or will not be any.
    async fn readable(&self) {
        poll_fn(|context| {
            let mut wire = self.0.wire.borrow_mut();
            if !wire.to_task.is_empty() || wire.closes {
                return Poll::Ready(());
            }
            wire.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn moved(&self, bytes: usize) {
        self.0.progress.set(self.0.progress.get() + bytes as u64);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.wire.borrow_mut().left = true;
        self.moved(1);
    }
}

impl ErrorType for Stream {
    type Error = Error;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.readable().await;
        let wire = &mut self.0.wire.borrow_mut().to_task;
        let count = buffer.len().min(wire.len());
        buffer.iter_mut().zip(wire.drain(..count)).for_each(|(place, byte)| *place = byte);
        self.moved(count);
        Ok(count)
    }
}

impl ReadInPlace for Stream {
    async fn read_in_place<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Result<R, Error> {
        self.readable().await;
        let wire = &mut self.0.wire.borrow_mut().to_task;
        let (count, result) = take(wire.make_contiguous());
        let count = count.min(wire.len());
        wire.drain(..count);
        self.moved(count);
        Ok(result)
    }
}

impl Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        poll_fn(|context| {
            let unseen = &mut self.0.wire.borrow_mut().unseen;
            if *unseen < UNSEEN_MAX {
                return Poll::Ready(());
            }
            *unseen = 0;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let mut wire = self.0.wire.borrow_mut();
        wire.from_task.extend(bytes);
        wire.unseen += bytes.len();
        self.moved(bytes.len());
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
