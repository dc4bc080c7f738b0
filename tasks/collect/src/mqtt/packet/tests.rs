//! Tests of the packets' bytes: the standard's layout, and whatever a broker may send instead.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{ConnAck, Connect, Malformed, Packet, decode, disconnect, length, ping, pub_ack, publish, subscribe};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![];
    write(&mut out);
    out
}

/// A packet with a remaining length below 128.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, body.len() as u8], body].concat()
}

#[test]
fn a_greeting_names_protocol_session_and_limits() {
    let connect = Connect {
        client: "collect",
        clean_start: true,
        session_s: 3600,
        keepalive_s: 30,
        packet_bytes: 32_768,
        receive_maximum: 8,
    };
    let body = b"\0\x04MQTT\x05\x02\0\x1e\x0d\x11\0\0\x0e\x10\x21\0\x08\x27\0\0\x80\0\0\x07collect";
    assert_eq!(written(|out| connect.write(out)), packet(0x10, body));
    let again = written(|out| Connect { clean_start: false, ..connect }.write(out));
    assert_eq!(again[9], 0);
}

#[test]
fn what_is_sent_has_the_standards_bytes() {
    let filters = ["a/#", "b"];
    assert_eq!(written(|out| subscribe(out, filters.into_iter())), packet(0x82, b"\0\x01\0\0\x03a/#\x21\0\x01b\x21"));
    assert_eq!(written(|out| publish(out, "t/x", 258, b"hello")), packet(0x32, b"\0\x03t/x\x01\x02\0hello"));
    assert_eq!(written(|out| pub_ack(out, 258)), packet(0x40, &[1, 2]));
    assert_eq!(written(ping), packet(0xc0, b""));
    assert_eq!(written(disconnect), packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0]));
}

#[test]
fn packets_follow_each_other() {
    let mut out = written(ping);
    publish(&mut out, "t", 1, &[7; 200]);
    pub_ack(&mut out, 2);
    assert_eq!(out[..7], [0xc0, 0, 0x32, 0xce, 0x01, 0, 1]);
    assert_eq!(length(&out[2..]), Ok(Some(3 + 206)));
    assert_eq!(out[2 + 209..], [0x40, 2, 0, 2]);
}

#[test]
fn an_answer_tells_what_the_broker_takes() {
    let none =
        ConnAck { resumed: false, refused: false, receive_maximum: 65_535, packet_bytes: u32::MAX, keepalive_s: None };
    let answer = |body: &[u8]| {
        decode(&packet(0x20, body)).map(|packet| match packet {
            Packet::ConnAck(answer) => answer,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(answer(&[0, 0, 0]), Ok(none));
    assert_eq!(answer(&[1, 0, 0]), Ok(ConnAck { resumed: true, ..none }));
    assert_eq!(answer(&[0, 0x87, 0]), Ok(ConnAck { refused: true, ..none }));
    let limits = [0, 0, 11, 0x21, 0, 20, 0x27, 0, 1, 0, 0, 0x13, 0, 60];
    let expected = ConnAck { receive_maximum: 20, packet_bytes: 65_536, keepalive_s: Some(60), ..none };
    assert_eq!(answer(&limits), Ok(expected));
    assert_eq!(answer(&[0, 0, 2, 0x24, 0]), Ok(ConnAck { refused: true, ..none }), "no QoS 1");
    assert_eq!(answer(&[0, 0, 2, 0x24, 1]), Ok(none));
    let others =
        b"\x11\0\0\0\0\x22\0\0\x25\x01\x28\x01\x29\x01\x2a\x01\x12\0\x01a\x1f\0\x02no\x26\0\x01k\0\x01v\x21\0\x05";
    let body = [&[0, 0, others.len() as u8][..], others].concat();
    assert_eq!(answer(&body), Ok(ConnAck { receive_maximum: 5, ..none }));
    for wrong in [&[0][..], &[0, 0], &[0, 0, 1], &[0, 0, 1, 0x21], &[0, 0, 3, 0x77, 0, 0], &[0, 0, 4, 0x12, 0, 9, b'a']]
    {
        assert_eq!(answer(wrong), Err(Malformed), "{wrong:?}");
    }
}

#[test]
fn messages_are_decoded_with_and_without_a_number() {
    assert_eq!(decode(&packet(0x30, b"\0\x03a/b\0hi")), Ok(Packet::Publish { topic: "a/b", id: None, payload: b"hi" }));
    // Repeated, QoS 1, retained, with a property.
    let properties = packet(0x3b, b"\0\x01a\x12\x34\x02\x01\x01hi");
    assert_eq!(decode(&properties), Ok(Packet::Publish { topic: "a", id: Some(0x1234), payload: b"hi" }));
    assert_eq!(
        decode(&packet(0x32, b"\0\x01a\0\x01\0")),
        Ok(Packet::Publish { topic: "a", id: Some(1), payload: b"" })
    );
    for wrong in [
        &b"\0"[..],
        b"\0\x05a",
        b"\0\x01a",
        b"\0\x01a\0",
        b"\0\x01a\0\x01",
        b"\0\x01a\0\x01\x09",
        b"\0\x01\xff\0\x01\0",
    ] {
        assert_eq!(decode(&packet(0x32, wrong)), Err(Malformed), "{wrong:?}");
    }
    assert_eq!(decode(&packet(0x34, b"\0\x01a\0\x01\0")), Err(Malformed), "QoS 2");
}

#[test]
fn acknowledgements_are_decoded_with_and_without_a_reason() {
    assert_eq!(decode(&packet(0x40, &[1, 2])), Ok(Packet::PubAck { id: 258, refused: false }));
    assert_eq!(decode(&packet(0x40, &[1, 2, 0x10])), Ok(Packet::PubAck { id: 258, refused: false }), "no subscribers");
    assert_eq!(decode(&packet(0x40, &[1, 2, 0x97, 0])), Ok(Packet::PubAck { id: 258, refused: true }));
    assert_eq!(decode(&packet(0x40, &[1])), Err(Malformed));
    assert_eq!(decode(&packet(0x90, &[0, 1, 0, 1, 1])), Ok(Packet::SubAck { refused: false }));
    assert_eq!(decode(&packet(0x90, &[0, 1, 0, 1, 0x87])), Ok(Packet::SubAck { refused: true }));
    assert_eq!(decode(&packet(0xd0, b"")), Ok(Packet::PingResp));
    assert_eq!(decode(&packet(0xe0, &[0x8e])), Ok(Packet::Disconnect));
}

#[test]
fn lengths_come_byte_by_byte() {
    assert_eq!((length(b""), length(&[0x30])), (Ok(None), Ok(None)));
    assert_eq!(length(&[0x30, 0x7f]), Ok(Some(129)));
    assert_eq!((length(&[0x30, 0x80]), length(&[0x30, 0x80, 0x01])), (Ok(None), Ok(Some(131))));
    assert_eq!(length(&[0x30, 0xff, 0xff, 0xff]), Ok(None));
    assert_eq!(length(&[0x30, 0xff, 0xff, 0xff, 0x7f]), Ok(Some(268_435_460)));
    assert_eq!(length(&[0x30, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
}

#[test]
fn a_packet_is_as_long_as_it_says() {
    assert_eq!(decode(&[0xd0, 1]), Err(Malformed));
    assert_eq!(decode(&[0xd0, 0, 0]), Err(Malformed));
}

proptest! {
    #[test]
    fn a_message_arrives_as_it_was_sent(topic in "[a-z/]{1,40}", id in 1u16.., payload in prop::collection::vec(any::<u8>(), 0..40_000)) {
        let bytes = written(|out| publish(out, &topic, id, &payload));
        prop_assert_eq!(length(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(decode(&bytes), Ok(Packet::Publish { topic: &topic, id: Some(id), payload: &payload }));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = length(&bytes);
        let _ = decode(&bytes);
        for first in (0..=0xffu8).step_by(16) {
            let _ = decode(&packet(first, &bytes));
        }
    }
}
