//! The task's feed: readings over a channel that another domain serves.
//!
//! Who starts the guest writes the path of the server's directory into the node `data/feed` of the guest's own directory, at
//! any time: a guest whose data is not there yet waits for both. Dom0's `spored` and the board's broker do that, or a
//! person with `xenstore-write`.

use alloc::string::{String, ToString};

use channel::PIECE_BYTES;
use embassy_time::{Duration, Timer};
use kernel::feed::{Error, Feed};
use kernel::{Fed, println};

use crate::foreign::ForeignPage;
use crate::platform::Platform;
use crate::vchan::{Stream, directory};
use crate::xen::Xen;

/// Where the guest finds where its feed is.
const FEED: &str = "data/feed";
/// How long the death of who is at the other end may go unnoticed.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The client's end of the channel.
pub type FeedStream = Stream<Xen, ForeignPage, fn() -> Timer>;

impl Fed for Platform {
    type Source = FeedStream;

    async fn feed(&self) -> Result<Feed<FeedStream>, Error> {
        let channels = self.channels();
        if channels.feed_taken.get() {
            return Err(Error::Taken);
        }
        let store = channels.store();
        let say = |path: &str| println!("feed: waiting for {path} in xenstore");
        let path = directory::wait_for_text(store, FEED, || say(FEED)).await.map_err(none)?;
        let server = directory::owner(&path).ok_or_else(|| Error::None(no_path(&path)))?;
        let address = directory::wait_for(store, &path, || say(&path)).await.map_err(none)?;
        let channel = channels.connect(server, address).map_err(none)?;
        let stream = Stream::new(channel, PIECE_BYTES, (|| Timer::after(LOOK)) as fn() -> Timer).map_err(none)?;
        channels.feed_taken.set(true);
        println!("feed: from domain {}", server.0);
        Ok(Feed::new(stream))
    }
}

pub(super) fn none(why: impl ToString) -> Error {
    Error::None(why.to_string())
}

fn no_path(path: &str) -> String {
    [FEED, " is ", path, " instead of a path such as /local/domain/0/data/vchan/7/feed"].concat()
}
