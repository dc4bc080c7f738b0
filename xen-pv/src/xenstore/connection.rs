//! The two byte rings shared with the store, the messages in them, and who waits for which.

use alloc::string::String;
use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use core::sync::atomic::Ordering;
use core::task::{Poll, Waker};

use xen_sys::io::xs_wire::{
    CONNECTED, DomainInterface, MessageHeader, MessageType, PAYLOAD_MAX, RECONNECT, RING_SIZE,
    SERVER_FEATURE_RECONNECTION,
};

use super::ErrorKind;
use crate::decimal;
use crate::shared_page::{SharedMemory, SharedPage};

#[cfg(test)]
mod model;

/// Paths kept of a watch whose owner does not look; what comes after is told as a change of the watched path itself.
const EVENTS_MAX: usize = 8;

/// What came back for a request.
pub(super) type Outcome = Result<Vec<u8>, ErrorKind>;

/// A request that was sent.
#[derive(Debug)]
struct Waiting {
    id: u32,
    kind: MessageType,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    /// Nobody waits any more: the reply is taken and forgotten.
    abandoned: bool,
}

/// A watch that was registered.
#[derive(Debug)]
struct Watched {
    token: u32,
    path: String,
    events: Vec<String>,
    /// Changes since they were last forgotten, however many of them were kept.
    changes: u32,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    /// We have asked the store to start anew, and wait for it to say that it has.
    Reconnecting,
    /// The store broke the protocol and offers no way to start anew.
    Down,
}

/// This domain's connection to the store.
#[derive(Debug)]
pub(super) struct Connection<Memory = SharedPage<'static>> {
    page: Memory,
    link: Link,
    /// The private copies of the indices that we write.
    req_prod: u32,
    rsp_cons: u32,
    /// Bytes for the request ring, of which the first `sent` are in it.
    outgoing: Vec<u8>,
    sent: usize,
    /// The message that is coming in: header, then payload.
    incoming: Vec<u8>,
    waiting: Vec<Waiting>,
    watches: Vec<Watched>,
    next_id: u32,
    next_token: u32,
    /// Replies and events that belong to nothing that was asked for.
    unexpected: u32,
}

impl<Memory: SharedMemory> Connection<Memory> {
    pub(super) fn new(page: Memory) -> Self {
        Self {
            link: Link::Up,
            req_prod: page.read(offset_of!(DomainInterface, req_prod)),
            rsp_cons: page.read(offset_of!(DomainInterface, rsp_cons)),
            page,
            outgoing: Vec::new(),
            sent: 0,
            incoming: Vec::new(),
            waiting: Vec::new(),
            watches: Vec::new(),
            next_id: 1,
            next_token: 1,
            unexpected: 0,
        }
    }

    /// Whether no message is under way in either direction. A reply that has come and was not taken is under way no
    /// more.
    pub(super) fn is_idle(&self) -> bool {
        let all_answered = self.waiting.iter().all(|waiting| waiting.outcome.is_some());
        all_answered && self.outgoing.is_empty() && self.incoming.is_empty()
    }

    pub(super) fn unexpected(&self) -> u32 {
        self.unexpected
    }

    /// Queues a request and returns its id.
    pub(super) fn request(
        &mut self,
        kind: MessageType,
        tx_id: u32,
        parts: &[&[u8]],
        abandoned: bool,
    ) -> Result<u32, ErrorKind> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > PAYLOAD_MAX {
            return Err(ErrorKind::TooLong);
        }
        if self.link == Link::Down {
            return Err(ErrorKind::Disconnected);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        for word in [kind as u32, id, tx_id, len as u32] {
            self.outgoing.extend_from_slice(&word.to_ne_bytes());
        }
        for part in parts {
            self.outgoing.extend_from_slice(part);
        }
        self.waiting.push(Waiting { id, kind, outcome: None, waker: None, abandoned });
        Ok(id)
    }

    /// The outcome of a request, once; until then `waker` is kept.
    pub(super) fn poll(&mut self, id: u32, waker: &Waker) -> Poll<Outcome> {
        let Some(index) = self.waiting.iter().position(|waiting| waiting.id == id) else {
            return Poll::Ready(Err(ErrorKind::Disconnected));
        };
        let waiting = &mut self.waiting[index];
        match waiting.outcome.take() {
            Some(outcome) => {
                self.waiting.swap_remove(index);
                Poll::Ready(outcome)
            }
            None => {
                waiting.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Nobody waits for the outcome of a request any more.
    pub(super) fn abandon(&mut self, id: u32) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.id == id) {
            waiting.abandoned = true;
        }
        self.forget_abandoned();
    }

    fn forget_abandoned(&mut self) {
        self.waiting.retain(|waiting| !(waiting.abandoned && waiting.outcome.is_some()));
    }

    /// Takes part in watching `path`; returns the watch's token. The request to the store is a separate step.
    pub(super) fn add_watch(&mut self, path: &str) -> u32 {
        let token = self.next_token;
        self.next_token = token.wrapping_add(1);
        self.watches.push(Watched { token, path: String::from(path), events: Vec::new(), changes: 0, waker: None });
        token
    }

    /// Forgets a watch and returns its path.
    pub(super) fn remove_watch(&mut self, token: u32) -> Option<String> {
        let index = self.watches.iter().position(|watched| watched.token == token)?;
        Some(self.watches.swap_remove(index).path)
    }

    /// The next change below a watch; until then `waker` is kept.
    pub(super) fn poll_watch(&mut self, token: u32, waker: &Waker) -> Poll<String> {
        let Some(watched) = self.watches.iter_mut().find(|watched| watched.token == token) else {
            return Poll::Pending;
        };
        if watched.events.is_empty() {
            watched.waker = Some(waker.clone());
            return Poll::Pending;
        }
        Poll::Ready(watched.events.remove(0))
    }

    /// Forgets the changes below a watch, and returns how many there were.
    pub(super) fn clear_watch(&mut self, token: u32) -> u32 {
        self.watches.iter_mut().find(|watched| watched.token == token).map_or(0, |watched| {
            watched.events.clear();
            core::mem::take(&mut watched.changes)
        })
    }

    /// Moves what can be moved in both directions; returns whether the store has to be told.
    pub(super) fn pump(&mut self) -> bool {
        match self.link {
            Link::Down => return false,
            Link::Reconnecting if self.page.read::<u32>(offset_of!(DomainInterface, connection)) == CONNECTED => {
                self.restart();
            }
            Link::Reconnecting => return false,
            Link::Up => {}
        }
        match self.receive().and_then(|received| Ok(self.send()? | received)) {
            Ok(notify) => notify,
            Err(Violation) => self.fail(),
        }
    }

    /// Copies outgoing bytes into the request ring.
    fn send(&mut self) -> Result<bool, Violation> {
        if self.outgoing.is_empty() {
            return Ok(false);
        }
        let req_cons: u32 = self.page.read(offset_of!(DomainInterface, req_cons));
        let used = self.req_prod.wrapping_sub(req_cons) as usize;
        let room = RING_SIZE.checked_sub(used).ok_or(Violation)?;
        // The store has read a byte before we see the index that frees its place.
        self.page.fence(Ordering::Acquire);
        let count = room.min(self.outgoing.len() - self.sent);
        for byte in &self.outgoing[self.sent..self.sent + count] {
            let position = self.req_prod as usize % RING_SIZE;
            self.page.write_bytes(offset_of!(DomainInterface, req) + position, core::slice::from_ref(byte));
            self.req_prod = self.req_prod.wrapping_add(1);
        }
        self.sent += count;
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        // The store sees the bytes before it sees the index that covers them.
        self.page.fence(Ordering::Release);
        self.page.write(offset_of!(DomainInterface, req_prod), self.req_prod);
        Ok(count > 0)
    }

    /// Copies bytes out of the response ring, and handles each message as it is complete.
    fn receive(&mut self) -> Result<bool, Violation> {
        let rsp_prod: u32 = self.page.read(offset_of!(DomainInterface, rsp_prod));
        let available = rsp_prod.wrapping_sub(self.rsp_cons) as usize;
        if available > RING_SIZE {
            return Err(Violation);
        }
        // No byte is read before the index that covers it.
        self.page.fence(Ordering::Acquire);
        let mut left = available;
        while left > 0 {
            let position = self.rsp_cons as usize % RING_SIZE;
            let count = self.missing()?.min(left).min(RING_SIZE - position);
            let end = self.incoming.len();
            self.incoming.resize(end + count, 0);
            self.page.read_bytes(offset_of!(DomainInterface, rsp) + position, &mut self.incoming[end..]);
            self.rsp_cons = self.rsp_cons.wrapping_add(count as u32);
            left -= count;
            if self.missing()? == 0 {
                let message = core::mem::take(&mut self.incoming);
                self.handle(&message);
            }
        }
        // We have read the bytes before the store sees the index that frees their places.
        self.page.fence(Ordering::Release);
        self.page.write(offset_of!(DomainInterface, rsp_cons), self.rsp_cons);
        // A store that found the ring full waits to be told of the room. It may have filled the ring since we looked:
        // the new index is visible before the second look, so that one side sees what the other did.
        self.page.fence(Ordering::SeqCst);
        let rsp_prod: u32 = self.page.read(offset_of!(DomainInterface, rsp_prod));
        let start = self.rsp_cons.wrapping_sub(available as u32);
        Ok(rsp_prod.wrapping_sub(start) as usize >= RING_SIZE)
    }

    /// Bytes still missing of the header, or of the message once its header is there.
    fn missing(&self) -> Result<usize, Violation> {
        const HEADER: usize = size_of::<MessageHeader>();
        let have = self.incoming.len();
        match header(&self.incoming) {
            None => Ok(HEADER - have),
            Some(header) if header.len as usize <= PAYLOAD_MAX => Ok(HEADER + header.len as usize - have),
            Some(_) => Err(Violation),
        }
    }

    /// Gives a complete message to who waits for it.
    // Within its only caller, both would want more registers than there are.
    #[inline(never)]
    fn handle(&mut self, message: &[u8]) {
        let Some(header) = header(message) else { return };
        let payload = &message[size_of::<MessageHeader>()..];
        if header.kind == MessageType::WatchEvent as u32 {
            if self.watch_event(payload).is_none() {
                self.unexpected = self.unexpected.wrapping_add(1);
            }
            return;
        }
        let found = self.waiting.iter_mut().find(|waiting| waiting.id == header.req_id && waiting.outcome.is_none());
        let Some(waiting) = found else {
            self.unexpected = self.unexpected.wrapping_add(1);
            return;
        };
        waiting.outcome = Some(if header.kind == waiting.kind as u32 {
            Ok(payload.to_vec())
        } else if header.kind == MessageType::Error as u32 {
            match (ErrorKind::from_reply(payload), waiting.kind) {
                // One that was queued while the connection was down: it was registered with all the others.
                (ErrorKind::Exists, MessageType::Watch) => Ok(Vec::new()),
                (kind, _) => Err(kind),
            }
        } else {
            Err(ErrorKind::Malformed)
        });
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
        self.forget_abandoned();
    }

    /// Keeps the event for the watch's owner.
    fn watch_event(&mut self, payload: &[u8]) -> Option<()> {
        let mut parts = payload.split(|byte| *byte == 0);
        let path = core::str::from_utf8(parts.next()?).ok()?;
        let token = decimal::parse(parts.next()?)?;
        let watched = self.watches.iter_mut().find(|watched| watched.token == token)?;
        watched.push(path);
        Some(())
    }

    /// The store broke the protocol: every request fails, and the connection starts anew if the store can do that.
    /// Returns whether the store has to be told.
    fn fail(&mut self) -> bool {
        kernel::println!("xenstore: the store broke the protocol");
        for waiting in &mut self.waiting {
            waiting.outcome.get_or_insert(Err(ErrorKind::Disconnected));
        }
        self.wake_all();
        self.outgoing.clear();
        self.sent = 0;
        self.incoming.clear();
        let features: u32 = self.page.read(offset_of!(DomainInterface, server_features));
        let reconnects = features & SERVER_FEATURE_RECONNECTION != 0;
        self.link = if reconnects { Link::Reconnecting } else { Link::Down };
        if reconnects {
            self.page.write(offset_of!(DomainInterface, connection), RECONNECT);
        }
        reconnects
    }

    /// Wakes who waits for an outcome: each has one.
    fn wake_all(&mut self) {
        self.waiting.iter_mut().filter_map(|waiting| waiting.waker.take()).for_each(Waker::wake);
        self.forget_abandoned();
    }

    /// This is a domain that was resumed, and another store.
    pub(super) fn resume(&mut self) {
        for waiting in &mut self.waiting {
            waiting.outcome = Some(Err(ErrorKind::Disconnected));
        }
        self.wake_all();
        self.restart();
    }

    /// The store has started anew, or this is a domain that was resumed and another store. It has set the indices back,
    /// and the watches have to be registered again. Each tells its owner to look again, as every new watch does.
    pub(super) fn restart(&mut self) {
        self.link = Link::Up;
        self.req_prod = self.page.read(offset_of!(DomainInterface, req_prod));
        self.rsp_cons = self.page.read(offset_of!(DomainInterface, rsp_cons));
        // What was queued while the connection was down goes out after the watches.
        let queued = core::mem::take(&mut self.outgoing);
        for index in 0..self.watches.len() {
            let path = core::mem::take(&mut self.watches[index].path);
            let token = decimal::text(self.watches[index].token);
            // The path fitted when the watch was made.
            let _ = self.request(MessageType::Watch, 0, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"], true);
            self.watches[index].path = path;
        }
        self.outgoing.extend_from_slice(&queued);
    }
}

impl Watched {
    fn push(&mut self, path: &str) {
        self.changes = self.changes.wrapping_add(1);
        if self.events.len() < EVENTS_MAX {
            if self.events.last().is_none_or(|last| last != path) {
                self.events.push(String::from(path));
            }
        } else if let Some(last) = self.events.last_mut() {
            last.clone_from(&self.path);
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The store's side of the page does not make sense.
#[derive(Debug)]
struct Violation;

/// The header at the start of a message, if it is complete.
fn header(message: &[u8]) -> Option<MessageHeader> {
    let word = |index: usize| -> Option<u32> { Some(u32::from_ne_bytes(*message.get(index * 4..)?.first_chunk()?)) };
    Some(MessageHeader { kind: word(0)?, req_id: word(1)?, tx_id: word(2)?, len: word(3)? })
}
