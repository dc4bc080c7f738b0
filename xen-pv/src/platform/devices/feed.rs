//! The task's feed: readings over a channel that another domain serves.
//!
//! Who starts the guest writes the path of the server's directory into the node `data/feed` of the guest's own directory, at
//! any time: a guest whose data is not there yet waits for both. Dom0's `spored` does that for the board's broker, or a
//! person with `xenstore-write`. Another path there is followed as long as nobody has served the first. ` live` behind it
//! promises more: a server that is started anew will be written there too, and the feed goes on.

use alloc::string::{String, ToString};

use channel::PIECE_BYTES;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use kernel::feed::{Error, Feed, Source};
use kernel::{Fed, println};
use xen_sys::types::Domid;

use super::channels::Channels;
use crate::event_channel::Events;
use crate::foreign::ForeignPage;
use crate::platform::Platform;
use crate::vchan::{Stream, connect, directory};
use crate::xen::Xen;
use crate::xenstore::{self, Client, ErrorKind};

/// Where the guest finds where its feed is.
const FEED: &str = "data/feed";
/// How long the death of who is at the other end may go unnoticed.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// The client's end of one channel.
type ChannelStream = Stream<Xen, ForeignPage, fn() -> Timer>;

/// The feed's bytes, whoever serves them.
pub struct FeedStream {
    events: Events<Xen>,
    store: Client<Xen>,
    /// What stands in the node `data/feed`, as it was followed.
    text: String,
    /// None between two servers.
    stream: Option<ChannelStream>,
}

impl Fed for Platform {
    type Source = FeedStream;

    async fn feed(&self) -> Result<Feed<FeedStream>, Error> {
        let channels = self.channels();
        if channels.feed_taken.get() {
            return Err(Error::Taken);
        }
        let mut stream = FeedStream::new(channels);
        stream.follow().await?;
        channels.feed_taken.set(true);
        Ok(Feed::new(stream))
    }
}

impl FeedStream {
    fn new(channels: &Channels) -> Self {
        Self { events: channels.events, store: channels.store, text: String::new(), stream: None }
    }

    /// Waits for another server than the one that was followed, and goes there.
    async fn follow(&mut self) -> Result<(), Error> {
        let store = self.store;
        self.text = other(&store, &self.text).await?;
        let (server, address) = loop {
            let (path, _) = parts(&self.text);
            let server = directory::owner(path).ok_or_else(|| Error::None(no_path(path)))?;
            let say = || println!("feed: waiting for {path} in xenstore");
            let served = directory::wait_for(&store, path, say);
            match select(served, other(&store, &self.text)).await {
                Either::First(address) => break (server, address.map_err(none)?),
                Either::Second(text) => self.text = text?,
            }
        };
        let channel = connect(&Xen, &self.events, server, address).map_err(none)?;
        let stream = Stream::new(channel, PIECE_BYTES, (|| Timer::after(LOOK)) as fn() -> Timer).map_err(none)?;
        self.stream = Some(stream);
        let Domid(number) = server;
        println!("feed: from domain {number}");
        Ok(())
    }
}

impl Source for FeedStream {
    fn held(&self) -> &[u8] {
        self.stream.as_ref().map_or(&[], Source::held)
    }

    async fn fill(&mut self, wanted: usize) -> Result<bool, Error> {
        match &mut self.stream {
            Some(stream) => Source::fill(stream, wanted).await,
            None => Ok(false),
        }
    }

    fn consume(&mut self, count: usize) {
        if let Some(stream) = &mut self.stream {
            stream.consume(count);
        }
    }

    fn may_begin_anew(&self) -> bool {
        let (_, is_live) = parts(&self.text);
        is_live
    }

    async fn begin_anew(&mut self) -> Result<bool, Error> {
        // First of all: as long as a page of a domain is mapped that is dead, the next one cannot have its memory.
        self.stream = None;
        while self.may_begin_anew() {
            println!("feed: who served it is gone; waiting for another one");
            match self.follow().await {
                Ok(()) => return Ok(true),
                // Another one that is gone already: there will be one more.
                Err(error) => println!("feed: {error}"),
            }
        }
        Ok(false)
    }
}

/// The text of the node, as soon as it is another.
async fn other(store: &Client<Xen>, known: &str) -> Result<String, Error> {
    let look = async || match store.read_text(FEED).await {
        Ok(text) => Ok::<_, xenstore::Error>(Some(text).filter(|text| !text.is_empty() && text != known)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let say = || {
        if known.is_empty() {
            println!("feed: waiting for {FEED} in xenstore");
        }
    };
    directory::wait_until(store, FEED, say, look).await.map_err(none)
}

/// The path of the server's directory, and whether there will be another when that one is gone.
fn parts(text: &str) -> (&str, bool) {
    text.strip_suffix(" live").map_or((text, false), |path| (path, true))
}

pub(super) fn none(why: impl ToString) -> Error {
    Error::None(why.to_string())
}

fn no_path(path: &str) -> String {
    [FEED, " is ", path, " instead of a path such as /local/domain/0/data/vchan/7/feed"].concat()
}
