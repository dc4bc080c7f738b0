//! A network backend that behaves like Linux's netback, and can be told not to.
//!
//! It uses the backend's side of the same rings, follows the same states, and is as strict as netback about what a
//! frontend sends: what netback answers with an error is a panic here.

use std::collections::VecDeque;

use xen_pv::ring::{BackRing, Broken, Check};
use xen_pv::shared_page::Shared;
use xen_pv::xenstore::Rights;
use xen_sys::io::netif::{
    EXTRA_FLAG_MORE, EXTRA_TYPE_GSO, ExtraInfo, GSO_TYPE_TCPV4, NR_SLOTS_MIN, RSP_NULL, RSP_OKAY, RXF_CSUM_BLANK,
    RXF_DATA_VALIDATED, RXF_EXTRA_INFO, RXF_MORE_DATA, RxRequest, RxResponse, TXF_CSUM_BLANK, TXF_EXTRA_INFO,
    TXF_MORE_DATA, TxRequest, TxResponse,
};
use xen_sys::io::xenbus::XenbusState;
use xen_sys::types::{Claimed, Domid, GrantRef, Port};

use crate::hypervisor::Mapping;
use crate::machine::GUEST;
use crate::{FakeXen, Store};

const PAGE: usize = 4096;
/// The largest frame on a wire with the usual MTU.
const WIRE_FRAME_MAX: usize = 1514;

/// A frame that the guest sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The flags of its first slot.
    pub flags: u16,
    /// The size of the segments to cut it into.
    pub segment_bytes: Option<u16>,
}

/// The rings of a connection.
#[derive(Debug)]
pub struct Rings {
    /// From the guest.
    pub tx: BackRing<TxRequest, TxResponse, Mapping>,
    /// To the guest.
    pub rx: BackRing<RxRequest, RxResponse, Mapping>,
    tx_reference: GrantRef,
    rx_reference: GrantRef,
    tx_port: Port,
    rx_port: Port,
}

/// A backend for a card of the guest, `vif/0` unless it is another one.
#[derive(Debug)]
pub struct Netback {
    xen: FakeXen,
    domain: Domid,
    /// The card's number.
    number: u32,
    /// Nodes that it writes into its directory when it starts.
    pub features: Vec<(&'static str, &'static str)>,
    /// The card's address as the toolstack writes it.
    pub mac: String,
    /// The connection, while there is one.
    pub rings: Option<Rings>,
    /// Frames from the guest.
    pub sent: Vec<Sent>,
    /// Frames for the guest that wait for buffers, with their flags.
    pub to_deliver: VecDeque<(Vec<u8>, u16)>,
    /// Does not touch the rings by itself.
    pub manual: bool,
    /// Takes requests but answers none.
    pub silent: bool,
    /// Does not follow the frontend's states.
    pub frozen: bool,
    /// The toolstack's script has yet to put each new interface on the bridge: [`script_ends`](Self::script_ends).
    pub slow_script: bool,
    /// Fails where a frontend's nodes or rings make no sense, for tests that change them; otherwise that is a panic.
    pub tolerant: bool,
    /// How far it has come; `Unknown` before it has found the card, and after it has let go of it.
    state: XenbusState,
    /// Where the frontend's state sends it. The frontend is looked at again only there.
    goal: XenbusState,
    /// It shows no new state before the script has ended.
    waits_for_script: bool,
    /// Requests taken while silent: their ids, `None` for extra information, which has none.
    unanswered: Vec<Option<u16>>,
    /// The frontend takes packets of several slots, and segments of a stream in one piece.
    takes_segments: bool,
    /// More requests were found when it was about to sleep.
    tx_awake: bool,
    /// Buffers were found when it was about to wait for some.
    rx_awake: bool,
    /// Frames that found no buffer: they are tried again after the guest's next event.
    stalled: usize,
    /// Connections made.
    pub connections: u32,
    /// Events sent to the guest.
    pub events: u32,
}

impl Netback {
    /// A backend in domain `domain` with the features of Linux 6.1's.
    #[must_use]
    pub fn new(xen: &FakeXen, domain: Domid) -> Self {
        Self::numbered(xen, domain, 0)
    }

    /// As [`new`](Self::new), for the card of this number.
    #[must_use]
    pub fn numbered(xen: &FakeXen, domain: Domid, number: u32) -> Self {
        Self {
            xen: xen.clone(),
            domain,
            number,
            features: vec![
                ("feature-sg", "1"),
                ("feature-gso-tcpv4", "1"),
                ("feature-gso-tcpv6", "1"),
                ("feature-ipv6-csum-offload", "1"),
                ("feature-rx-copy", "1"),
                ("feature-multicast-control", "1"),
                ("feature-split-event-channels", "1"),
                ("multi-queue-max-queues", "1"),
            ],
            mac: "00:16:3e:01:02:03".to_owned(),
            rings: None,
            sent: Vec::new(),
            to_deliver: VecDeque::new(),
            manual: false,
            silent: false,
            frozen: false,
            slow_script: false,
            tolerant: false,
            state: XenbusState::Unknown,
            goal: XenbusState::Unknown,
            waits_for_script: false,
            unanswered: Vec::new(),
            takes_segments: false,
            tx_awake: false,
            rx_awake: false,
            stalled: 0,
            connections: 0,
            events: 0,
        }
    }

    /// The backend's directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("/local/domain/{}/backend/vif/{}/{}", self.domain.0, GUEST.0, self.number)
    }

    /// The frontend's directory of the card `vif/0`.
    #[must_use]
    pub fn frontend() -> String {
        frontend(0)
    }

    /// The frontend's directory of this card.
    #[must_use]
    pub fn own_frontend(&self) -> String {
        frontend(self.number)
    }

    /// What the toolstack does to attach a card.
    pub fn create_directories(&self, store: &mut Store) {
        let (front, back) = (self.own_frontend(), self.directory());
        store.write(&back, "");
        store.allow(&back, &[(self.domain, Rights::None), (GUEST, Rights::Read)]);
        for (leaf, value) in [("frontend", front.as_str()), ("online", "1"), ("state", "1"), ("mac", &self.mac)] {
            store.write(&format!("{back}/{leaf}"), value);
        }
        let domain = self.domain.0.to_string();
        store.write(&front, "");
        store.allow(&front, &[(GUEST, Rights::None), (self.domain, Rights::Read)]);
        let nodes = [("backend", back.as_str()), ("backend-id", &domain), ("mac", &self.mac), ("state", "1")];
        for (leaf, value) in nodes {
            store.write(&format!("{front}/{leaf}"), value);
        }
    }

    /// What the toolstack does to detach a card: asks the backend to close.
    pub fn request_close(&self, store: &mut Store) {
        store.write(&format!("{}/online", self.directory()), "0");
        self.show(store, "5");
    }

    /// What the toolstack does once the backend has closed.
    pub fn remove_directories(&self, store: &mut Store) {
        store.remove(&self.own_frontend());
        store.remove(&self.directory());
    }

    /// The state that it shows.
    #[must_use]
    pub fn shown(&self, store: &Store) -> String {
        store.read(&format!("{}/state", self.directory())).unwrap_or_default()
    }

    /// Shows a state.
    pub fn show(&self, store: &mut Store, state: &str) {
        store.write(&format!("{}/state", self.directory()), state);
    }

    /// The state that the frontend of the card `vif/0` shows.
    #[must_use]
    pub fn frontend_shown(store: &Store) -> String {
        store.read(&format!("{}/state", Self::frontend())).unwrap_or_default()
    }

    /// The state that the frontend of this card shows.
    #[must_use]
    pub fn own_frontend_shown(&self, store: &Store) -> String {
        store.read(&format!("{}/state", self.own_frontend())).unwrap_or_default()
    }

    /// Goes away without a word. The toolstack writes the card's nodes anew, and a new backend waits in `InitWait`.
    pub fn replace(&mut self, store: &mut Store) -> Option<Rings> {
        self.frozen = true;
        self.unanswered.clear();
        let state = format!("{}/state", self.own_frontend());
        if store.exists(&state) {
            store.write(&state, "1");
        }
        self.show(store, "2");
        (self.state, self.goal, self.waits_for_script) = (XenbusState::InitWait, XenbusState::InitWait, false);
        self.rings.take()
    }

    /// Lets go of the card in order without a word to the frontend, as when its driver is taken from the device. The
    /// requests that it has taken are answered, frames for the guest are lost.
    pub fn unbind(&mut self, store: &mut Store) {
        self.answer();
        self.to_deliver.clear();
        self.rings = None;
        self.state = XenbusState::Unknown;
        self.waits_for_script = false;
        store.remove(&format!("{}/hotplug-status", self.directory()));
    }

    /// The driver finds the card again.
    pub fn bind(&mut self, store: &mut Store) {
        self.show(store, "1");
    }

    /// Whether there is no driver at the card.
    #[must_use]
    pub fn is_unbound(&self) -> bool {
        self.state == XenbusState::Unknown
    }

    /// The script has put the interface on the bridge.
    pub fn script_ends(&self, store: &mut Store) {
        store.write(&format!("{}/hotplug-status", self.directory()), "connected");
    }

    /// Shows `Closing`, then `Closed`, without having been asked to.
    pub fn give_up(&mut self, store: &mut Store) {
        self.rings = None;
        self.unanswered.clear();
        (self.state, self.goal, self.waits_for_script) = (XenbusState::Closing, XenbusState::Closed, false);
        self.show(store, "5");
    }

    /// Does what there is to do; says whether there was anything.
    pub fn step(&mut self, store: &mut Store) -> bool {
        let mut progress = !self.frozen && self.follow(store);
        if !self.manual && self.rings.is_some() {
            progress |= self.serve();
        }
        progress
    }

    /// Looks at the rings where an event or something of its own is the reason to.
    fn serve(&mut self) -> bool {
        let (tx_port, rx_port) = (self.rings().tx_port, self.rings().rx_port);
        let tx_kicked = self.xen.take_outgoing(tx_port) > 0;
        let rx_kicked = if rx_port == tx_port { tx_kicked } else { self.xen.take_outgoing(rx_port) > 0 };
        let mut progress = false;
        if tx_kicked || self.tx_awake || !self.silent && !self.unanswered.is_empty() {
            progress |= self.transmit();
        }
        if rx_kicked || self.rx_awake || self.to_deliver.len() != self.stalled {
            progress |= self.deliver();
        }
        progress
    }

    /// Goes one step, as `frontend_changed` and `set_backend_state` of Linux's `drivers/net/xen-netback/xenbus.c` do.
    fn follow(&mut self, store: &mut Store) -> bool {
        use XenbusState::{Closed, Closing, Connected, InitWait, Initialising, Unknown};
        if self.state == Unknown {
            return self.probe(store);
        }
        let script = store.read(&format!("{}/hotplug-status", self.directory()));
        if self.waits_for_script && script.as_deref() == Some("connected") {
            self.waits_for_script = false;
            self.show(store, &(self.state as u32).to_string());
            return true;
        }
        if self.state == self.goal {
            self.goal = match self.own_frontend_shown(store).as_str() {
                "1" => InitWait,
                "4" => Connected,
                "5" => Closing,
                "6" | "" => Closed,
                _ => self.state,
            };
        }
        if self.state == self.goal {
            let online = store.read(&format!("{}/online", self.directory())).as_deref() == Some("1");
            if self.state == Closed && (!online || self.own_frontend_shown(store).is_empty()) {
                self.state = Unknown;
                if self.shown(store) == "5" {
                    self.show(store, "6");
                }
            }
            return false;
        }
        self.state = match (self.state, self.goal) {
            (Initialising, Closed) | (Closing, _) => Closed,
            (Initialising, _) | (Closed, InitWait | Connected) => InitWait,
            (InitWait, Connected) => {
                let connected = self.connect(store);
                assert!(connected.is_some() || self.tolerant, "the frontend's nodes or rings make no sense");
                if connected.is_some() {
                    if !self.slow_script {
                        self.script_ends(store);
                    }
                    self.waits_for_script = true;
                } else {
                    // It says that it failed, and in the same breath that all is well.
                    self.show(store, "5");
                }
                Connected
            }
            _ => {
                self.answer();
                self.rings = None;
                Closing
            }
        };
        if !self.waits_for_script {
            self.show(store, &(self.state as u32).to_string());
        }
        true
    }

    /// Begins with a card that it has not seen before.
    fn probe(&mut self, store: &mut Store) -> bool {
        if self.shown(store) != "1" {
            return false;
        }
        for (leaf, value) in &self.features {
            store.write(&format!("{}/{leaf}", self.directory()), value);
        }
        (self.state, self.goal) = (XenbusState::Initialising, XenbusState::Initialising);
        true
    }

    /// Connects to the rings that the frontend's nodes name, if they make sense.
    fn connect(&mut self, store: &Store) -> Option<()> {
        let frontend = self.own_frontend();
        let number = |leaf: &str| -> Option<u32> { store.read(&format!("{frontend}/{leaf}"))?.parse().ok() };
        let (tx_port, rx_port) = match (number("event-channel-tx"), number("event-channel-rx")) {
            (Some(tx), Some(rx)) => (tx, rx),
            _ => (number("event-channel")?, number("event-channel")?),
        };
        let (tx_reference, rx_reference) = (GrantRef(number("tx-ring-ref")?), GrantRef(number("rx-ring-ref")?));
        let bindable = [tx_port, rx_port].iter().all(|port| self.xen.remote(Port(*port)) == Some(self.domain));
        let mappable = [tx_reference, rx_reference].iter().all(|page| self.xen.is_writable(self.domain, *page));
        self.takes_segments = ["feature-sg", "feature-gso-tcpv4"].iter().all(|leaf| number(leaf) == Some(1));
        if number("request-rx-copy")? != 1 || !bindable || !mappable {
            return None;
        }
        let mut tx = BackRing::attach(self.xen.map(self.domain, tx_reference));
        let mut rx = BackRing::attach(self.xen.map(self.domain, rx_reference));
        let _waiting: (u32, u32) = (tx.requests().ok()?, rx.requests().ok()?);
        self.rings = Some(Rings { tx, rx, tx_reference, rx_reference, tx_port: Port(tx_port), rx_port: Port(rx_port) });
        self.connections += 1;
        // Events to a port that nobody was bound to are lost. It looks at the rings by itself.
        let _ = (self.xen.take_outgoing(Port(tx_port)), self.xen.take_outgoing(Port(rx_port)));
        (self.tx_awake, self.rx_awake, self.stalled) = (true, true, self.to_deliver.len());
        Some(())
    }

    /// The rings.
    ///
    /// # Panics
    /// Without a connection.
    pub fn rings(&mut self) -> &mut Rings {
        self.rings.as_mut().unwrap_or_else(|| panic!("the backend is not connected"))
    }

    /// Takes the frames that the guest has sent, and answers them.
    fn transmit(&mut self) -> bool {
        let Some(rings) = &mut self.rings else { return false };
        let waiting = rings.tx.requests().unwrap_or_else(|Broken| panic!("the frontend broke the transmit ring"));
        let mut progress = waiting > 0;
        while let Some(request) = rings.tx.take() {
            let (sent, answers) = fetch(&self.xen, self.domain, &mut rings.tx, request);
            for id in answers.iter().flatten() {
                assert!(!self.unanswered.contains(&Some(*id)), "the id {id} is in flight already");
            }
            self.sent.push(sent);
            self.unanswered.extend(answers);
        }
        if !self.silent {
            progress |= self.answer();
        }
        self.tx_awake = self.rings().tx.final_check() == Ok(Check::Work);
        progress
    }

    /// Answers the frames that it has taken; says whether there were any.
    fn answer(&mut self) -> bool {
        let Some(rings) = &mut self.rings else { return false };
        let answered = !self.unanswered.is_empty();
        for id in self.unanswered.drain(..) {
            let (id, status) = id.map_or((0xdead, RSP_NULL), |id| (id, RSP_OKAY));
            rings.tx.put(TxResponse { id: Claimed::new(id), status });
        }
        if rings.tx.push().requested() {
            self.events += 1;
            self.xen.raise(rings.tx_port);
        }
        answered
    }

    /// Delivers the frames that wait for the guest: each in one slot, or in a chain where it is larger than a wire
    /// takes.
    fn deliver(&mut self) -> bool {
        let Some(rings) = &mut self.rings else { return false };
        let mut room =
            rings.rx.requests().unwrap_or_else(|Broken| panic!("the frontend broke the receive ring")) as usize;
        let mut progress = false;
        while let Some((bytes, flags)) = self.to_deliver.front() {
            let segments = bytes.len() > WIRE_FRAME_MAX;
            assert!(!segments || self.takes_segments, "the frontend takes no segments in one piece");
            let slots = bytes.len().div_ceil(PAGE) + usize::from(segments);
            let Some(left) = room.checked_sub(slots) else { break };
            room = left;
            let mut parts = bytes.chunks(PAGE).peekable();
            let mut flags = *flags | if segments { RXF_CSUM_BLANK | RXF_DATA_VALIDATED | RXF_EXTRA_INFO } else { 0 };
            while let Some(part) = parts.next() {
                let Some(request) = rings.rx.take() else { break };
                self.xen.copy_to(self.domain, request.gref, 0, part);
                let more = if parts.peek().is_some() { RXF_MORE_DATA } else { 0 };
                let (id, offset) = (Claimed::new(request.id), Claimed::new(0));
                rings.rx.put(RxResponse { id, offset, flags: flags | more, status: part.len() as i16 });
                if flags & RXF_EXTRA_INFO != 0 && rings.rx.take().is_some() {
                    rings.rx.put_as(segments_of(1460));
                }
                flags = 0;
            }
            self.to_deliver.pop_front();
            progress = true;
        }
        if rings.rx.push().requested() {
            self.events += 1;
            self.xen.raise(rings.rx_port);
        }
        // Like netback, asks for an event about buffers only when frames wait for them.
        self.stalled = self.to_deliver.len();
        self.rx_awake = self.stalled > 0 && rings.rx.final_check() == Ok(Check::Work);
        progress
    }

    /// Takes the next receive buffer and writes `bytes` into it at `offset`; returns its id.
    ///
    /// # Panics
    /// When the guest has posted none.
    pub fn fill_buffer(&mut self, offset: usize, bytes: &[u8]) -> u16 {
        let (xen, domain) = (self.xen.clone(), self.domain);
        let rings = self.rings();
        let _ = rings.rx.requests();
        let request = rings.rx.take().unwrap_or_else(|| panic!("no buffer is posted"));
        xen.copy_to(domain, request.gref, offset, bytes);
        request.id
    }

    /// Answers the next receive buffer with this response, whose id is put right; returns the id.
    pub fn respond(&mut self, bytes: &[u8], offset: u16, flags: u16, status: i16) -> u16 {
        let id = self.fill_buffer(0, bytes);
        self.rings().rx.put(RxResponse { id: Claimed::new(id), offset: Claimed::new(offset), flags, status });
        id
    }

    /// Answers the next receive buffer with extra information.
    pub fn respond_extra(&mut self, extra: ExtraInfo) {
        let _ = self.fill_buffer(0, &[]);
        self.rings().rx.put_as(extra);
    }

    /// Makes the responses visible and sends an event, wanted or not.
    pub fn push_rx(&mut self) {
        let xen = self.xen.clone();
        let rings = self.rings();
        let _ = rings.rx.push().requested();
        xen.raise(rings.rx_port);
    }

    /// Makes the responses visible and sends an event, wanted or not.
    pub fn push_tx(&mut self) {
        let xen = self.xen.clone();
        let rings = self.rings();
        let _ = rings.tx.push().requested();
        xen.raise(rings.tx_port);
    }

    /// Sends an event on both channels without reason.
    pub fn raise(&mut self) {
        let xen = self.xen.clone();
        let rings = self.rings();
        xen.raise(rings.tx_port);
        xen.raise(rings.rx_port);
    }

    /// Overwrites a word of the page of the receive ring, or of the transmit ring, behind the ring's back.
    pub fn overwrite(&mut self, transmit: bool, offset: usize, value: u32) {
        let (xen, domain) = (self.xen.clone(), self.domain);
        let rings = self.rings();
        let reference = if transmit { rings.tx_reference } else { rings.rx_reference };
        xen.map(domain, reference).shared().write(offset, value);
    }
}

/// The frontend's directory of a card.
fn frontend(number: u32) -> String {
    format!("/local/domain/{}/device/vif/{number}", GUEST.0)
}

/// Extra information: segments with this many bytes of data.
#[must_use]
pub fn segments_of(bytes: u16) -> ExtraInfo {
    let (kind, gso_kind) = (EXTRA_TYPE_GSO, GSO_TYPE_TCPV4);
    ExtraInfo { kind, flags: 0, gso_size: bytes, gso_kind, gso_pad: 0, gso_features: 0 }
}

/// Copies a packet out of the guest's pages, as strict as netback. Returns it with the answers that its slots get.
fn fetch(
    xen: &FakeXen,
    domain: Domid,
    ring: &mut BackRing<TxRequest, TxResponse, Mapping>,
    first: TxRequest,
) -> (Sent, Vec<Option<u16>>) {
    let mut answers = vec![Some(first.id)];
    let mut segment_bytes = None;
    if first.flags & TXF_EXTRA_INFO != 0 {
        let extra: ExtraInfo = ring.take_as().unwrap_or_else(|| panic!("missing extra information"));
        assert_eq!(extra, segments_of(extra.gso_size), "extra information of another kind");
        assert!(extra.gso_size > 0, "segments without data");
        assert_ne!(first.flags & TXF_CSUM_BLANK, 0, "segments whose checksums cannot be filled in");
        segment_bytes = Some(extra.gso_size);
        answers.push(None);
    }
    let mut parts = Vec::new();
    let mut more = first.flags & TXF_MORE_DATA != 0;
    let mut left = usize::from(first.size);
    while more {
        let part = ring.take().unwrap_or_else(|| panic!("a chain without an end"));
        assert_eq!(part.flags & !TXF_MORE_DATA, 0, "a flag that belongs to the first slot");
        more = part.flags & TXF_MORE_DATA != 0;
        left = left.checked_sub(usize::from(part.size)).unwrap_or_else(|| panic!("parts larger than the whole"));
        // Linux's netback answers the later slots in any order.
        answers.insert(1, Some(part.id));
        parts.push((part.gref, part.offset, usize::from(part.size)));
    }
    parts.insert(0, (first.gref, first.offset, left));
    assert!(parts.len() <= NR_SLOTS_MIN, "more slots than a packet may have");
    let mut bytes = Vec::new();
    for (index, (reference, offset, size)) in parts.into_iter().enumerate() {
        assert!(size >= if index == 0 { 14 } else { 1 }, "headers that are split, or an empty part");
        assert!(usize::from(offset) + size <= PAGE, "a frame that crosses its page");
        bytes.extend(xen.copy_from(domain, reference, usize::from(offset), size));
    }
    if first.flags & TXF_CSUM_BLANK != 0 {
        assert!(matches!(bytes.get(23), Some(6 | 17)), "a blank checksum in what is neither TCP nor UDP");
    }
    assert!(bytes.len() <= WIRE_FRAME_MAX || segment_bytes.is_some(), "a frame that no wire takes");
    (Sent { bytes, flags: first.flags, segment_bytes }, answers)
}

/// The flags and bytes of a chain: every slot but the last says that more data follows.
#[must_use]
pub fn chain_flags(slots: usize) -> Vec<u16> {
    (0..slots).map(|slot| if slot + 1 < slots { RXF_MORE_DATA } else { 0 }).collect()
}

/// A slot's flags with extra information behind it.
#[must_use]
pub fn with_extra(flags: u16) -> u16 {
    flags | RXF_EXTRA_INFO
}

/// Extra information with another behind it.
#[must_use]
pub fn with_more(extra: ExtraInfo) -> ExtraInfo {
    ExtraInfo { flags: extra.flags | EXTRA_FLAG_MORE, ..extra }
}
