//! Segments that leave and arrive, by hand.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetAddress, EthernetRepr, Ipv4Repr, TcpControl, TcpRepr};

use super::*;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// What a test says of a segment.
#[derive(Clone, Copy)]
struct Segment {
    ours: bool,
    port: u16,
    control: TcpControl,
    number: i32,
    acknowledged: Option<i32>,
}

/// A segment of a connection to our port 7.
fn ours(control: TcpControl, number: i32, acknowledged: Option<i32>) -> Segment {
    Segment { ours: true, port: 2000, control, number, acknowledged }
}

fn theirs(control: TcpControl, number: i32, acknowledged: Option<i32>) -> Segment {
    Segment { ours: false, ..ours(control, number, acknowledged) }
}

impl Segment {
    fn frame(self) -> Vec<u8> {
        let Self { ours, port, control, number, acknowledged } = self;
        let (from, to) = if ours { (US, THEM) } else { (THEM, US) };
        let (src_port, dst_port) = if ours { (7, port) } else { (port, 7) };
        let tcp = TcpRepr {
            src_port,
            dst_port,
            control,
            seq_number: TcpSeqNumber(number),
            ack_number: acknowledged.map(TcpSeqNumber),
            window_len: 1000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: b"data",
        };
        let ip = Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress([2, 0, 0, 0, 0, 1]),
            dst_addr: EthernetAddress([2, 0, 0, 0, 0, 2]),
            ethertype: EthernetProtocol::Ipv4,
        };
        let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + tcp.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        ethernet.emit(&mut frame);
        let checksums = ChecksumCapabilities::default();
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &checksums);
        tcp.emit(&mut TcpPacket::new_unchecked(packet.payload_mut()), &from.into(), &to.into(), &checksums);
        bytes
    }
}

/// The segment in a frame, whose checksum must be right.
fn read(frame: &[u8]) -> TcpPacket<&[u8]> {
    let Place { from, to, segment } = place(frame).expect("a segment");
    let segment = TcpPacket::new_checked(&frame[segment]).expect("a segment");
    assert!(segment.verify_checksum(&from.into(), &to.into()), "a wrong checksum");
    segment
}

fn sequences(seed: &[u8]) -> Sequences {
    let random = Generator::new();
    random.absorb(seed);
    Sequences::new(&random)
}

/// The number with which a segment of ours leaves.
fn leaves(sequences: &Sequences, segment: Segment) -> i32 {
    let mut frame = segment.frame();
    sequences.leave(&mut frame, true);
    read(&frame).seq_number().0
}

/// What `smoltcp` sees of a segment of theirs.
fn arrives(sequences: &Sequences, segment: Segment) -> (Verdict, Vec<u8>) {
    let mut frame = segment.frame();
    let verdict = sequences.arrive(&mut frame, true);
    (verdict, frame)
}

#[test]
fn what_is_added_to_a_number_is_taken_from_its_acknowledgement() {
    let sequences = sequences(b"key");
    for number in [0, 1, -1, i32::MAX, i32::MIN, 0x1234_5678] {
        let outside = leaves(&sequences, ours(TcpControl::None, number, Some(99)));
        assert_ne!(outside, number);
        let acknowledged = outside.wrapping_add(4);
        let (verdict, frame) = arrives(&sequences, theirs(TcpControl::None, 99, Some(acknowledged)));
        assert_eq!(verdict, Verdict::Take);
        assert_eq!(read(&frame).ack_number().0, number.wrapping_add(4));
        assert_eq!(read(&frame).seq_number().0, 99, "their own numbers stay");
    }
}

#[test]
fn a_checksum_that_the_card_computes_is_left_alone() {
    let sequences = sequences(b"key");
    let mut frame = ours(TcpControl::None, 1, Some(2)).frame();
    let before = read(&frame).checksum();
    sequences.leave(&mut frame, false);
    assert_eq!(TcpPacket::new_unchecked(&frame[34..]).checksum(), before);
}

#[test]
fn what_is_added_depends_on_the_connection_and_on_the_key() {
    let first = |seed: &[u8], segment: Segment| leaves(&sequences(seed), segment);
    let segment = ours(TcpControl::Syn, 1000, None);
    assert_eq!(first(b"key", segment), first(b"key", segment));
    assert_ne!(first(b"key", segment), first(b"another", segment));
    let one = sequences(b"key");
    let mut offsets: Vec<_> = (1..200).map(|port| leaves(&one, Segment { port, ..segment })).collect();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), 199);
}

#[test]
fn each_part_of_the_four_tuple_counts() {
    let sequences = sequences(b"key");
    let tuples = [
        ((US, 7), (THEM, 8)),
        ((THEM, 7), (US, 8)),
        ((US, 8), (THEM, 7)),
        ((US, 7), (US, 8)),
        ((THEM, 7), (THEM, 8)),
        ((US, 7), (THEM, 9)),
    ];
    let offsets = tuples.map(|(local, remote)| sequences.known(&FourTuple { local, remote }).offset);
    for (index, offset) in offsets.iter().enumerate() {
        assert!(!offsets[..index].contains(offset), "{index}");
    }
}

#[test]
fn the_refusal_of_a_connection_keeps_the_number_zero() {
    let sequences = sequences(b"key");
    assert_eq!(leaves(&sequences, ours(TcpControl::Rst, 0, Some(5))), 0);
    assert_ne!(leaves(&sequences, ours(TcpControl::Rst, 1, Some(5))), 1);
    assert_ne!(leaves(&sequences, ours(TcpControl::None, 0, Some(5))), 0);
}

#[test]
fn a_reset_with_the_expected_number_is_obeyed() {
    let sequences = sequences(b"key");
    leaves(&sequences, ours(TcpControl::None, 1, Some(5000)));
    let (verdict, frame) = arrives(&sequences, theirs(TcpControl::Rst, 5000, None));
    assert_eq!(verdict, Verdict::Take);
    assert!(read(&frame).rst());
}

#[test]
fn a_reset_elsewhere_in_the_window_is_answered_by_an_acknowledgement() {
    let sequences = sequences(b"key");
    leaves(&sequences, ours(TcpControl::None, 77, Some(5000)));
    for number in [5001, 5500, 5000 + (LARGEST_WINDOW as i32 - 1)] {
        for acknowledged in [None, Some(1)] {
            let (verdict, frame) = arrives(&sequences, theirs(TcpControl::Rst, number, acknowledged));
            assert_eq!(verdict, Verdict::Take);
            let segment = read(&frame);
            assert!(!segment.rst() && segment.ack() && !segment.syn() && !segment.fin());
            // Of what was never sent, so that it changes nothing.
            assert_eq!(segment.ack_number().0, 77 + (1 << 30));
        }
    }
}

#[test]
fn a_reset_outside_of_the_window_is_dropped() {
    let sequences = sequences(b"key");
    leaves(&sequences, ours(TcpControl::None, 77, Some(5000)));
    for number in [4999, 0, 5000 + LARGEST_WINDOW as i32, i32::MIN] {
        assert_eq!(arrives(&sequences, theirs(TcpControl::Rst, number, Some(1))).0, Verdict::Drop, "{number}");
    }
}

#[test]
fn a_reset_of_a_connection_that_is_not_known_is_dropped() {
    let sequences = sequences(b"key");
    let reset = theirs(TcpControl::Rst, 5000, Some(1));
    assert_eq!(arrives(&sequences, reset).0, Verdict::Drop);
    leaves(&sequences, ours(TcpControl::None, 1, Some(5000)));
    assert_eq!(arrives(&sequences, Segment { port: 2001, ..reset }).0, Verdict::Drop);
    // One that we have reset ourselves is not known any more.
    leaves(&sequences, ours(TcpControl::Rst, 1, Some(5000)));
    assert_eq!(arrives(&sequences, reset).0, Verdict::Drop);
}

#[test]
fn in_a_handshake_only_the_exact_reset_counts() {
    let sequences = sequences(b"key");
    leaves(&sequences, ours(TcpControl::Syn, 1, Some(5000)));
    assert_eq!(arrives(&sequences, theirs(TcpControl::Rst, 5001, Some(1))).0, Verdict::Drop);
    assert_eq!(arrives(&sequences, theirs(TcpControl::Rst, 5000, Some(1))).0, Verdict::Take);
}

#[test]
fn a_call_to_a_connection_that_there_is_begins_no_other() {
    let sequences = sequences(b"key");
    let call = theirs(TcpControl::Syn, 4999, None);
    // A new one.
    let (verdict, frame) = arrives(&sequences, call);
    assert_eq!((verdict, read(&frame).syn()), (Verdict::Take, true));
    // In the handshake it is a repetition.
    leaves(&sequences, ours(TcpControl::Syn, 1, Some(5000)));
    assert_eq!(arrives(&sequences, call).0, Verdict::Drop);
    // Later it is answered like a reset in the window, wherever it is.
    leaves(&sequences, ours(TcpControl::None, 2, Some(5000)));
    for number in [4999, 5000, 77, i32::MIN] {
        let (verdict, frame) = arrives(&sequences, Segment { number, ..call });
        let segment = read(&frame);
        assert_eq!((verdict, segment.syn(), segment.ack()), (Verdict::Take, false, true), "{number}");
    }
    // After its end it is a new one again.
    for end in [true, false] {
        leaves(&sequences, ours(TcpControl::None, 2, Some(5000)));
        if end {
            assert_eq!(arrives(&sequences, theirs(TcpControl::Rst, 5000, None)).0, Verdict::Take);
        } else {
            sequences.forget(&FourTuple { local: (US, 7), remote: (THEM, 2000) });
        }
        assert!(read(&arrives(&sequences, call).1).syn());
    }
}

#[test]
fn a_handshake_is_done_when_our_part_of_it_is_acknowledged() {
    let sequences = sequences(b"key");
    let outside = leaves(&sequences, ours(TcpControl::Syn, 1, Some(5000)));
    let reset = theirs(TcpControl::Rst, 5001, None);
    for (acknowledged, expected) in [(outside, Verdict::Drop), (outside.wrapping_add(1), Verdict::Take)] {
        arrives(&sequences, theirs(TcpControl::None, 5000, Some(acknowledged)));
        assert_eq!(arrives(&sequences, reset).0, expected);
    }
}

#[test]
fn the_refusal_of_our_own_call_is_left_to_smoltcp() {
    let sequences = sequences(b"key");
    let outside = leaves(&sequences, ours(TcpControl::Syn, 1000, None));
    let (verdict, frame) = arrives(&sequences, theirs(TcpControl::Rst, 0, Some(outside.wrapping_add(1))));
    assert_eq!((verdict, read(&frame).rst(), read(&frame).ack_number().0), (Verdict::Take, true, 1001));
}

#[test]
fn frames_without_a_segment_pass_unchanged() {
    let sequences = sequences(b"key");
    let whole = ours(TcpControl::None, 1, Some(2)).frame();
    let mut udp = whole.clone();
    udp[23] = 17;
    let mut arp = whole.clone();
    arp[12..14].copy_from_slice(&[8, 6]);
    for frame in [&[][..], &whole[..40], &udp, &arp] {
        let mut copy = frame.to_vec();
        sequences.leave(&mut copy, true);
        assert_eq!(sequences.arrive(&mut copy, true), Verdict::Take);
        assert_eq!(copy, frame);
    }
}

#[test]
fn a_connection_whose_place_another_has_taken_goes_on() {
    let sequences = sequences(b"key");
    let first = ours(TcpControl::None, 1000, Some(5000));
    let outside = leaves(&sequences, first);
    for port in 2001..2200 {
        leaves(&sequences, Segment { port, ..first });
    }
    // It is not remembered, so its reset may be anybody's, and all else is as before.
    assert_eq!(arrives(&sequences, theirs(TcpControl::Rst, 5000, None)).0, Verdict::Drop);
    let (_, frame) = arrives(&sequences, theirs(TcpControl::None, 5000, Some(outside)));
    assert_eq!(read(&frame).ack_number().0, 1000);
    assert_eq!(leaves(&sequences, first), outside);
}

/// Whether the connection from port 2000 is remembered.
fn is_known(sequences: &Sequences) -> bool {
    !read(&arrives(sequences, theirs(TcpControl::Syn, 77, None)).1).syn()
}

#[test]
fn nobody_can_choose_whose_place_a_connection_takes() {
    let one_of_them = ours(TcpControl::None, 1, Some(5000));
    // How many others it takes until a connection is forgotten, of those that are alike but for a power of two. If their
    // places could be told from outside, that would be a few.
    let counts = [b"a", b"b", b"c", b"d", b"e", b"f"].map(|key| {
        let sequences = sequences(key);
        leaves(&sequences, one_of_them);
        let mut others = (2000 + 64..).step_by(64).inspect(|port| {
            leaves(&sequences, Segment { port: *port, ..one_of_them });
        });
        others.position(|_| !is_known(&sequences)).expect("there is an end to it")
    });
    assert!(counts.iter().sum::<usize>() / counts.len() >= REMEMBERED / 2, "{counts:?}");
}

#[test]
fn a_flood_of_calls_has_no_connection_forgotten() {
    let sequences = sequences(b"key");
    leaves(&sequences, ours(TcpControl::None, 1, Some(5000)));
    let call = Segment { port: 2001, ..ours(TcpControl::Syn, 1000, None) };
    let outside = leaves(&sequences, call);
    for port in 3000..6000 {
        leaves(&sequences, Segment { port, ..ours(TcpControl::Syn, 1, Some(5000)) });
    }
    assert!(is_known(&sequences));
    // Our own call can still be refused.
    let refusal = Segment { port: 2001, ..theirs(TcpControl::Rst, 0, Some(outside.wrapping_add(1))) };
    assert_eq!(arrives(&sequences, refusal).0, Verdict::Take);
}

#[test]
fn a_checksum_comes_to_an_end_whatever_the_words_add_up_to() {
    // 0xffff is a sum without a carry, and 0x1fffe one that has two.
    assert_eq!(adjusted(0, -1, 0), 0);
    assert_eq!(adjusted(0, -1, 0xffff), 0);
    assert_eq!(adjusted(0x1234, 0x5678, 0x5678), 0x1234);
}
