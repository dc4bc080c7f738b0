//! An end of a channel: bytes out and in, and when to sleep.
//!
//! Three fences carry it, and `model.rs` shows that each is needed. Who has moved bytes makes them visible before its
//! index (Release), and its index before it looks whether the peer wants an event (SeqCst). Who has read the peer's index
//! touches the bytes behind it after that (Acquire). Who wants an event says so before it looks at the index for the last
//! time (SeqCst): so one of the two sees the other.

use core::sync::atomic::Ordering::{Acquire, Release, SeqCst};

use crate::error::{Error, Fault};
use crate::half::Half;
use crate::layout::{
    CLIENT_LIVE, CLIENT_NOTIFY, LIVE_AWAITED, LIVE_CONNECTED, LIVE_GONE, NOTIFY_READ, NOTIFY_WRITE, SERVER_LIVE,
    SERVER_NOTIFY,
};
use crate::memory::{Bytes, ControlPage, Events};

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

impl Side {
    /// Where this end says that it is there, and where the peer does.
    const fn live(self) -> (usize, usize) {
        match self {
            Self::Server => (SERVER_LIVE, CLIENT_LIVE),
            Self::Client => (CLIENT_LIVE, SERVER_LIVE),
        }
    }

    /// Where this end finds what it is to tell the peer of, and where it asks the peer.
    const fn notify(self) -> (usize, usize) {
        match self {
            Self::Server => (SERVER_NOTIFY, CLIENT_NOTIFY),
            Self::Client => (CLIENT_NOTIFY, SERVER_NOTIFY),
        }
    }
}

/// Whether the other end is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A client that has not come yet.
    Awaited,
    /// It is there, as far as can be told.
    Connected,
    /// It has closed its end, or its domain is dead.
    Gone,
}

/// What an end sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// So many bytes to read.
    Data(usize),
    /// Room for so many bytes to write.
    Room(usize),
}

/// Whether to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Wait {
    /// No: what is wanted is there.
    Ready,
    /// Yes: the peer sends an event. As a peer that dies sends none, look at [`Channel::peer`] from time to time.
    Sleep,
    /// No: the peer is gone, and what is wanted will never be there.
    Closed,
}

/// One end of a channel. Dropping it closes it: the peer is told, and can still read what it was sent.
///
/// No call waits, and the work of each is bounded by the bytes that it is given and the size of the ring.
#[derive(Debug)]
pub struct Channel<P: ControlPage, R: Bytes, E: Events> {
    events: E,
    side: Side,
    /// The ring that the peer writes, and the one that the peer reads. They are unmapped before the page.
    pub(crate) reads: Half<R>,
    pub(crate) writes: Half<R>,
    page: P,
    /// The peer was there once, or is the server, which always was.
    met: bool,
    /// The peer is gone for good.
    gone: bool,
    /// What the peer has done, if it broke the protocol.
    fault: Option<Fault>,
}

impl<P: ControlPage, R: Bytes, E: Events> Channel<P, R, E> {
    pub(crate) fn new(page: P, events: E, side: Side, reads: Half<R>, writes: Half<R>) -> Self {
        Self { events, side, reads, writes, page, met: side == Side::Client, gone: false, fault: None }
    }

    /// The event channel.
    pub fn events(&self) -> &E {
        &self.events
    }

    /// How many bytes can be read now.
    ///
    /// # Errors
    /// [`Error::Broken`].
    pub fn readable(&mut self) -> Result<usize, Error> {
        let difference = |ours: u32, theirs: u32| theirs.wrapping_sub(ours);
        let (theirs_at, ours, size) = (self.reads.theirs_at, self.reads.position, self.reads.size_bytes());
        self.distance(theirs_at, ours, size, difference).map(|bytes| bytes as usize)
    }

    /// How many bytes can be written now.
    ///
    /// # Errors
    /// [`Error::Broken`].
    pub fn writable(&mut self) -> Result<usize, Error> {
        let difference = |ours: u32, theirs: u32| ours.wrapping_sub(theirs);
        let (theirs_at, ours, size) = (self.writes.theirs_at, self.writes.position, self.writes.size_bytes());
        self.distance(theirs_at, ours, size, difference).map(|bytes| (size - bytes) as usize)
    }

    /// Reads the peer's index once, and says how many bytes lie between it and ours.
    fn distance(&mut self, at: usize, ours: u32, size: u32, bytes: impl Fn(u32, u32) -> u32) -> Result<u32, Error> {
        self.whole()?;
        let theirs = self.page.read_u32(at);
        // The bytes behind the index are touched after it was read.
        self.page.fence(Acquire);
        match bytes(ours, theirs) {
            bytes if bytes <= size => Ok(bytes),
            _ => Err(self.broken(Fault::Index { theirs, ours })),
        }
    }

    /// Reads what is there, as far as it finds room, and says how much that was: nothing is no end, see
    /// [`prepare_wait`](Self::prepare_wait).
    ///
    /// # Errors
    /// [`Error::Broken`].
    pub fn read(&mut self, destination: &mut [u8]) -> Result<usize, Error> {
        let count = self.readable()?.min(destination.len());
        self.take(&mut destination[..count]);
        Ok(count)
    }

    /// Fills `packet` and says so, or takes nothing because there is less.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Broken`].
    pub fn receive(&mut self, packet: &mut [u8]) -> Result<bool, Error> {
        Self::possible(&self.reads, packet.len())?;
        let whole = self.readable()? >= packet.len();
        if whole {
            self.take(packet);
        }
        Ok(whole)
    }

    /// Writes as much as there is room for, and says how much that was.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Broken`].
    pub fn write(&mut self, source: &[u8]) -> Result<usize, Error> {
        self.open()?;
        let count = self.writable()?.min(source.len());
        self.put(&source[..count]);
        Ok(count)
    }

    /// Writes all of `packet` and says so, or nothing because there is less room.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Closed`], [`Error::Broken`].
    pub fn send(&mut self, packet: &[u8]) -> Result<bool, Error> {
        Self::possible(&self.writes, packet.len())?;
        self.open()?;
        let whole = self.writable()? >= packet.len();
        if whole {
            self.put(packet);
        }
        Ok(whole)
    }

    /// Asks the peer for an event when it has done something, and looks once more whether there is need to wait for it.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Broken`].
    pub fn prepare_wait(&mut self, want: Want) -> Result<Wait, Error> {
        let bit = match want {
            Want::Data(count) => Self::possible(&self.reads, count).map(|()| NOTIFY_WRITE)?,
            Want::Room(count) => Self::possible(&self.writes, count).map(|()| NOTIFY_READ)?,
        };
        self.whole()?;
        self.page.set_bits(self.side.notify().1, bit);
        // The peer finds the request, or this end finds what the peer did before it looked for one.
        self.page.fence(SeqCst);
        let gone = self.said()? == Peer::Gone;
        // What a peer wrote before it closed is found here, so that "closed" means: no more than there is now.
        self.page.fence(Acquire);
        Ok(match want {
            Want::Data(count) if self.readable()? >= count => Wait::Ready,
            Want::Data(_) if gone => Wait::Closed,
            Want::Room(_) if gone => Wait::Closed,
            Want::Room(count) if self.writable()? >= count => Wait::Ready,
            _ => Wait::Sleep,
        })
    }

    /// Whether the peer is there: what it says of itself, and whether its domain is still alive. Who sleeps for long
    /// looks here from time to time, because a domain that dies says nothing.
    ///
    /// # Errors
    /// [`Error::Broken`].
    pub fn peer(&mut self) -> Result<Peer, Error> {
        let said = self.said()?;
        if said == Peer::Connected && !self.events.is_bound() {
            self.gone = true;
            return Ok(Peer::Gone);
        }
        Ok(said)
    }

    /// What the peer says of itself, read once.
    fn said(&mut self) -> Result<Peer, Error> {
        self.whole()?;
        if self.gone {
            return Ok(Peer::Gone);
        }
        match self.page.read_u8(self.side.live().1) {
            LIVE_GONE => {
                self.gone = true;
                Ok(Peer::Gone)
            }
            LIVE_CONNECTED => {
                self.met = true;
                Ok(Peer::Connected)
            }
            // Only who has not come yet: nobody else would be waited for without an end.
            LIVE_AWAITED if !self.met => Ok(Peer::Awaited),
            value => Err(self.broken(Fault::Live(value))),
        }
    }

    /// Takes bytes that are there.
    fn take(&mut self, destination: &mut [u8]) {
        if !destination.is_empty() {
            self.reads.copy_out(&self.page, destination);
            Self::publish(&self.page, &mut self.reads, destination.len());
            self.tell(NOTIFY_READ);
        }
    }

    /// Puts bytes where there is room.
    fn put(&mut self, source: &[u8]) {
        if !source.is_empty() {
            self.writes.copy_in(&self.page, source);
            Self::publish(&self.page, &mut self.writes, source.len());
            self.tell(NOTIFY_WRITE);
        }
    }

    /// Moves this end's index behind bytes that it is done with.
    fn publish(page: &P, half: &mut Half<R>, count: usize) {
        half.position = half.position.wrapping_add(count as u32);
        // The bytes were read or written before the peer sees the index.
        page.fence(Release);
        page.write_u32(half.ours_at, half.position);
    }

    /// Sends an event if the peer has asked for one.
    fn tell(&self, bit: u8) {
        let asked_at = self.side.notify().0;
        // The peer sees the index, or this end sees the request.
        self.page.fence(SeqCst);
        if self.page.read_u8(asked_at) & bit != 0 && self.page.clear_bits(asked_at, bit) & bit != 0 {
            self.events.send();
        }
    }

    fn possible(half: &Half<R>, count: usize) -> Result<(), Error> {
        if count <= half.size_bytes() as usize { Ok(()) } else { Err(Error::TooLong) }
    }

    fn open(&mut self) -> Result<(), Error> {
        if self.said()? == Peer::Gone { Err(Error::Closed) } else { Ok(()) }
    }

    fn whole(&self) -> Result<(), Error> {
        self.fault.map_or(Ok(()), |fault| Err(Error::Broken(fault)))
    }

    fn broken(&mut self, fault: Fault) -> Error {
        Error::Broken(*self.fault.insert(fault))
    }
}

impl<P: ControlPage, R: Bytes, E: Events> Drop for Channel<P, R, E> {
    fn drop(&mut self) {
        // After the last index: `tell` has a fence behind each.
        self.page.write_u8(self.side.live().0, LIVE_GONE);
        self.events.send();
    }
}
