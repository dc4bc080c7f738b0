//! Sequence numbers of TCP that nobody outside can guess, and resets that only a connection's peer can send.
//!
//! `smoltcp` draws its initial sequence numbers from a generator of which three outputs give the state away. RFC 6528
//! asks for M + F(local address, local port, remote address, remote port, secret key). Here `smoltcp`'s number is M,
//! and F is added at the device's boundary to each sequence number that leaves, and taken from each acknowledgement
//! that arrives. So F need not be remembered, and `smoltcp` never sees it. Whoever talks to us learns F for their own
//! addresses and ports, and for no others. `smoltcp` reads no selective acknowledgements, whose numbers would be ours
//! as well.
//!
//! `smoltcp` obeys a reset anywhere in its receive window. RFC 5961 (3.2) obeys one with the next expected number
//! alone, which is what the last segment that left has acknowledged. Any other in the window is answered with an
//! acknowledgement, so that a peer that did send it can repeat it with the right number. So is a SYN to a connection
//! that there is (RFC 5961, 4.2), of which `smoltcp` would make a second connection with the same addresses and ports
//! where it listens.

use core::cell::Cell;
use core::net::Ipv4Addr;
use core::ops::Range;

use siphasher::sip::SipHasher24;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, TcpPacket, TcpSeqNumber};

use crate::entropy::Generator;

/// Connections whose last segment is remembered. A reset of one that was overwritten is dropped; its peer sends another
/// when it next hears from us.
const REMEMBERED: usize = 64;

/// Among so many places a connection has its own. Who needs it takes an empty one; or else that of a handshake that a
/// peer has begun and not finished, which need not be meant; or else another connection's.
const GROUP: usize = 4;

/// The largest receive window there is (RFC 7323, 2.3).
const LARGEST_WINDOW: u32 = 1 << 30;

/// An acknowledgement of so much more than was ever sent is none.
const BEYOND_ALL_SENT: u32 = 1 << 30;

/// See the module.
pub(crate) struct Sequences {
    key: SipHasher24,
    /// Each connection at one place, in a group that nobody knows without the key: so nobody can choose whose place a
    /// connection takes.
    remembered: [Cell<Option<Connection>>; REMEMBERED],
    /// The place that was looked for last. To compute each segment's anew would cost as much as a tenth of all else, and
    /// most segments belong to the connection of the one before.
    latest: Cell<usize>,
}

/// What a connection is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FourTuple {
    pub(crate) local: (Ipv4Addr, u16),
    pub(crate) remote: (Ipv4Addr, u16),
}

/// A connection of which a segment has left.
#[derive(Debug, Clone, Copy)]
struct Connection {
    tuple: FourTuple,
    /// F of RFC 6528.
    offset: i32,
    sent: Sent,
}

/// What there is of a connection.
#[derive(Clone, Copy)]
struct Known {
    slot: usize,
    offset: i32,
    /// None if it was never remembered, or another connection has taken its place since.
    sent: Option<Sent>,
}

/// The last segment of a connection that has left.
#[derive(Debug, Clone, Copy)]
struct Sent {
    syn: bool,
    /// Its number, as `smoltcp` knows it.
    number: TcpSeqNumber,
    /// The number that is expected next from the peer; none before the peer has said anything.
    acknowledged: Option<TcpSeqNumber>,
}

impl Sent {
    /// Whether it is our part of a handshake that a peer began, and may have begun under another's name.
    fn is_answer_to_call(&self) -> bool {
        self.syn && self.acknowledged.is_some()
    }
}

/// What is to be done with a segment that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes to `smoltcp`.
    Take,
    /// Anybody may have sent it, or it repeats what is known.
    Drop,
}

/// What is to be thought of a reset, or of a SYN.
enum Judgement {
    /// It is as its connection's peer would say it, or there is no connection.
    Right,
    /// It cannot be meant.
    Wrong,
    /// The peer may have sent it, or somebody who guessed; and the last segment that has left.
    Unproven(Sent),
}

/// Where a frame has its TCP segment, and whose it is.
struct Place {
    from: Ipv4Addr,
    to: Ipv4Addr,
    segment: Range<usize>,
}

impl Sequences {
    pub(crate) fn new(random: &Generator) -> Self {
        let mut key = [0; 16];
        random.fill(&mut key);
        let remembered = [const { Cell::new(None) }; REMEMBERED];
        Self { key: SipHasher24::new_with_key(&key), remembered, latest: Cell::new(0) }
    }

    /// Adds F to the number of the segment in a frame that `smoltcp` has written, if there is one. With `checksums`,
    /// `smoltcp` has computed the segment's checksum, and it is kept right.
    pub(crate) fn leave(&self, frame: &mut [u8], checksums: bool) {
        let Some(place) = place(frame) else { return };
        let mut segment = TcpPacket::new_unchecked(&mut frame[place.segment]);
        let tuple = FourTuple { local: (place.from, segment.src_port()), remote: (place.to, segment.dst_port()) };
        let number = segment.seq_number();
        let Known { slot, offset, .. } = self.known(&tuple);
        if segment.rst() {
            self.forget(&tuple);
            // A reset that answers a SYN to a closed port has the number 0 (RFC 9293, 3.10.7.1).
            if segment.ack() && number.0 == 0 {
                return;
            }
        } else {
            let acknowledged = segment.ack().then(|| segment.ack_number());
            let sent = Sent { syn: segment.syn(), number, acknowledged };
            self.remembered[slot].set(Some(Connection { tuple, offset, sent }));
        }
        let shifted = number.0.wrapping_add(offset);
        segment.set_seq_number(TcpSeqNumber(shifted));
        if checksums {
            segment.set_checksum(adjusted(segment.checksum(), number.0, shifted));
        }
    }

    /// Takes F from the acknowledgement of the segment in a frame that arrived, if there is one, and judges resets.
    /// With `checksums`, `smoltcp` will verify the segment's checksum.
    pub(crate) fn arrive(&self, frame: &mut [u8], checksums: bool) -> Verdict {
        let Some(place) = place(frame) else { return Verdict::Take };
        let mut segment = TcpPacket::new_unchecked(&mut frame[place.segment]);
        let tuple = FourTuple { local: (place.to, segment.dst_port()), remote: (place.from, segment.src_port()) };
        let Known { slot, offset, sent } = self.known(&tuple);
        match self.judge(&segment, &tuple, sent) {
            Judgement::Right => {}
            Judgement::Wrong => return Verdict::Drop,
            Judgement::Unproven(sent) => {
                ask_for_acknowledgement(&mut segment, &sent);
                if checksums {
                    segment.fill_checksum(&IpAddress::Ipv4(place.from), &IpAddress::Ipv4(place.to));
                }
                return Verdict::Take;
            }
        }
        if segment.ack() {
            let shifted = segment.ack_number().0;
            let number = shifted.wrapping_sub(offset);
            // Whoever acknowledges our SYN has seen it: the handshake is done, though we may have nothing to say yet.
            if let Some(sent) = sent
                && sent.syn
                && number == sent.number.0.wrapping_add(1)
            {
                let sent = Sent { syn: false, ..sent };
                self.remembered[slot].set(Some(Connection { tuple, offset, sent }));
            }
            segment.set_ack_number(TcpSeqNumber(number));
            if checksums {
                segment.set_checksum(adjusted(segment.checksum(), shifted, number));
            }
        }
        Verdict::Take
    }

    /// Judges what may end a connection or begin it anew, by what was sent last.
    fn judge(&self, segment: &TcpPacket<&mut [u8]>, tuple: &FourTuple, sent: Option<Sent>) -> Judgement {
        let (reset, call) = (segment.rst(), segment.syn() && !segment.ack());
        if !reset && !call {
            return Judgement::Right;
        }
        let (sent, expected) = match sent {
            Some(sent @ Sent { acknowledged: Some(expected), .. }) => (sent, expected),
            // The answer to our own call, of which smoltcp compares what it acknowledges.
            Some(_) => return Judgement::Right,
            None if reset => return Judgement::Wrong,
            None => return Judgement::Right,
        };
        let ahead = segment.seq_number().0.wrapping_sub(expected.0) as u32;
        match (reset, sent.syn) {
            (true, _) if ahead == 0 => {
                self.forget(tuple);
                Judgement::Right
            }
            // In its handshake a connection has no window yet. A call that is repeated gets the answer again that it
            // may not have got, when that is due.
            (_, true) => Judgement::Wrong,
            (true, false) if ahead >= LARGEST_WINDOW => Judgement::Wrong,
            _ => Judgement::Unproven(sent),
        }
    }

    /// Forgets a connection that is over, even if its peer does not know that: its calls are new ones.
    pub(crate) fn forget(&self, tuple: &FourTuple) {
        let Known { slot, sent, .. } = self.known(tuple);
        if sent.is_some() {
            self.remembered[slot].set(None);
        }
    }

    fn known(&self, tuple: &FourTuple) -> Known {
        let at = |slot: usize| self.remembered[slot].get().filter(|known| known.tuple == *tuple);
        let latest = self.latest.get();
        if let Some(Connection { offset, sent, .. }) = at(latest) {
            return Known { slot: latest, offset, sent: Some(sent) };
        }
        let hash = self.hash(tuple);
        let group = (hash >> 32) as usize % (REMEMBERED / GROUP) * GROUP;
        let find = |wanted: &dyn Fn(Option<Connection>) -> bool| {
            (group..group + GROUP).find(|slot| wanted(self.remembered[*slot].get()))
        };
        let slot = find(&|known| known.is_some_and(|known| known.tuple == *tuple))
            .or_else(|| find(&|known| known.is_none()))
            .or_else(|| find(&|known| known.is_some_and(|known| known.sent.is_answer_to_call())))
            .unwrap_or(group + (hash >> 48) as usize % GROUP);
        self.latest.set(slot);
        Known { slot, offset: hash as i32, sent: at(slot).map(|known| known.sent) }
    }

    /// F of RFC 6528 in the lower half, and where a connection is remembered in the upper one.
    fn hash(&self, tuple: &FourTuple) -> u64 {
        let FourTuple { local, remote } = tuple;
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&local.0.octets());
        bytes[4..8].copy_from_slice(&remote.0.octets());
        bytes[8..10].copy_from_slice(&local.1.to_be_bytes());
        bytes[10..].copy_from_slice(&remote.1.to_be_bytes());
        self.key.hash(&bytes)
    }
}

/// Makes of a reset an acknowledgement of what was never sent, which `smoltcp` answers by saying what it expects: at
/// most once a second, and without any other effect.
fn ask_for_acknowledgement(segment: &mut TcpPacket<&mut [u8]>, sent: &Sent) {
    segment.clear_flags();
    segment.set_ack(true);
    segment.set_ack_number(TcpSeqNumber(sent.number.0.wrapping_add(BEYOND_ALL_SENT as i32)));
}

/// The checksum of a segment of which a word has changed (RFC 1624, equation 3). It is as right or wrong as before.
fn adjusted(checksum: u16, old: i32, new: i32) -> u16 {
    let halves = |word: i32| (word as u32 >> 16) + (word as u32 & 0xffff);
    let mut sum = u32::from(!checksum) + halves(!old) + halves(new);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Where the TCP segment is in a frame, if it holds one that is whole.
fn place(frame: &[u8]) -> Option<Place> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Tcp {
        return None;
    }
    TcpPacket::new_checked(ip.payload()).ok()?;
    let start = EthernetFrame::<&[u8]>::header_len();
    let segment = start + usize::from(ip.header_len())..start + usize::from(ip.total_len());
    Some(Place { from: ip.src_addr(), to: ip.dst_addr(), segment })
}

#[cfg(test)]
mod tests;
