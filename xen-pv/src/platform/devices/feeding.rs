//! Feeds for the tasks of other guests: a channel to each, which this guest serves.
//!
//! The task's guest finds it in xenstore below this guest's own directory, `data/vchan/<task>/feed`. It looks there because
//! who started it has written that path into its node `data/feed`.

use alloc::format;

use channel::layout::{Layout, Order};
use embassy_time::Timer;
use kernel::Feeding;
use kernel::feed::Error;
use xen_sys::types::Domid;

use super::feed::{LOOK, none};
use crate::grant_table::{Grant, ReadWrite};
use crate::platform::Platform;
use crate::vchan::{Stream, directory};
use crate::xen::Xen;

/// What a task may leave untaken before who feeds it waits: 16 pages for each task.
const RING_BYTES: usize = 64 * 1024;
/// What comes back at once, for answers that are longer than that.
const PIECE_BYTES: usize = 1024;

/// The server's end of the channel.
pub type FeedingStream = Stream<Xen, Grant<ReadWrite>, fn() -> Timer>;

impl Feeding for Platform {
    type Channel = FeedingStream;

    async fn serve(&self, task: u16) -> Result<FeedingStream, Error> {
        let (channels, peer) = (self.channels(), Domid(task));
        let ring = Order::holding(RING_BYTES).unwrap_or(Order::LARGEST);
        let layout = Layout::new(Order::SMALLEST, ring).map_err(none)?;
        let (mut channel, address) = channels.serve(peer, layout).map_err(none)?;
        let path = format!("data/vchan/{task}/feed");
        directory::publish(channels.store(), &path, peer, address).await.map_err(none)?;
        let came = channel.accept().await.map_err(none)?;
        // The task has it, and nobody else takes the directory away.
        directory::withdraw(channels.store(), &path).await.map_err(none)?;
        if !came {
            return Err(none("the task came and is gone"));
        }
        Stream::new(channel, PIECE_BYTES, (|| Timer::after(LOOK)) as fn() -> Timer).map_err(none)
    }
}
