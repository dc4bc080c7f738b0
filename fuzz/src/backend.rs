//! What a network backend does to netfront, and what the toolstack writes about the card.

use smoltcp::phy::Device as _;
use xen_fake::bed::{self, Bed};
use xen_fake::frames::{tcp_frame, udp_frame};
use xen_fake::netback::Rings;
use xen_fake::{Machine, Netback};
use xen_pv::netfront::Buffers;
use xen_sys::io::netif::{ExtraInfo, RxRequest, RxResponse, TxRequest, TxResponse};
use xen_sys::types::{Claimed, Domid, GrantRef};

use crate::input::Input;

/// Pages for one of the largest packets beside those for frames.
const BUFFERS: Buffers = Buffers { segments: 1, ..bed::BUFFERS };
/// Turns of the machine after one thing that the backend did; what one thing causes is bounded.
const TURNS_MAX: usize = 300;
/// Frames that one turn of the stack takes at most.
const FRAMES_MAX: usize = 64;
/// Entries of the grant table with one connection, and those that a backend may keep of others.
const GRANTED_MAX: usize = 2 + (BUFFERS.receive + BUFFERS.transmit.div_ceil(2) + 16 * BUFFERS.segments) as usize;
const KEPT_MAX: usize = 64 + GRANTED_MAX;
const GRANT_ENTRIES: u32 = 1024;

/// What a state, a feature or a setting may be.
const VALUES: [&str; 20] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "",
    " 2",
    "2 ",
    "-1",
    "0x4",
    "4294967296",
    "00:16:3e:01:02:04",
    "01:16:3e:01:02:03",
    "1400",
    "/local/domain/3/backend/vif/7/0",
];
const BACKEND_NODES: [&str; 9] = [
    "state",
    "state",
    "state",
    "online",
    "feature-rx-copy",
    "feature-split-event-channels",
    "feature-no-csum-offload",
    "feature-sg",
    "feature-gso-tcpv4",
];
const FRONTEND_NODES: [&str; 5] = ["backend", "backend-id", "mac", "mtu", "state"];

/// A backend that keeps to nothing, and the guest that it serves.
struct Hostile {
    bed: Bed,
    /// What it has taken from the rings and not answered.
    receive: Vec<RxRequest>,
    transmit: Vec<TxRequest>,
    /// Rings of former connections that it still has mapped.
    kept: Vec<Rings>,
}

impl Hostile {
    fn new(input: &mut Input<'_>) -> Self {
        let features = input.byte();
        let bed = Bed::with(BUFFERS, |netback| {
            netback.manual = true;
            netback.tolerant = true;
            if features & 1 != 0 {
                netback.features.retain(|(name, _)| *name != "feature-split-event-channels");
            }
            if features & 2 != 0 {
                netback.features.push(("feature-no-csum-offload", "1"));
            }
            if features & 4 != 0 {
                netback.features.retain(|(name, _)| *name != "feature-gso-tcpv4");
            }
        });
        let mut hostile = Self { bed, receive: Vec::new(), transmit: Vec::new(), kept: Vec::new() };
        hostile.bed.netback().frozen = true;
        hostile
    }

    /// Takes what waits in the rings, if they make sense.
    fn take(&mut self) {
        let Some(rings) = &mut self.bed.netback().rings else { return };
        let (mut receive, mut transmit) = (Vec::new(), Vec::new());
        if rings.rx.requests().is_ok() {
            receive.extend(std::iter::from_fn(|| rings.rx.take()));
        }
        if rings.tx.requests().is_ok() {
            transmit.extend(std::iter::from_fn(|| rings.tx.take()));
        }
        self.receive.extend(receive);
        self.transmit.extend(transmit);
    }

    /// Copies into a page, as far as the hypervisor lets it.
    fn copy(&mut self, reference: GrantRef, offset: usize, bytes: &[u8]) {
        let xen = &self.bed.machine.xen;
        if reference.0 < GRANT_ENTRIES && xen.is_writable(Domid(0), reference) {
            xen.copy_to(Domid(0), reference, offset, bytes);
        }
    }

    /// Answers a receive request with a frame, more or less.
    fn respond(&mut self, input: &mut Input<'_>) {
        let Some(request) = (!self.receive.is_empty()).then(|| self.receive.remove(0)) else { return };
        let frame = udp_frame(input.piece(), input.byte() & 1 == 0);
        self.copy(request.gref, 0, &frame);
        let mut response =
            RxResponse { id: Claimed::new(request.id), offset: Claimed::new(0), flags: 0, status: frame.len() as i16 };
        match input.below(8) {
            0 => response.id = Claimed::new(input.word()),
            1 => response.offset = Claimed::new(input.word()),
            2 => response.status = input.word() as i16,
            3 | 4 => response.flags = input.word(),
            _ => {}
        }
        if let Some(rings) = &mut self.bed.netback().rings {
            rings.rx.put(response);
        }
    }

    /// Answers a receive request with extra information.
    fn respond_extra(&mut self, input: &mut Input<'_>) {
        if self.receive.is_empty() {
            return;
        }
        self.receive.remove(0);
        let extra = ExtraInfo {
            kind: input.byte() % 8,
            flags: input.byte(),
            gso_size: input.byte().into(),
            gso_kind: input.byte() % 4,
            gso_pad: input.byte(),
            gso_features: input.word(),
        };
        if let Some(rings) = &mut self.bed.netback().rings {
            rings.rx.put_as(extra);
        }
    }

    /// Answers a frame of the guest's.
    fn answer(&mut self, input: &mut Input<'_>) {
        let Some(request) = (!self.transmit.is_empty()).then(|| self.transmit.remove(0)) else { return };
        let right = input.byte() & 7 != 0;
        let id = if right { request.id } else { input.word() };
        let status = input.choose(&[0, 0, 0, -1, -2, 1, i16::MIN]);
        if let Some(rings) = &mut self.bed.netback().rings {
            rings.tx.put(TxResponse { id: Claimed::new(id), status });
        }
    }

    /// Overwrites a word of a ring's page: more often an index than a slot.
    fn overwrite(&mut self, input: &mut Input<'_>) {
        let (transmit, index, near) = (input.byte() & 1 == 0, input.byte() & 3 != 0, input.byte() & 1 == 0);
        let offset = if index { input.below(4) * 4 } else { usize::from(input.word()) % 1024 * 4 };
        let value = if near { input.byte().into() } else { input.long() };
        if self.bed.netback().rings.is_some() {
            self.bed.netback().overwrite(transmit, offset, value);
        }
    }

    /// Writes a node of the card.
    fn write(&mut self, input: &mut Input<'_>) {
        let (directory, leaf) = match input.below(4) {
            0 => (Netback::frontend(), input.choose(&FRONTEND_NODES)),
            _ => (self.bed.netback().directory(), input.choose(&BACKEND_NODES)),
        };
        let value = input.choose(&VALUES);
        let text = String::from_utf8_lossy(input.bytes(usize::from(input.clone().byte() & 7))).into_owned();
        let value = if value.is_empty() { &text } else { value };
        self.bed.machine.store.write(&format!("{directory}/{leaf}"), value);
    }

    /// The card vanishes, or comes back, or its backend is another or bound again.
    fn replace(&mut self, input: &mut Input<'_>) {
        match input.below(4) {
            0 => self.bed.machine.store.remove(&Netback::frontend()),
            1 => {
                let directory = self.bed.netback().directory();
                self.bed.machine.store.remove(&directory);
            }
            2 => {
                let machine = &mut self.bed.machine;
                if let Some(netback) = &machine.netback {
                    netback.create_directories(&mut machine.store);
                }
            }
            _ => {
                let Machine { netback: Some(netback), store, .. } = &mut self.bed.machine else { return };
                netback.unbind(store);
                netback.bind(store);
                self.forget();
                return;
            }
        }
        let rings = self.bed.replace_backend();
        self.forget();
        if input.byte() & 1 == 0 {
            self.kept.extend(rings);
        }
    }

    /// Nothing of the rings that were is asked for any more.
    fn forget(&mut self) {
        self.receive.clear();
        self.transmit.clear();
    }

    /// Follows the states once as it should.
    fn follow(&mut self) {
        let machine = &mut self.bed.machine;
        let Some(netback) = &mut machine.netback else { return };
        let before = netback.connections;
        netback.frozen = false;
        netback.step(&mut machine.store);
        netback.frozen = true;
        if netback.connections != before || netback.rings.is_none() {
            self.forget();
        }
    }

    /// One thing that happens.
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0..=2 => self.respond(input),
            3 => self.respond_extra(input),
            4 => self.answer(input),
            5 if self.bed.netback().rings.is_some() => self.bed.netback().push_rx(),
            6 if self.bed.netback().rings.is_some() => self.bed.netback().push_tx(),
            7 if self.bed.netback().rings.is_some() => self.bed.netback().raise(),
            8 => self.overwrite(input),
            9 => self.write(input),
            10 => self.replace(input),
            11 | 12 => self.follow(),
            13 => self.send(input),
            14 => {
                let taken = self.bed.turn(FRAMES_MAX + 1).len();
                assert!(taken <= FRAMES_MAX, "one turn took {taken} frames");
            }
            _ => self.take(),
        }
        self.settle();
    }

    /// The stack sends a frame, or segments in one piece where the card takes them.
    fn send(&mut self, input: &mut Input<'_>) {
        let size = usize::from(input.byte());
        let segments = size & 1 == 0 && self.bed.device.capabilities().segmentation.tcpv4.is_some();
        let _ = match segments {
            true => self.bed.try_send_segments(&tcp_frame(&vec![0x5a; 1461 + size * 250], true), 1460),
            false => self.bed.try_send(&vec![0x5a; 14 + size * 5]),
        };
    }

    /// Lets the guest do what there is to do: a bounded amount of it, with a bounded number of pages.
    fn settle(&mut self) {
        self.bed.machine.settle_within(TURNS_MAX);
        let (quarantined, granted) = (self.bed.machine.grants.quarantined(), self.bed.machine.xen.granted());
        assert!(quarantined <= KEPT_MAX, "{quarantined} pages are quarantined");
        assert!(granted <= quarantined + GRANTED_MAX, "{granted} pages are granted, {quarantined} of them quarantined");
        assert!(self.bed.machine.xen.open_ports() <= 3, "ports are left open");
    }

    /// The toolstack takes the card away and gives a new one, whose backend behaves.
    fn turn_sane(mut self) -> Bed {
        self.kept.clear();
        let machine = &mut self.bed.machine;
        if let Some(old) = machine.netback.take() {
            old.remove_directories(&mut machine.store);
        }
        machine.settle();
        let netback = Netback::new(&machine.xen, Domid(0));
        machine.attach(netback);
        machine.settle();
        self.bed
    }
}

/// Has the backend do what the bytes say; with a backend that behaves, the card must work again.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut hostile = Hostile::new(&mut input);
    hostile.settle();
    while !input.is_empty() {
        hostile.step(&mut input);
    }
    let mut bed = hostile.turn_sane();
    bed.assert_works();
    assert_eq!(bed.machine.grants.quarantined(), 0);
}
