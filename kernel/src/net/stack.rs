//! A task's way to the stack.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::task::Poll;

use super::parts::filter::DropCounters;
use super::state::State;
use super::traits::{Buffers, Network};

/// A task's way to the stack. The stack's state lives for ever, as its guest does.
#[derive(Clone, Copy)]
pub struct Stack(pub(super) &'static RefCell<State>);

impl Stack {
    /// Calls `f` with the stack's state.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    /// The interface's address, if it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.with(|state| state.addressing.address()).map(|own| own.address())
    }

    /// What was dropped up to now.
    pub fn drops(&self) -> DropCounters {
        self.with(|state| DropCounters {
            half_open: state.backlogs.half_open_dropped,
            evicted: state.closing.evicted,
            ..state.drops
        })
    }

    /// Resolves when every connection and socket that was dropped has delivered what was written to it.
    ///
    /// A platform awaits this, with a time limit, before it ends the guest: the end of a guest is the end of its
    /// packets.
    pub async fn settled(&self) {
        poll_fn(|context| {
            self.with(|state| {
                if state.closing.is_settled() {
                    return Poll::Ready(());
                }
                state.closing.settled.register(context.waker());
                Poll::Pending
            })
        })
        .await
    }
}

impl Network for Stack {
    async fn configured(&self) -> Ipv4Addr {
        poll_fn(|context| {
            self.with(|state| match state.addressing.address() {
                Some(own) => Poll::Ready(own.address()),
                None => {
                    state.addressing.waiting.register(context.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    fn set_buffers(&self, buffers: Buffers) {
        self.with(|state| state.sockets.set_buffers(buffers));
    }
}
