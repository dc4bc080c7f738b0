//! Transmitting, and when events are sent and asked for.

use std::cell::Cell;
use std::rc::Rc;

use kernel::net::device::NetworkDevice;
use smoltcp::phy::{Device as _, TxToken};
use smoltcp::time::Instant;
use xen_fake::Netback;
use xen_fake::bed::{BUFFERS, Bed};
use xen_fake::frames::{ip_frame, tcp_frame, udp_frame};
use xen_fake::tasks::yield_now;
use xen_pv::netfront::{Buffers, Choice, Pacing, Setup, checksum};
use xen_sys::io::netif::{RSP_DROPPED, RSP_ERROR, RSP_NULL, RSP_OKAY, TXF_CSUM_BLANK, TxResponse};
use xen_sys::types::{Claimed, Domid};

#[test]
fn frames_leave_in_order_and_unchanged() {
    let mut bed = Bed::connected();
    let frames: Vec<_> = (0..600u32).map(|number| udp_frame(&number.to_be_bytes(), true)).collect();
    for frame in &frames {
        bed.send(frame);
    }
    let mut sent: Vec<_> = bed.netback().sent.iter().map(|sent| sent.bytes.clone()).collect();
    sent.iter_mut().for_each(|frame| checksum::fill(frame));
    assert_eq!(sent, frames);
    assert_eq!(bed.counters().sent, 600);
}

#[test]
fn tcp_and_udp_leave_with_a_blank_checksum_where_the_backend_takes_them() {
    let mut bed = Bed::connected();
    for frame in [udp_frame(b"payload", true), tcp_frame(b"payload", true)] {
        bed.send(&frame);
        let sent = bed.netback().sent.last().expect("a frame").clone();
        assert_ne!(sent.flags & TXF_CSUM_BLANK, 0);
        assert_ne!(sent.bytes, frame, "the field holds the sum of the pseudo-header");
        let mut filled = sent.bytes;
        checksum::fill(&mut filled);
        assert_eq!(filled, frame);
    }
}

#[test]
fn a_blank_field_holds_the_sum_of_the_pseudo_header() {
    let mut frame = udp_frame(b"payload", true);
    assert!(checksum::leave_blank(&mut frame));
    // 10.0.0.1, 10.0.0.2, protocol 17, 15 bytes.
    let sum = 0x0a00u32 + 0x0001 + 0x0a00 + 0x0002 + 17 + 15;
    assert_eq!(frame[40..42], (sum as u16).to_be_bytes());
}

#[test]
fn checksums_are_filled_in_where_the_backend_does_not_take_blank_ones() {
    let mut bed = Bed::with(BUFFERS, |netback| netback.features.push(("feature-no-csum-offload", "1")));
    for mut frame in [udp_frame(b"payload", true), tcp_frame(b"payload", true)] {
        let right = frame.clone();
        // As the stack leaves it.
        let field = if frame[23] == 17 { 40 } else { 50 };
        frame[field..field + 2].fill(0);
        bed.send(&frame);
        let sent = bed.netback().sent.last().expect("a frame").clone();
        assert_eq!((sent.flags, sent.bytes), (0, right));
    }
}

#[test]
fn what_is_neither_tcp_nor_udp_is_left_alone() {
    let mut bed = Bed::connected();
    let mut arp = vec![0xff; 42];
    arp[12..14].copy_from_slice(&[8, 6]);
    for frame in [arp, ip_frame(1, &[8, 0, 0x12, 0x34, 0, 0, 0, 0])] {
        bed.send(&frame);
        let sent = bed.netback().sent.last().expect("a frame").clone();
        assert_eq!((sent.flags, sent.bytes), (0, frame));
    }
}

#[test]
fn the_largest_frame_fits_and_the_stack_is_told_its_size() {
    let mut bed = Bed::connected();
    let largest = bed.device.capabilities().max_transmission_unit;
    assert_eq!(largest, 1514);
    bed.send(&tcp_frame(&vec![3; largest - 54], true));
    assert_eq!(bed.netback().sent.last().expect("a frame").bytes.len(), largest);
}

#[test]
fn an_empty_frame_is_never_sent() {
    let mut bed = Bed::connected();
    for _ in 0..100 {
        let token = bed.device.transmit(Instant::ZERO).expect("room");
        token.consume(0, |_| ());
    }
    bed.device.flush();
    bed.machine.settle();
    assert!(bed.netback().sent.is_empty());
    bed.assert_works();
}

#[test]
fn a_batch_is_announced_by_one_event() {
    let mut bed = Bed::connected();
    bed.turn(0);
    let before = bed.machine.xen.notifications();
    for number in 0..8u8 {
        assert!(bed.try_send(&udp_frame(&[number], true)));
    }
    bed.device.flush();
    assert_eq!(bed.machine.xen.notifications(), before + 1);
}

#[test]
fn a_backend_that_did_not_ask_for_an_event_gets_none() {
    let mut bed = Bed::connected();
    bed.turn(0);
    // The backend is busy: it does not look at the ring, nor ask again.
    bed.netback().manual = true;
    bed.send(&udp_frame(b"the first", true));
    let before = bed.machine.xen.notifications();
    bed.send(&udp_frame(b"the second", true));
    assert_eq!(bed.machine.xen.notifications(), before);
}

#[test]
fn answers_cause_no_event_while_there_is_room() {
    let mut bed = Bed::connected();
    bed.send(&udp_frame(b"the very first answer is announced", true));
    let before = bed.netback().events;
    for _ in 0..100 {
        bed.send(&udp_frame(b"x", true));
    }
    assert_eq!(bed.netback().events, before);
}

#[test]
fn without_room_the_stack_is_woken_when_room_comes_back() {
    let mut bed = Bed::connected();
    bed.netback().silent = true;
    let frame = udp_frame(b"full", true);
    bed.turn(0);
    while bed.try_send(&frame) {}
    bed.device.flush();
    bed.machine.settle();
    assert_eq!(bed.counters().sent, u64::from(BUFFERS.transmit));
    bed.wakes.take();
    bed.turn(0);
    assert!(!bed.try_send(&frame));
    bed.device.flush();
    bed.machine.settle();
    assert_eq!(bed.wakes.take(), 0, "there is nothing to wake for");
    bed.netback().silent = false;
    bed.machine.settle();
    assert!(bed.wakes.take() > 0, "room came back and nobody was told");
    assert!(bed.try_send(&frame));
}

#[test]
fn without_room_to_answer_frames_wait_in_the_ring() {
    let mut bed = Bed::connected();
    bed.netback().silent = true;
    bed.turn(0);
    while bed.try_send(&udp_frame(b"full", true)) {}
    bed.device.flush();
    bed.netback().to_deliver.push_back((udp_frame(b"question", true), 0));
    bed.machine.settle();
    bed.wakes.take();
    assert_eq!(bed.turn(1).len(), 0);
    bed.machine.settle();
    assert_eq!(bed.wakes.take(), 0, "the frame that waits must not keep the stack awake");
    bed.netback().silent = false;
    assert_eq!(bed.receive().len(), 1);
}

#[test]
fn an_answer_to_no_frame_breaks_the_connection_without_a_panic() {
    // An id outside the pool, one that is not in flight, and one that was answered already.
    for (first, second) in [(8, None), (u16::MAX, None), (7, Some(7)), (6, None)] {
        let mut bed = Bed::connected();
        bed.netback().manual = true;
        let frame = udp_frame(b"frame", true);
        bed.send(&frame);
        bed.send(&frame);
        let tx = &mut bed.netback().rings().tx;
        tx.requests().expect("whole");
        let ids: Vec<_> = std::iter::from_fn(|| tx.take()).map(|request| request.id).collect();
        assert_eq!(ids, [7, 6]);
        let wrong = if first == 6 { [6, 6] } else { [first, second.unwrap_or(7)] };
        for id in wrong {
            tx.put(TxResponse { id: Claimed::new(id), status: 0 });
        }
        bed.netback().push_tx();
        bed.turn(1);
        assert_eq!(bed.counters().broken, 1, "{wrong:?}");
        bed.netback().manual = false;
        bed.machine.settle();
        bed.assert_works();
    }
}

#[test]
fn a_null_response_breaks_the_connection() {
    // It would answer extra information, which is never sent; its place would be lost. An earlier frontend looped for
    // ever.
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    bed.send(&udp_frame(b"frame", true));
    let tx = &mut bed.netback().rings().tx;
    tx.requests().expect("whole");
    let request = tx.take().expect("a frame");
    tx.put(TxResponse { id: Claimed::new(request.id), status: RSP_NULL });
    bed.netback().push_tx();
    bed.turn(1);
    assert_eq!(bed.counters().broken, 1);
    bed.netback().manual = false;
    bed.machine.settle();
    bed.assert_works();
}

#[test]
fn room_that_comes_back_while_the_stack_works_wakes_it_again() {
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    let frame = udp_frame(b"frame", true);
    bed.turn(0);
    while bed.try_send(&frame) {}
    bed.device.flush();
    bed.machine.settle();
    bed.wakes.take();
    // The stack finds no room; before it is done, the backend has answered everything: no event will come for it.
    assert!(bed.device.receive(Instant::ZERO).is_none());
    let tx = &mut bed.netback().rings().tx;
    tx.requests().expect("whole");
    while let Some(request) = tx.take() {
        tx.put(TxResponse { id: Claimed::new(request.id), status: RSP_OKAY });
    }
    let _ = tx.push();
    bed.device.flush();
    assert!(bed.wakes.take() > 0, "the stack sleeps with frames to take and room to answer");
}

#[test]
fn refused_frames_are_counted_and_their_places_come_back() {
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    for status in [RSP_DROPPED, RSP_ERROR, i16::MIN].repeat(10) {
        bed.send(&udp_frame(b"frame", true));
        let tx = &mut bed.netback().rings().tx;
        tx.requests().expect("whole");
        let request = tx.take().expect("a frame");
        tx.put(TxResponse { id: Claimed::new(request.id), status });
        bed.netback().push_tx();
        bed.turn(1);
    }
    assert_eq!(bed.counters().refused, 30);
    assert!(bed.is_up());
}

#[test]
fn a_producer_out_of_bounds_breaks_the_connection() {
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    bed.netback().overwrite(true, 8, 1);
    bed.turn(1);
    assert_eq!(bed.counters().broken, 1);
}

#[test]
fn pages_for_frames_to_the_backend_are_granted_read_only() {
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    bed.send(&udp_frame(b"frame", true));
    let tx = &mut bed.netback().rings().tx;
    tx.requests().expect("whole");
    let request = tx.take().expect("a frame");
    let xen = bed.machine.xen.clone();
    let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        xen.copy_to(xen_sys::types::Domid(0), request.gref, 0, b"scribble");
    }));
    assert!(written.is_err());
}

#[test]
fn an_event_with_work_is_not_counted() {
    let mut bed = Bed::connected();
    bed.receive();
    let before = bed.counters().spurious_events;
    let frame = udp_frame(b"frame", true);
    for _ in 0..20 {
        bed.netback().to_deliver.push_back((frame.clone(), 0));
        assert_eq!(bed.receive().len(), 1);
        bed.send(&frame);
        bed.turn(1);
    }
    assert_eq!(bed.counters().spurious_events, before);
}

#[test]
fn an_event_without_work_is_counted_and_wakes_nobody_for_long() {
    let mut bed = Bed::connected();
    bed.receive();
    let before = bed.counters().spurious_events;
    for _ in 0..50 {
        bed.netback().raise();
        bed.machine.settle();
        bed.turn(1);
    }
    assert_eq!(bed.counters().spurious_events, before + 100);
    bed.wakes.take();
    bed.machine.settle();
    assert_eq!(bed.wakes.take(), 0);
    bed.assert_works();
}

#[test]
fn one_channel_serves_both_directions_where_the_backend_has_no_two() {
    let mut bed = Bed::with(Buffers { receive: 32, transmit: 32, segments: 0 }, |netback| {
        netback.features.retain(|(name, _)| *name != "feature-split-event-channels");
    });
    // One for the store, one for the card.
    assert_eq!(bed.machine.xen.open_ports(), 2);
    bed.assert_works();
    bed.netback().silent = true;
    bed.turn(0);
    while bed.try_send(&udp_frame(b"full", true)) {}
    bed.device.flush();
    bed.machine.settle();
    bed.wakes.take();
    bed.netback().silent = false;
    bed.machine.settle();
    assert!(bed.wakes.take() > 0);
}

#[test]
fn the_stack_leaves_tcp_and_udp_checksums_to_the_card_and_does_the_others() {
    let bed = Bed::connected();
    let checksum = bed.device.capabilities().checksum;
    assert!(!checksum.tcp.tx() && !checksum.tcp.rx() && !checksum.udp.tx() && !checksum.udp.rx());
    assert!(checksum.ipv4.tx() && checksum.ipv4.rx() && checksum.icmpv4.tx() && checksum.icmpv4.rx());
}

#[test]
fn a_frame_of_any_size_leaves_in_one_slot_within_its_page() {
    // Headers split across slots, slots of zero bytes, packets above 64 KiB: none of it can come about.
    let mut bed = Bed::connected();
    bed.netback().manual = true;
    for size in 14..=1514 {
        assert!(bed.try_send(&vec![size as u8; size]));
        bed.turn(0);
        let tx = &mut bed.netback().rings().tx;
        assert_eq!(tx.requests(), Ok(1), "{size} bytes in one slot");
        let request = tx.take().expect("a frame");
        assert_eq!((usize::from(request.size), request.flags), (size, 0));
        assert!(usize::from(request.offset) + size <= 4096);
        tx.put(TxResponse { id: Claimed::new(request.id), status: RSP_OKAY });
        bed.netback().push_tx();
    }
}

#[test]
fn a_port_that_fires_all_the_time_starves_no_other_task() {
    let mut bed = Bed::connected();
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::clone(&turns);
    bed.machine.tasks.spawn(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    for turn in 1..=100 {
        bed.netback().raise();
        bed.machine.events.dispatch();
        bed.machine.tasks.run();
        bed.turn(usize::MAX);
        assert_eq!(turns.get(), turn);
    }
}

#[test]
fn who_has_waited_for_room_lets_others_run_first() {
    let mut bed = Bed::connected();
    bed.netback().silent = true;
    bed.turn(0);
    let frame = udp_frame(b"one of many", true);
    while bed.try_send(&frame) {}
    bed.turn(0);
    bed.machine.settle();
    assert_eq!(bed.machine.xen.yields(), 0, "there is nothing to go on with");
    bed.netback().silent = false;
    bed.machine.settle();
    assert!(bed.try_send(&frame));
    assert!(bed.try_send(&frame));
    assert_eq!(bed.machine.xen.yields(), 4, "once for all, and not for each frame");
}

#[test]
fn fewer_large_frames_than_small_ones_are_under_way() {
    let mut bed = Bed::with(Buffers { receive: 32, transmit: 64, segments: 0 }, |netback| netback.silent = true);
    let mut sent_at_once = |bytes: usize| {
        bed.netback().silent = false;
        bed.machine.settle();
        bed.turn(0);
        bed.netback().silent = true;
        let frame = udp_frame(&vec![0; bytes], true);
        let count = (0..).take_while(|_| bed.try_send(&frame)).count();
        bed.turn(0);
        count
    };
    assert_eq!([64, 1472, 64, 200].map(&mut sent_at_once), [64, 52, 64, 52]);
    // With 42 bytes of headers these are the largest small frame and the smallest large one.
    assert_eq!([86, 87].map(&mut sent_at_once), [64, 52]);
}

#[test]
fn on_a_cpu_of_its_own_a_guest_fills_the_ring_and_never_yields() {
    let buffers = Buffers { receive: 32, transmit: 256, segments: 0 };
    let mut bed = Bed::with_setup(Setup { buffers, pacing: Pacing::own_cpu(), choice: Choice::First });
    let mut netback = Netback::new(&bed.machine.xen, Domid(0));
    netback.silent = true;
    bed.machine.attach(netback);
    bed.machine.settle();
    let frame = udp_frame(&[0; 1472], true);
    for _ in 0..3 {
        assert_eq!((0..).take_while(|_| bed.try_send(&frame)).count(), 256);
        bed.turn(0);
        bed.netback().silent = false;
        bed.machine.settle();
        bed.turn(0);
        bed.netback().silent = true;
    }
    assert_eq!(bed.machine.xen.yields(), 0);
}
