//! A small xenstored: tree, watches, transactions and permissions, for one guest and the control domain.
//!
//! The guest speaks `xen/include/public/io/xs_wire.h` over its page; the control domain calls the methods.

use std::collections::{BTreeMap, VecDeque};
use std::mem::{offset_of, size_of};

use xen_pv::shared_page::SharedPage;
use xen_pv::xenstore::{Permission, Rights};
use xen_sys::io::xs_wire::{
    CONNECTED, DomainInterface, MessageHeader, MessageType, PAYLOAD_MAX, RECONNECT, RING_SIZE,
    SERVER_FEATURE_RECONNECTION,
};
use xen_sys::types::{Domid, Port};

use crate::FakeXen;

mod tree;

use tree::{Tree, is_below};

#[derive(Debug)]
struct Watch {
    /// As the guest wrote it.
    path: String,
    absolute: String,
    token: String,
}

#[derive(Debug)]
struct Transaction {
    /// What the guest sees and writes in it.
    tree: Tree,
    /// The generation of the tree when it began.
    base: u64,
    changed: Vec<String>,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    xen: FakeXen,
    page: SharedPage<'static>,
    port: Port,
    guest: Domid,
    tree: Tree,
    watches: Vec<Watch>,
    transactions: BTreeMap<u32, Transaction>,
    next_transaction: u32,
    incoming: Vec<u8>,
    /// Messages that wait for room in the ring.
    outgoing: VecDeque<u8>,
    /// The guest has sent an event since requests were looked at.
    kicked: bool,
    /// The ring to the guest was full: it is looked at again after the guest's next event.
    full: bool,
    /// Replies of one turn are sent in the reverse order.
    pub reverse_replies: bool,
    /// Requests are left in the ring.
    pub paused: bool,
    /// Reads of nodes of this name fail with this error.
    failing: Option<(&'static str, &'static str)>,
    /// Requests served.
    pub requests: u32,
}

impl Store {
    /// A store for the guest at the other end of `page` and `port`.
    #[must_use]
    pub fn new(xen: FakeXen, page: SharedPage<'static>, port: Port, guest: Domid) -> Self {
        let mut store = Self {
            xen,
            page,
            port,
            guest,
            tree: Tree::new(),
            watches: Vec::new(),
            transactions: BTreeMap::new(),
            next_transaction: 1,
            incoming: Vec::new(),
            outgoing: VecDeque::new(),
            kicked: false,
            full: false,
            reverse_replies: false,
            paused: false,
            failing: None,
            requests: 0,
        };
        let home = store.home();
        store.write(&home, "");
        store.allow(&home, &[(guest, Rights::None)]);
        store
    }

    /// The guest's own directory.
    #[must_use]
    pub fn home(&self) -> String {
        format!("/local/domain/{}", self.guest.0)
    }

    /// Offers to start the connection anew when asked, as oxenstored does.
    pub fn offer_reconnection(&mut self) {
        self.page.write(offset_of!(DomainInterface, server_features), SERVER_FEATURE_RECONNECTION);
    }

    /// Reads a node as the control domain.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<String> {
        let value = self.tree.read(Domid(0), path).ok()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// From now on the guest's reads of nodes with this name fail with this error; with an empty name none do.
    pub fn fail_reads(&mut self, leaf: &'static str, error: &'static str) {
        self.failing = (!leaf.is_empty()).then_some((leaf, error));
    }

    /// Whether a node exists.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.tree.exists(path)
    }

    /// Writes a node as the control domain.
    pub fn write(&mut self, path: &str, value: &str) {
        // The control domain may do everything.
        let _ = self.tree.write(Domid(0), path, value.as_bytes());
        self.changed(path);
    }

    /// Removes a node and all below it, as the control domain.
    pub fn remove(&mut self, path: &str) {
        // The control domain may do everything.
        let _ = self.tree.remove(Domid(0), path);
        self.changed(path);
    }

    /// Sets a node's permissions: the first entry names the owner.
    pub fn allow(&mut self, path: &str, entries: &[(Domid, Rights)]) {
        let permissions = entries.iter().map(|&(domain, rights)| Permission { domain, rights }).collect();
        // The control domain may do everything.
        let _ = self.tree.set_permissions(Domid(0), path, permissions);
    }

    /// Number of watches that the guest has.
    #[must_use]
    pub fn watch_count(&self) -> usize {
        self.watches.len()
    }

    /// Number of transactions that the guest has begun and not ended.
    #[must_use]
    pub fn transaction_count(&self) -> usize {
        self.transactions.len()
    }

    /// Sends a message to the guest that nobody may have asked for.
    pub fn inject(&mut self, kind: u32, req_id: u32, payload: &[u8]) {
        self.send(kind, req_id, 0, payload);
    }

    /// Sends bytes to the guest that may not be a message at all.
    pub fn inject_bytes(&mut self, bytes: &[u8]) {
        self.outgoing.extend(bytes);
    }

    /// One of the indices in the page.
    #[must_use]
    pub fn index(&self, offset: usize) -> u32 {
        self.page.read(offset)
    }

    /// Overwrites one of the indices in the page, and sends an event.
    pub fn overwrite_index(&mut self, offset: usize, value: u32) {
        self.page.write(offset, value);
        self.xen.raise(self.port);
    }

    /// Moves messages and answers requests; says whether there was anything to do. Like the real one, it looks at the
    /// page only after an event.
    pub fn serve(&mut self) -> bool {
        if self.xen.take_outgoing(self.port) > 0 {
            self.kicked = true;
            self.full = false;
        }
        if self.kicked && self.page.read::<u32>(offset_of!(DomainInterface, connection)) == RECONNECT {
            self.reconnect();
            return true;
        }
        let mut progress = false;
        let mut replies = Vec::new();
        let kicked = self.kicked && !self.paused;
        self.kicked &= self.paused;
        while kicked && let Some((header, payload)) = self.next_request() {
            progress = true;
            self.requests += 1;
            let reply = self.answer(header, &payload);
            replies.push((header, reply));
        }
        if self.reverse_replies {
            replies.reverse();
        }
        for (header, reply) in replies {
            match reply {
                Ok(payload) => self.send(header.kind, header.req_id, header.tx_id, &payload),
                Err(name) => {
                    let payload = format!("{name}\0");
                    self.send(MessageType::Error as u32, header.req_id, header.tx_id, payload.as_bytes());
                }
            }
        }
        progress | self.flush()
    }

    /// Starts the connection anew, whatever has come to pass in the page, and behaves from here on.
    pub fn start_anew(&mut self) {
        self.paused = false;
        self.reconnect();
    }

    /// Starts the connection anew, as the guest has asked.
    fn reconnect(&mut self) {
        self.watches.clear();
        self.transactions.clear();
        self.incoming.clear();
        self.outgoing.clear();
        self.kicked = false;
        for offset in [
            offset_of!(DomainInterface, req_cons),
            offset_of!(DomainInterface, req_prod),
            offset_of!(DomainInterface, rsp_cons),
            offset_of!(DomainInterface, rsp_prod),
        ] {
            self.page.write(offset, 0u32);
        }
        self.page.write(offset_of!(DomainInterface, connection), CONNECTED);
        self.xen.raise(self.port);
    }

    /// The next whole request out of the ring.
    fn next_request(&mut self) -> Option<(MessageHeader, Vec<u8>)> {
        const HEADER: usize = size_of::<MessageHeader>();
        loop {
            let word =
                |index: usize| u32::from_ne_bytes(self.incoming[index * 4..][..4].try_into().unwrap_or_default());
            let wanted = if self.incoming.len() < HEADER { HEADER } else { HEADER + word(3) as usize };
            assert!(wanted <= HEADER + PAYLOAD_MAX, "the guest sent a message that is too long");
            if self.incoming.len() >= HEADER && self.incoming.len() == wanted {
                let header = MessageHeader { kind: word(0), req_id: word(1), tx_id: word(2), len: word(3) };
                let payload = self.incoming[HEADER..].to_vec();
                self.incoming.clear();
                return Some((header, payload));
            }
            let cons: u32 = self.page.read(offset_of!(DomainInterface, req_cons));
            let prod: u32 = self.page.read(offset_of!(DomainInterface, req_prod));
            assert!(prod.wrapping_sub(cons) as usize <= RING_SIZE, "the guest's index is out of bounds");
            if prod == cons {
                return None;
            }
            let mut byte = [0];
            let position = cons as usize % RING_SIZE;
            self.page.read_bytes(offset_of!(DomainInterface, req) + position, &mut byte);
            self.incoming.extend(byte);
            self.page.write(offset_of!(DomainInterface, req_cons), cons.wrapping_add(1));
            if prod.wrapping_sub(cons) as usize == RING_SIZE {
                // The guest may wait for room.
                self.xen.raise(self.port);
            }
        }
    }

    fn send(&mut self, kind: u32, req_id: u32, tx_id: u32, payload: &[u8]) {
        for word in [kind, req_id, tx_id, payload.len() as u32] {
            self.outgoing.extend(word.to_ne_bytes());
        }
        self.outgoing.extend(payload);
    }

    /// Copies waiting messages into the ring.
    fn flush(&mut self) -> bool {
        let mut progress = false;
        loop {
            let cons: u32 = self.page.read(offset_of!(DomainInterface, rsp_cons));
            let prod: u32 = self.page.read(offset_of!(DomainInterface, rsp_prod));
            self.full |= prod.wrapping_sub(cons) as usize >= RING_SIZE;
            if self.full {
                return progress;
            }
            let Some(byte) = self.outgoing.pop_front() else { return progress };
            let position = prod as usize % RING_SIZE;
            self.page.write_bytes(offset_of!(DomainInterface, rsp) + position, &[byte]);
            self.page.write(offset_of!(DomainInterface, rsp_prod), prod.wrapping_add(1));
            self.xen.raise(self.port);
            progress = true;
        }
    }

    fn absolute(&self, path: &str) -> String {
        if path == "/" {
            String::new()
        } else if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", self.home())
        }
    }

    /// Sends the events of a change at `path`, also to those who watch below it.
    fn changed(&mut self, path: &str) {
        let mut events = Vec::new();
        for watch in &self.watches {
            if is_below(path, &watch.absolute) {
                // Told in the way in which the watch was named.
                events.push(format!("{}{}\0{}\0", watch.path, &path[watch.absolute.len()..], watch.token));
            } else if is_below(&watch.absolute, path) {
                events.push(format!("{}\0{}\0", watch.path, watch.token));
            }
        }
        for event in events {
            self.send(MessageType::WatchEvent as u32, 0, 0, event.as_bytes());
        }
    }

    /// Does what a request asks for, and says what to reply.
    fn answer(&mut self, header: MessageHeader, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        const OK: &[u8] = b"OK\0";
        let end = payload.iter().position(|byte| *byte == 0).ok_or("EINVAL")?;
        let text = std::str::from_utf8(&payload[..end]).map_err(|_| "EINVAL")?;
        let rest = &payload[end + 1..];
        let path = self.absolute(text);
        // As the real store has it for the path of a node.
        if path.contains("//") {
            return Err("EINVAL");
        }
        let guest = self.guest;
        let kind = header.kind;
        if kind == MessageType::TransactionEnd as u32 {
            return self.end_transaction(header.tx_id, text == "T").map(|()| OK.to_vec());
        }
        if kind == MessageType::TransactionStart as u32 {
            let id = self.next_transaction;
            self.next_transaction += 1;
            let transaction = Transaction { tree: self.tree.clone(), base: self.tree.generation, changed: Vec::new() };
            self.transactions.insert(id, transaction);
            return Ok(format!("{id}\0").into_bytes());
        }
        if kind == MessageType::Watch as u32 || kind == MessageType::Unwatch as u32 {
            let token = std::str::from_utf8(rest.strip_suffix(b"\0").ok_or("EINVAL")?).map_err(|_| "EINVAL")?;
            return self.watch(kind == MessageType::Watch as u32, text, path, token).map(|()| OK.to_vec());
        }
        let tree = match header.tx_id {
            0 => &mut self.tree,
            id => &mut self.transactions.get_mut(&id).ok_or("ENOENT")?.tree,
        };
        if kind == MessageType::Read as u32 {
            if let Some((leaf, error)) = self.failing
                && path.rsplit('/').next() == Some(leaf)
            {
                return Err(error);
            }
            return tree.read(guest, &path).map(<[u8]>::to_vec);
        }
        if kind == MessageType::Directory as u32 {
            return tree.list(guest, &path).map(|names| zero_terminated(&names));
        }
        if kind == MessageType::GetPermissions as u32 {
            let permissions = tree.permissions(guest, &path)?;
            return Ok(zero_terminated(&permissions.iter().map(permission_text).collect::<Vec<_>>()));
        }
        if kind == MessageType::Write as u32 {
            tree.write(guest, &path, rest)?;
        } else if kind == MessageType::MakeDirectory as u32 {
            tree.make(guest, &path)?;
        } else if kind == MessageType::Remove as u32 {
            tree.remove(guest, &path)?;
        } else if kind == MessageType::SetPermissions as u32 {
            let texts = rest.split_inclusive(|byte| *byte == 0).map(permission).collect::<Option<_>>();
            tree.set_permissions(guest, &path, texts.ok_or("EINVAL")?)?;
        } else {
            return Err("ENOSYS");
        }
        match header.tx_id {
            0 => self.changed(&path),
            id => self.transactions.get_mut(&id).ok_or("ENOENT")?.changed.push(path),
        }
        Ok(OK.to_vec())
    }

    fn end_transaction(&mut self, id: u32, commit: bool) -> Result<(), &'static str> {
        let transaction = self.transactions.remove(&id).ok_or("ENOENT")?;
        if !commit {
            return Ok(());
        }
        if transaction.base != self.tree.generation {
            return Err("EAGAIN");
        }
        self.tree = transaction.tree;
        for path in transaction.changed {
            self.changed(&path);
        }
        Ok(())
    }

    fn watch(&mut self, begin: bool, path: &str, absolute: String, token: &str) -> Result<(), &'static str> {
        let same = |watch: &Watch| watch.path == path && watch.token == token;
        let known = self.watches.iter().position(same);
        match (begin, known) {
            (true, Some(_)) => Err("EEXIST"),
            (true, None) => {
                // The first event comes at once.
                let event = format!("{path}\0{token}\0");
                self.watches.push(Watch { path: path.to_owned(), absolute, token: token.to_owned() });
                self.send(MessageType::WatchEvent as u32, 0, 0, event.as_bytes());
                Ok(())
            }
            (false, Some(index)) => {
                self.watches.remove(index);
                Ok(())
            }
            (false, None) => Err("ENOENT"),
        }
    }
}

fn zero_terminated(texts: &[String]) -> Vec<u8> {
    texts.iter().flat_map(|text| text.bytes().chain([0])).collect()
}

fn permission_text(permission: &Permission) -> String {
    let letter = match permission.rights {
        Rights::None => 'n',
        Rights::Read => 'r',
        Rights::Write => 'w',
        Rights::Both => 'b',
    };
    format!("{letter}{}", permission.domain.0)
}

fn permission(text: &[u8]) -> Option<Permission> {
    let (letter, domain) = std::str::from_utf8(text.strip_suffix(b"\0")?).ok()?.split_at_checked(1)?;
    let rights = match letter {
        "n" => Rights::None,
        "r" => Rights::Read,
        "w" => Rights::Write,
        "b" => Rights::Both,
        _ => return None,
    };
    Some(Permission { domain: Domid(domain.parse().ok()?), rights })
}
