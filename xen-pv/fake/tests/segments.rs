//! Segments of a TCP stream that go over the rings in one piece, in both directions.

#![cfg(feature = "segmentation-offload")]

use smoltcp::phy::{Device as _, TxToken};
use smoltcp::time::Instant;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::frames::{tcp_frame, udp_frame};
use xen_fake::netback::Netback;
use xen_fake::random::Random;
use xen_pv::netfront::{Buffers, Pacing, checksum};
use xen_sys::io::netif::{RSP_NULL, TxResponse};
use xen_sys::types::{Claimed, Domid};

/// The largest packet: its Ethernet frame.
const LARGEST: usize = 0xffff;

const HEADERS: usize = 54;

/// A card with room for two of the largest packets, connected to a backend that was changed before it started.
fn bed_with(change: impl FnOnce(&mut Netback)) -> Bed {
    Bed::with(Buffers { segments: 2, ..BUFFERS }, change)
}

/// A packet of `length` bytes in all.
fn packet(length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length - HEADERS).map(|index| (index / 7) as u8).collect();
    tcp_frame(&payload, true)
}

/// Sends a packet to be cut, and checks that it arrives.
fn send(bed: &mut Bed, packet: &[u8], segment_bytes: u16) {
    bed.turn(0);
    assert!(bed.try_send_segments(packet, segment_bytes), "there is no room");
    bed.turn(0);
    bed.machine.settle();
    let mut sent = bed.netback().sent.pop().expect("a packet");
    assert_eq!(sent.segment_bytes, Some(segment_bytes));
    checksum::fill(&mut sent.bytes);
    assert!(sent.bytes == packet, "{} bytes are not what was sent", packet.len());
}

#[test]
fn a_packet_of_any_size_leaves_as_one_chain_and_its_pages_come_back() {
    let mut bed = bed_with(|_| {});
    let mut random = Random(1);
    let sizes = [1515, 4095, 4096, 4097, 8192, 8193, LARGEST - 1, LARGEST];
    let others: Vec<_> = (0..100).map(|_| 1515 + random.below(LARGEST as u32 - 1515) as usize).collect();
    for size in sizes.into_iter().chain(others) {
        send(&mut bed, &packet(size), 1460);
    }
    assert_eq!(bed.counters().sent, 108);
    bed.assert_works();
}

#[test]
fn packets_in_both_directions_cost_no_grant() {
    let mut bed = bed_with(|_| {});
    let grants = bed.machine.xen.grants();
    assert!(grants > 32, "its buffers, and two runs of 16 pages");
    for size in [60, 1514, 5000, LARGEST].repeat(50) {
        bed.netback().to_deliver.push_back((packet(size), 0));
        assert_eq!(bed.receive().len(), 1);
        match size {
            ..=1514 => bed.send(&packet(size)),
            _ => send(&mut bed, &packet(size), 1460),
        }
    }
    assert_eq!(bed.machine.xen.grants(), grants);
    assert_eq!((bed.counters().received, bed.counters().sent), (200, 200));
}

#[test]
fn the_size_of_a_segment_is_what_the_stack_says() {
    let mut bed = bed_with(|_| {});
    for segment_bytes in [1, 536, 1460, u16::MAX] {
        send(&mut bed, &packet(5000), segment_bytes);
    }
}

#[test]
fn the_stack_is_told_of_the_largest_packet_of_whole_segments() {
    for (mtu, segments) in [(1500, 44), (1400, 48), (576, 122)] {
        let mut bed = Bed::unattached(Buffers { segments: 2, ..BUFFERS });
        let netback = Netback::new(&bed.machine.xen, Domid(0));
        netback.create_directories(&mut bed.machine.store);
        bed.machine.store.write(&format!("{}/mtu", Netback::frontend()), &mtu.to_string());
        bed.machine.netback = Some(netback);
        bed.machine.settle();
        let largest = HEADERS + segments * (mtu - 40);
        assert!(largest <= LARGEST && largest + mtu - 40 > LARGEST);
        let capabilities = bed.device.capabilities();
        assert_eq!(capabilities.segmentation.tcpv4.map(usize::from), Some(largest));
        assert_eq!(capabilities.max_transmission_unit, mtu + 14);
    }
}

#[test]
fn a_backend_that_lacks_an_ability_gets_frames_only() {
    for (feature, value) in [("feature-sg", "0"), ("feature-gso-tcpv4", "0"), ("feature-no-csum-offload", "1")] {
        let mut bed = bed_with(|netback| {
            netback.features.retain(|(name, _)| *name != feature);
            netback.features.push((feature, value));
        });
        assert_eq!(bed.device.capabilities().segmentation.tcpv4, None, "{feature}");
        bed.assert_works();
    }
}

#[test]
fn without_room_for_the_largest_packet_frames_are_still_received_and_answered() {
    let mut bed = bed_with(|_| {});
    bed.netback().silent = true;
    bed.turn(0);
    let largest = packet(LARGEST);
    assert!(bed.try_send_segments(&largest, 1460) && bed.try_send_segments(&largest, 1460));
    assert!(!bed.try_send_segments(&largest, 1460), "there is room for two of them");
    bed.turn(0);
    bed.machine.settle();
    bed.wakes.take();
    bed.netback().to_deliver.push_back((udp_frame(b"question", true), 0));
    bed.machine.settle();
    assert!(bed.wakes.take() > 0, "the frame wakes the stack");
    let (_rx, answer) = bed.device.receive(Instant::ZERO).expect("a frame");
    let frame = udp_frame(b"answer", true);
    answer.consume(frame.len(), |place| place.copy_from_slice(&frame));
    bed.turn(0);
    bed.machine.settle();
    assert_eq!(bed.netback().sent.len(), 3);
}

/// A card with the buffers of a large guest, whose backend answers nothing: what one turn sends stays in the ring.
fn unanswered(frames: usize, segments: usize) -> Bed {
    let buffers = Buffers::for_memory(64 << 20, &Pacing::shared_cpu());
    assert_eq!((buffers.transmit, buffers.segments), (184, 12));
    let mut bed = Bed::with(buffers, |netback| netback.silent = true);
    bed.turn(0);
    for _ in 0..frames {
        assert!(bed.try_send(&udp_frame(b"small", true)));
    }
    for _ in 0..segments {
        assert!(bed.try_send_segments(&packet(LARGEST), 1460));
    }
    bed
}

#[test]
fn a_full_ring_takes_no_answer_though_there_are_places_for_more() {
    // Each of the largest packets takes 16 pages and a slot of extra information.
    let mut bed = unanswered(52, 12);
    // A frame that was received finds no room for its answer, so it stays where it is.
    bed.netback().to_deliver.push_back((udp_frame(b"question", true), 0));
    bed.machine.settle();
    assert!(bed.device.receive(Instant::ZERO).is_none());
    bed.turn(0);
    bed.netback().silent = false;
    bed.machine.settle();
    assert_eq!(bed.netback().sent.len(), 64);
    assert_eq!(bed.receive().len(), 1);
    bed.assert_works();
}

#[test]
fn the_largest_packet_is_taken_up_to_the_last_slot_of_the_ring() {
    // 4 packets of 17 slots and 171 frames leave 17 slots; a frame more leaves one too few.
    for (frames, room) in [(171, true), (172, false)] {
        let mut bed = unanswered(frames, 4);
        assert_eq!(bed.try_send_segments(&packet(LARGEST), 1460), room, "{frames} frames");
        bed.turn(0);
        bed.netback().silent = false;
        bed.machine.settle();
        assert_eq!(bed.netback().sent.len(), frames + 4 + usize::from(room));
        bed.receive();
        bed.assert_works();
    }
}

#[test]
fn the_stack_is_woken_when_pages_for_the_largest_packet_are_back() {
    let mut bed = bed_with(|_| {});
    bed.netback().silent = true;
    bed.turn(0);
    let largest = packet(LARGEST);
    while bed.try_send_segments(&largest, 1460) {}
    bed.turn(0);
    bed.machine.settle();
    bed.wakes.take();
    assert!(!bed.try_send_segments(&largest, 1460));
    bed.turn(0);
    bed.machine.settle();
    assert_eq!(bed.wakes.take(), 0, "there is nothing to wake for");
    bed.netback().silent = false;
    bed.machine.settle();
    assert!(bed.wakes.take() > 0, "room came back and nobody was told");
    assert!(bed.try_send_segments(&largest, 1460));
}

#[test]
fn one_null_response_too_many_breaks_the_connection() {
    let mut bed = bed_with(|_| {});
    send(&mut bed, &packet(2000), 1460);
    bed.netback().manual = true;
    bed.turn(0);
    assert!(bed.try_send_segments(&packet(2000), 1460));
    bed.turn(0);
    let tx = &mut bed.netback().rings().tx;
    assert_eq!(tx.requests(), Ok(2));
    while tx.take().is_some() {
        tx.put(TxResponse { id: Claimed::new(0), status: RSP_NULL });
    }
    bed.netback().push_tx();
    bed.turn(1);
    assert_eq!(bed.counters().broken, 1);
    bed.netback().manual = false;
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn segments_arrive_in_one_piece_and_unchanged() {
    let mut bed = Bed::connected();
    let mut random = Random(2);
    let packets: Vec<_> = (0..50).map(|_| packet(1515 + random.below(LARGEST as u32 - 1515) as usize)).collect();
    bed.netback().to_deliver.extend(packets.iter().map(|packet| (packet.clone(), 0)));
    assert!(bed.receive() == packets);
    assert_eq!(bed.counters().received, 50);
    bed.assert_works();
}

#[test]
fn the_backend_gets_on_with_a_burst_of_a_stream_before_its_beginning_is_taken() {
    let mut bed = Bed::with(Buffers { receive: 64, transmit: 8, segments: 0 }, |_| {});
    bed.turn(0);
    let mut yields_after = |count: usize, length: usize| {
        bed.netback().to_deliver.extend((0..count).map(|_| (packet(length), 0)));
        bed.machine.settle();
        assert_eq!(bed.turn(usize::MAX).len(), count);
        bed.machine.xen.yields()
    };
    assert_eq!(yields_after(64, 1514), 0);
    assert_eq!(yields_after(1, LARGEST), 0, "single frames are no stream");
    assert_eq!(yields_after(2, LARGEST), 0, "nor is one packet");
    assert_eq!(yields_after(1, 100), 1);
    assert_eq!(yields_after(1, 100), 1);
}

#[test]
fn a_burst_of_a_stream_is_not_interrupted() {
    let mut bed = Bed::with(Buffers { receive: 256, transmit: 8, segments: 0 }, |_| {});
    bed.turn(0);
    bed.netback().to_deliver.extend((0..6).map(|_| (packet(LARGEST), 0)));
    bed.machine.settle();
    // 17 slots each; a turn looks at 64 of them.
    assert_eq!([0; 2].map(|_| bed.turn(usize::MAX).len()), [3, 3]);
    assert_eq!(bed.machine.xen.yields(), 0);
}
