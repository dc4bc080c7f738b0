//! A time limit for a socket call.
//!
//! Only the poll loop knows the time, so that tests can move it by hand: a call that must not wait for ever makes a
//! [`Timeout`], the loop's next turn starts its clock, and a later turn says that it has passed.

use core::future::poll_fn;
use core::task::Poll;

use smoltcp::time::Duration;

use super::stack::Stack;

/// A running time limit; dropping it ends it.
pub(super) struct Timeout<'a> {
    handle: &'a Stack,
    number: u32,
}

impl<'a> Timeout<'a> {
    /// A limit of `after` from the poll loop's next turn on.
    pub(super) fn new(handle: &'a Stack, after: Duration) -> Self {
        let number = handle.with(|state| {
            state.wake_poll_loop();
            state.deadlines.open(after)
        });
        Self { handle, number }
    }

    /// Resolves when the limit has passed.
    pub(super) async fn passed(&self) {
        poll_fn(|context| match self.handle.with(|state| state.deadlines.poll(self.number, context)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await
    }
}

impl Drop for Timeout<'_> {
    fn drop(&mut self) {
        self.handle.with(|state| state.deadlines.close(self.number));
    }
}
