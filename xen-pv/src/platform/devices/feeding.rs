//! Feeds for the tasks of other guests: a channel to each, which this guest serves.
//!
//! The task's guest finds it in xenstore below this guest's own directory, `data/vchan/<task>/feed`. It looks there because
//! who started it has written that path into its node `data/feed`.
//!
//! Whom to feed stands in `data/tasks`, a node for each task, with what it may have as its text. Who starts the tasks writes
//! it, before or after this guest begins.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use channel::layout::{Layout, Order};
use embassy_time::Timer;
use kernel::feed::Error;
use kernel::{Feeding, println};
use xen_sys::types::Domid;

use super::feed::{LOOK, none};
use crate::grant_table::{Grant, ReadWrite};
use crate::platform::Platform;
use crate::vchan::{Stream, directory};
use crate::xen::Xen;
use crate::xenstore::{self, Client, ErrorKind};

/// Where the guest finds whom to feed.
const TASKS: &str = "data/tasks";
/// What a task may leave untaken before who feeds it waits: 16 pages for each task.
const RING_BYTES: usize = 64 * 1024;
/// What comes back at once, for answers that are longer than that.
const PIECE_BYTES: usize = 1024;

/// The server's end of the channel.
pub type FeedingStream = Stream<Xen, Grant<ReadWrite>, fn() -> Timer>;

/// A task's directory, which nobody else takes away.
struct Shown {
    store: Client<Xen>,
    path: String,
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Sent is enough: when it was not there, it need not go.
        drop(self.store.remove(&self.path));
    }
}

impl Feeding for Platform {
    type Channel = FeedingStream;

    async fn serve(&self, task: u16) -> Result<FeedingStream, Error> {
        let (channels, peer) = (self.channels(), Domid(task));
        let ring = Order::holding(RING_BYTES).unwrap_or(Order::LARGEST);
        let layout = Layout::new(Order::SMALLEST, ring).map_err(none)?;
        let (mut channel, address) = channels.serve(peer, layout).map_err(none)?;
        let shown = Shown { store: *channels.store(), path: format!("data/vchan/{task}") };
        directory::publish(channels.store(), &format!("{}/feed", shown.path), peer, address).await.map_err(none)?;
        let came = channel.accept().await.map_err(none)?;
        drop(shown);
        if !came {
            return Err(none("the task came and is gone"));
        }
        Stream::new(channel, PIECE_BYTES, (|| Timer::after(LOOK)) as fn() -> Timer).map_err(none)
    }

    async fn tasks(&self, known: &BTreeMap<u16, String>) -> BTreeMap<u16, String> {
        let store = self.channels().store();
        let look = async || Ok(Some(listed(store).await?).filter(|tasks| tasks != known));
        loop {
            match directory::wait_until(store, TASKS, || {}, look).await {
                Ok(tasks) => return tasks,
                Err(error) => println!("feeding: {TASKS} in xenstore: {error}; it is read again"),
            }
            Timer::after(LOOK).await;
        }
    }
}

/// The tasks that stand there now.
async fn listed(store: &Client<Xen>) -> Result<BTreeMap<u16, String>, xenstore::Error> {
    let names = match store.list(TASKS).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        names => names?,
    };
    let mut tasks = BTreeMap::new();
    for name in names {
        let Ok(task) = name.parse() else { continue };
        match store.read_text(&format!("{TASKS}/{name}")).await {
            // It went meanwhile.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            text => drop(tasks.insert(task, text?)),
        }
    }
    Ok(tasks)
}
