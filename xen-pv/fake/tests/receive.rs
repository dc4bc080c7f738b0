//! Receiving, against a backend that may say anything.

use std::collections::BTreeSet;

use kernel::net::device::NetworkDevice;
use smoltcp::phy::{Device as _, RxToken};
use smoltcp::time::Instant;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::frames::{tcp_frame, udp_frame};
use xen_fake::netback::{with_extra, with_more};
use xen_fake::random::Random;
use xen_pv::netfront::{Buffers, Dropped};
use xen_sys::io::netif::{
    EXTRA_TYPE_GSO, EXTRA_TYPE_MAX, EXTRA_TYPE_NONE, ExtraInfo, GSO_TYPE_TCPV4, RXF_CSUM_BLANK, RXF_DATA_VALIDATED,
    RXF_GSO_PREFIX, RXF_MORE_DATA, RxRequest, RxResponse,
};
use xen_sys::types::{Claimed, Domid};

const RSP_PROD: usize = 8;

/// A connected card whose backend leaves the rings to the test.
fn manual() -> Bed {
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    bed.turn(0);
    bed
}

fn gso(size: u16) -> ExtraInfo {
    ExtraInfo { kind: EXTRA_TYPE_GSO, flags: 0, gso_size: size, gso_kind: GSO_TYPE_TCPV4, gso_pad: 0, gso_features: 0 }
}

fn extra(kind: u8) -> ExtraInfo {
    ExtraInfo { kind, ..gso(1000) }
}

/// Answers with a chain of frame parts, and extra information after the first part.
fn respond_chain(bed: &mut Bed, parts: &[&[u8]], extras: &[ExtraInfo]) {
    for (index, part) in parts.iter().enumerate() {
        let mut flags = if index + 1 < parts.len() { RXF_MORE_DATA } else { 0 };
        if index == 0 && !extras.is_empty() {
            flags = with_extra(flags);
        }
        bed.netback().respond(part, 0, flags, part.len() as i16);
        if index == 0 {
            for (number, extra) in extras.iter().enumerate() {
                let extra = if number + 1 < extras.len() { with_more(*extra) } else { *extra };
                bed.netback().respond_extra(extra);
            }
        }
    }
    bed.netback().push_rx();
}

/// The chain is dropped for this reason, and all its buffers come back.
fn assert_dropped(bed: &mut Bed, reason: Dropped) {
    let before = bed.counters().dropped(reason);
    assert_eq!(bed.receive(), Vec::<Vec<u8>>::new());
    assert_eq!(bed.counters().dropped(reason), before + 1);
    assert_eq!(bed.counters().broken, 0);
    assert_eq!(posted(bed), u32::from(BUFFERS.receive), "buffers were lost");
    bed.netback().manual = false;
    bed.assert_works();
}

/// Buffers that are posted and unanswered.
fn posted(bed: &mut Bed) -> u32 {
    bed.netback().rings().rx.requests().expect("the ring is whole")
}

#[test]
fn frames_arrive_in_order_and_unchanged() {
    let mut bed = Bed::connected();
    let frames: Vec<_> = (0..200u32).map(|number| udp_frame(&vec![number as u8; number as usize * 7], true)).collect();
    bed.netback().to_deliver.extend(frames.iter().map(|frame| (frame.clone(), 0)));
    assert_eq!(bed.receive(), frames);
    assert_eq!(bed.counters().received, 200);
}

#[test]
fn a_frame_at_an_offset_in_its_page_is_read_from_there() {
    let mut bed = manual();
    let frame = udp_frame(b"not at the start", true);
    let id = bed.netback().fill_buffer(777, &frame);
    let response = RxResponse { id: Claimed::new(id), offset: Claimed::new(777), flags: 0, status: frame.len() as i16 };
    bed.netback().rings().rx.put(response);
    bed.netback().push_rx();
    assert_eq!(bed.receive(), [frame]);
}

#[test]
fn a_negative_status_drops_the_frame_and_recycles_the_buffer() {
    for status in [-1, -2, i16::MIN] {
        let mut bed = manual();
        bed.netback().respond(&[], 0, 0, status);
        bed.netback().push_rx();
        assert_dropped(&mut bed, Dropped::Failed);
    }
}

#[test]
fn a_frame_beyond_its_page_is_dropped() {
    for (offset, status) in [(4096, 1), (1, 4096), (0, i16::MAX), (u16::MAX, i16::MAX), (4000, 97)] {
        let mut bed = manual();
        bed.netback().respond(&[], offset, 0, status);
        bed.netback().push_rx();
        assert_dropped(&mut bed, Dropped::Bounds);
    }
}

#[test]
fn an_empty_frame_is_dropped() {
    let mut bed = manual();
    bed.netback().respond(&[], 0, 0, 0);
    bed.netback().push_rx();
    assert_dropped(&mut bed, Dropped::Bounds);
}

#[test]
fn a_frame_longer_than_any_packet_is_dropped() {
    let mut bed = manual();
    respond_chain(&mut bed, &[&[0; 4096][..]; 17], &[]);
    assert_dropped(&mut bed, Dropped::TooLong);
}

#[test]
fn a_chain_of_data_is_put_together() {
    let mut bed = manual();
    let frame = tcp_frame(&[7; 1000], true);
    respond_chain(&mut bed, &[&frame[..100], &frame[100..600], &frame[600..]], &[]);
    assert_eq!(bed.receive(), [frame]);
    assert_eq!(posted(&mut bed), u32::from(BUFFERS.receive));
}

#[test]
fn extra_information_uses_up_a_buffer_by_its_position() {
    let mut bed = manual();
    let frame = tcp_frame(&[7; 1000], true);
    for _ in 0..100 {
        respond_chain(&mut bed, &[&frame[..500], &frame[500..]], &[gso(1400)]);
        assert_eq!(bed.receive(), std::slice::from_ref(&frame));
        assert_eq!(posted(&mut bed), u32::from(BUFFERS.receive), "the buffer under the extra was lost");
    }
}

#[test]
fn unknown_extra_information_drops_the_packet_and_consumes_it_whole() {
    for kind in [EXTRA_TYPE_NONE, EXTRA_TYPE_MAX, 255] {
        let mut bed = manual();
        let frame = tcp_frame(&[7; 1000], true);
        respond_chain(&mut bed, &[&frame[..500], &frame[500..]], &[extra(kind)]);
        assert_dropped(&mut bed, Dropped::BadExtra);
    }
}

#[test]
fn segments_of_size_zero_drop_the_packet() {
    let mut bed = manual();
    let frame = tcp_frame(&[7; 1000], true);
    respond_chain(&mut bed, &[&frame], &[gso(0)]);
    assert_dropped(&mut bed, Dropped::BadExtra);
}

#[test]
fn several_extras_are_followed_to_their_end() {
    let mut bed = manual();
    let frame = tcp_frame(&[7; 1000], true);
    respond_chain(&mut bed, &[&frame[..10], &frame[10..]], &[extra(2), extra(4), gso(1400)]);
    assert_eq!(bed.receive(), [frame]);
}

#[test]
fn extra_information_that_never_comes_drops_the_packet() {
    let mut bed = manual();
    let frame = tcp_frame(&[7; 100], true);
    bed.netback().respond(&frame, 0, with_extra(0), frame.len() as i16);
    bed.netback().push_rx();
    assert_eq!(bed.receive(), Vec::<Vec<u8>>::new());
    // What comes later belongs to the packet that was dropped.
    bed.netback().respond_extra(gso(1400));
    bed.netback().push_rx();
    assert_dropped(&mut bed, Dropped::Truncated);
}

#[test]
fn a_chain_that_goes_on_beyond_what_was_published_is_dropped_with_its_rest() {
    let mut bed = manual();
    let frame = tcp_frame(&[7; 1000], true);
    bed.netback().respond(&frame[..500], 0, RXF_MORE_DATA, 500);
    bed.netback().push_rx();
    assert_eq!(bed.receive(), Vec::<Vec<u8>>::new());
    let rest = &frame[500..];
    bed.netback().respond(rest, 0, 0, rest.len() as i16);
    bed.netback().push_rx();
    assert_dropped(&mut bed, Dropped::Truncated);
}

#[test]
fn more_than_18_slots_drop_the_packet_and_all_are_freed() {
    let mut bed = Bed::with(Buffers { receive: 64, transmit: 8, segments: 0 }, |_| {});
    bed.netback().manual = true;
    bed.turn(0);
    let parts = [&b"twenty bytes in each"[..]; 19];
    respond_chain(&mut bed, &parts, &[]);
    assert_eq!(bed.receive(), Vec::<Vec<u8>>::new());
    assert_eq!(bed.counters().dropped(Dropped::TooManySlots), 1);
    assert_eq!(posted(&mut bed), 64);
    respond_chain(&mut bed, &parts[..18], &[]);
    assert_eq!(bed.receive().len(), 1, "18 slots are allowed");
}

#[test]
fn the_obsolete_prefix_of_segments_is_dropped() {
    let mut bed = manual();
    bed.netback().respond(&[], 0, RXF_GSO_PREFIX | RXF_MORE_DATA, 0);
    bed.netback().respond(&[1; 60], 0, 0, 60);
    bed.netback().push_rx();
    assert_dropped(&mut bed, Dropped::BadExtra);
}

#[test]
fn a_response_to_no_request_breaks_the_connection() {
    let mut bed = manual();
    let claimed = u32::from(BUFFERS.receive) + 1;
    bed.netback().overwrite(false, RSP_PROD, claimed);
    bed.netback().raise();
    assert_eq!(bed.turn(1).len(), 0);
    assert_eq!(bed.counters().broken, 1);
    assert!(!bed.is_up());
}

#[test]
fn a_producer_that_goes_backwards_breaks_the_connection() {
    let mut bed = Bed::connected();
    bed.netback().to_deliver.push_back((udp_frame(b"one", true), 0));
    assert_eq!(bed.receive().len(), 1);
    bed.netback().manual = true;
    bed.netback().overwrite(false, RSP_PROD, 0);
    bed.netback().raise();
    bed.turn(1);
    assert_eq!(bed.counters().broken, 1);
}

#[test]
fn a_producer_far_away_breaks_the_connection() {
    for claimed in [256, 257, 0x8000_0000, u32::MAX] {
        let mut bed = manual();
        bed.netback().overwrite(false, RSP_PROD, claimed);
        bed.netback().raise();
        bed.turn(1);
        assert_eq!(bed.counters().broken, 1, "{claimed}");
    }
}

#[test]
fn an_id_that_is_not_of_its_slot_breaks_the_connection_without_a_panic() {
    for wrong in [1, 255, 256, u16::MAX] {
        let mut bed = manual();
        let id = bed.netback().fill_buffer(0, &[]);
        let response =
            RxResponse { id: Claimed::new(id.wrapping_add(wrong)), offset: Claimed::new(0), flags: 0, status: 60 };
        bed.netback().rings().rx.put(response);
        bed.netback().push_rx();
        bed.turn(1);
        assert_eq!(bed.counters().broken, 1, "{wrong}");
    }
}

#[test]
fn a_broken_connection_is_made_anew() {
    let mut bed = manual();
    bed.netback().overwrite(false, RSP_PROD, 0x1234_5678);
    bed.netback().raise();
    bed.turn(1);
    assert!(!bed.is_up());
    bed.netback().manual = false;
    bed.machine.settle();
    assert_eq!(bed.counters().connections, 2);
    bed.assert_works();
}

#[test]
fn a_blank_or_validated_checksum_is_accepted_and_any_other_verified() {
    for frame in [udp_frame, tcp_frame] {
        let cases =
            [(0, false, false), (0, true, true), (RXF_CSUM_BLANK, false, true), (RXF_DATA_VALIDATED, false, true)];
        for (flags, right, accepted) in cases {
            let mut bed = Bed::connected();
            let frame = frame(b"some payload", right);
            bed.netback().to_deliver.push_back((frame, flags));
            assert_eq!(bed.receive().len(), usize::from(accepted), "{flags} {right}");
            assert_eq!(bed.counters().dropped(Dropped::Checksum), u32::from(!accepted));
            bed.assert_works();
        }
    }
}

#[test]
fn refilled_buffers_go_to_the_next_positions_of_the_ring() {
    // An earlier frontend always refilled slots 0 to n.
    let mut bed = Bed::with(Buffers { receive: 5, transmit: 4, segments: 0 }, |_| {});
    for number in 0..600u32 {
        let frame = udp_frame(&number.to_be_bytes(), true);
        bed.netback().to_deliver.push_back((frame.clone(), 0));
        assert_eq!(bed.receive(), [frame], "{number}");
    }
    assert_eq!(bed.counters().broken, 0);
}

#[test]
fn all_256_slots_can_be_posted() {
    let mut bed = Bed::with(Buffers { receive: 256, transmit: 256, segments: 0 }, |_| {});
    let frames: Vec<_> = (0..1000u32).map(|number| udp_frame(&number.to_be_bytes(), true)).collect();
    bed.netback().to_deliver.extend(frames.iter().map(|frame| (frame.clone(), 0)));
    assert_eq!(bed.receive(), frames);
}

#[test]
fn a_flood_is_taken_in_bounded_pieces() {
    let mut bed = Bed::with(Buffers { receive: 256, transmit: 8, segments: 0 }, |_| {});
    bed.turn(0);
    bed.netback().to_deliver.extend((0..256).map(|_| (udp_frame(b"flood", false), 0)));
    bed.machine.settle();
    bed.wakes.take();
    // All of them are bad, so that the stack sees none: one call still looks at a bounded number.
    assert_eq!(bed.turn(1).len(), 0);
    assert_eq!(bed.counters().dropped(Dropped::Checksum), 64);
    assert_eq!(bed.wakes.take(), 1, "the rest is announced");
}

#[test]
fn a_frame_is_judged_and_passed_on_as_it_was_copied_out_once() {
    let mut bed = manual();
    let frame = udp_frame(b"as it was", true);
    let rx = &mut bed.netback().rings().rx;
    rx.requests().expect("whole");
    let request = rx.take().expect("a buffer");
    let response =
        RxResponse { id: Claimed::new(request.id), offset: Claimed::new(0), flags: 0, status: frame.len() as i16 };
    bed.machine.xen.copy_to(Domid(0), request.gref, 0, &frame);
    bed.netback().rings().rx.put(response);
    bed.netback().push_rx();
    let (token, _) = bed.device.receive(Instant::ZERO).expect("a frame");
    bed.machine.xen.copy_to(Domid(0), request.gref, 0, &vec![0xff; frame.len()]);
    assert_eq!(token.consume(<[u8]>::to_vec), frame);
    bed.device.flush();
}

#[test]
fn no_buffer_is_on_the_ring_twice_whatever_was_answered() {
    let mut random = Random(0x0b0f_f00d_0b0f_f00d);
    let mut bed = manual();
    for _ in 0..300 {
        let rx = &mut bed.netback().rings().rx;
        rx.requests().expect("whole");
        let mut posted = Vec::new();
        while let Some(request) = rx.take() {
            posted.push(request);
        }
        let buffers: BTreeSet<_> = posted.iter().map(|request| request.gref.0).collect();
        assert_eq!(buffers.len(), usize::from(BUFFERS.receive), "lost, or posted twice: {posted:?}");
        for RxRequest { id, .. } in posted {
            let (offset, flags) = (random.next() as u16, random.below(32) as u16);
            let status = random.next() as i16;
            bed.netback().rings().rx.put(RxResponse {
                id: Claimed::new(id),
                offset: Claimed::new(offset),
                flags,
                status,
            });
        }
        bed.netback().push_rx();
        bed.receive();
    }
    assert_eq!(bed.counters().broken, 0);
}

#[test]
fn the_counters_are_told_without_the_device() {
    let mut bed = Bed::connected();
    let reader = bed.device.counter_reader();
    bed.netback().to_deliver.push_back((udp_frame(b"wrong", false), 0));
    bed.receive();
    bed.assert_works();
    let counters = reader.read();
    assert_eq!((counters.received, counters.sent, counters.dropped(Dropped::Checksum)), (1, 1, 1));
    assert_eq!(counters, bed.counters());
}
