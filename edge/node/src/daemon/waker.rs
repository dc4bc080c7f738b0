//! Wakes the thread that takes turns with the toolstack.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Wakes the hands: something has changed that they may have to act on.
#[derive(Debug, Clone)]
pub struct Waker(SyncSender<()>);

impl Waker {
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (sender, receiver) = sync_channel(1);
        (Self(sender), receiver)
    }

    /// Wakes them. Once more before they are awake is the same.
    pub fn wake(&self) {
        let _ = self.0.try_send(());
    }
}
