//! Tests of the packets' bytes: the standards' layouts, and whatever a broker may send instead.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{ConnAck, Malformed, Packet, Publish, Version, length};
use crate::reason::Reason;
use crate::write::{
    Connect, disconnect, ping, pub_ack, pub_comp, pub_rec, publish, publish_retained, subscribe, unsubscribe,
};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![];
    write(&mut out);
    out
}

/// A packet with a remaining length below 128.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, body.len() as u8], body].concat()
}

fn decode(packet: &[u8]) -> Result<Packet<'_>, Malformed> {
    super::decode(packet, Version::V5)
}

const GREETING: Connect<'_> = Connect {
    version: Version::V5,
    client: "collect",
    login: None,
    will: None,
    clean_start: true,
    session_s: 3600,
    keepalive_s: 30,
    receive_maximum: 8,
};

const MESSAGE: Publish<'_> =
    Publish { topic: "a", qos: 1, id: 1, again: false, retained: false, subscriptions: 0, payload: b"" };

#[test]
fn a_greeting_names_protocol_session_and_limits() {
    let body = b"\0\x04MQTT\x05\x02\0\x1e\x08\x11\0\0\x0e\x10\x21\0\x08\0\x07collect";
    assert_eq!(written(|out| GREETING.write(out)), packet(0x10, body));
    let again = written(|out| Connect { clean_start: false, ..GREETING }.write(out));
    assert_eq!(again[9], 0);
    let old = Connect { version: Version::V311, ..GREETING };
    assert_eq!(written(|out| old.write(out)), packet(0x10, b"\0\x04MQTT\x04\x02\0\x1e\0\x07collect"));
}

#[test]
fn a_greeting_may_have_a_will_and_a_login() {
    let login = Some(("user", Some("pass")));
    let connect = Connect { login, will: Some(("gone", "x")), ..GREETING };
    let body =
        b"\0\x04MQTT\x05\xee\0\x1e\x08\x11\0\0\x0e\x10\x21\0\x08\0\x07collect\0\0\x04gone\0\x01x\0\x04user\0\x04pass";
    assert_eq!(written(|out| connect.write(out)), packet(0x10, body));
    let old = Connect { version: Version::V311, clean_start: false, login: Some(("user", None)), ..connect };
    let body = b"\0\x04MQTT\x04\xac\0\x1e\0\x07collect\0\x04gone\0\x01x\0\x04user";
    assert_eq!(written(|out| old.write(out)), packet(0x10, body));
}

#[test]
fn what_is_sent_has_the_standards_bytes() {
    let subscribed = |version, with_id| written(|out| subscribe(out, version, with_id, 3, "a/#"));
    assert_eq!(subscribed(Version::V5, true), packet(0x82, b"\0\x03\x02\x0b\x03\0\x03a/#\x22"));
    assert_eq!(subscribed(Version::V5, false), packet(0x82, b"\0\x03\0\0\x03a/#\x22"));
    assert_eq!(subscribed(Version::V311, false), packet(0x82, b"\0\x03\0\x03a/#\x02"));
    let left = written(|out| unsubscribe(out, ["a/#", "b"].into_iter()));
    assert_eq!(left, packet(0xa2, b"\0\x01\0\x03a/#\0\x01b"));
    let published = |version| written(|out| publish(out, version, "t/x", 258, b"hello"));
    assert_eq!(published(Version::V5), packet(0x32, b"\0\x03t/x\x01\x02\0hello"));
    assert_eq!(published(Version::V311), packet(0x32, b"\0\x03t/x\x01\x02hello"));
    let retained = written(|out| publish_retained(out, Version::V311, "t", b"on"));
    assert_eq!(retained, packet(0x31, b"\0\x01ton"));
    assert_eq!(written(|out| pub_ack(out, 258)), packet(0x40, &[1, 2]));
    assert_eq!(written(|out| pub_rec(out, 258)), packet(0x50, &[1, 2]));
    assert_eq!(written(|out| pub_comp(out, 258)), packet(0x70, &[1, 2]));
    assert_eq!(written(ping), packet(0xc0, b""));
    let left = |version, end| written(|out| disconnect(out, version, end));
    assert_eq!(left(Version::V5, true), packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0]));
    assert_eq!(left(Version::V5, false), packet(0xe0, b""));
    assert_eq!(left(Version::V311, true), packet(0xe0, b""));
}

#[test]
fn packets_follow_each_other() {
    let mut out = written(ping);
    publish(&mut out, Version::V5, "t", 1, &[7; 200]);
    pub_ack(&mut out, 2);
    assert_eq!(out[..7], [0xc0, 0, 0x32, 0xce, 0x01, 0, 1]);
    assert_eq!(length(&out[2..]), Ok(Some(3 + 206)));
    assert_eq!(out[2 + 209..], [0x40, 2, 0, 2]);
}

#[test]
fn an_answer_tells_what_the_broker_takes() {
    let none = ConnAck {
        resumed: false,
        refused: None,
        receive_maximum: 65_535,
        acknowledges: true,
        packet_bytes: u32::MAX,
        keepalive_s: None,
        subscription_ids: true,
    };
    let answer = |body: &[u8]| {
        decode(&packet(0x20, body)).map(|packet| match packet {
            Packet::ConnAck(answer) => answer,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(answer(&[0, 0, 0]), Ok(none));
    assert_eq!(answer(&[1, 0, 0]), Ok(ConnAck { resumed: true, ..none }));
    assert_eq!(answer(&[0, 0x87, 0]), Ok(ConnAck { refused: Some(Reason(0x87)), ..none }));
    let limits = [0, 0, 13, 0x21, 0, 20, 0x27, 0, 1, 0, 0, 0x13, 0, 60, 0x29, 0];
    let expected =
        ConnAck { receive_maximum: 20, packet_bytes: 65_536, keepalive_s: Some(60), subscription_ids: false, ..none };
    assert_eq!(answer(&limits), Ok(expected));
    assert_eq!(answer(&[0, 0, 2, 0x24, 0]), Ok(ConnAck { acknowledges: false, ..none }), "no QoS 1");
    assert_eq!(answer(&[0, 0, 2, 0x24, 1]), Ok(none));
    let others =
        b"\x11\0\0\0\0\x22\0\0\x25\x01\x28\x01\x29\x01\x2a\x01\x12\0\x01a\x1f\0\x02no\x26\0\x01k\0\x01v\x21\0\x05";
    let body = [&[0, 0, others.len() as u8][..], others].concat();
    assert_eq!(answer(&body), Ok(ConnAck { receive_maximum: 5, ..none }));
    // MQTT 3.1.1 has no properties, and codes of its own.
    assert_eq!(answer(&[1, 0]), Ok(ConnAck { resumed: true, ..none }));
    assert_eq!(answer(&[0, 1]), Ok(ConnAck { refused: Some(Reason::VERSION), ..none }));
    for wrong in [&[0][..], &[0, 0, 1], &[0, 0, 1, 0x21], &[0, 0, 3, 0x77, 0, 0], &[0, 0, 4, 0x12, 0, 9, b'a']] {
        assert_eq!(answer(wrong), Err(Malformed), "{wrong:?}");
    }
}

#[test]
fn properties_that_nobody_looks_at_are_passed_over() {
    let (one, two, four, text) = (&b"\x01"[..], &b"\0\x01"[..], &b"\0\0\0\x01"[..], &b"\0\x02ab"[..]);
    for (properties, value) in [
        (&[0x11, 0x02][..], four),
        (&[0x22, 0x23], two),
        (&[0x01, 0x25, 0x28, 0x2a], one),
        (&[0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f], text),
        (&[0x26], b"\0\x01k\0\x01v"),
    ] {
        for property in properties {
            let properties = [&[1 + value.len() as u8, *property], value].concat();
            let message = packet(0x32, &[b"\0\x01a\0\x01", &properties[..], b"hi"].concat());
            let expected = Publish { payload: b"hi", ..MESSAGE };
            assert_eq!(decode(&message), Ok(Packet::Publish(expected)), "{property:#x}");
        }
    }
}

#[test]
fn messages_are_decoded_with_and_without_a_number() {
    let without = Publish { topic: "a/b", qos: 0, id: 0, payload: b"hi", ..MESSAGE };
    assert_eq!(decode(&packet(0x30, b"\0\x03a/b\0hi")), Ok(Packet::Publish(without)));
    // Repeated, QoS 1, retained, with properties: what the payload is, and two subscriptions.
    let full = packet(0x3b, b"\0\x01a\x12\x34\x06\x01\x01\x0b\x02\x0b\x40hi");
    let expected =
        Publish { id: 0x1234, again: true, retained: true, subscriptions: 1 << 1 | 1 << 63, payload: b"hi", ..MESSAGE };
    assert_eq!(decode(&full), Ok(Packet::Publish(expected)));
    assert_eq!(decode(&packet(0x34, b"\0\x01a\0\x01\0")), Ok(Packet::Publish(Publish { qos: 2, ..MESSAGE })));
    // A number that no subscription of ours has.
    assert_eq!(decode(&packet(0x32, b"\0\x01a\0\x01\x03\x0b\xff\x01")), Ok(Packet::Publish(MESSAGE)));
    let old = super::decode(b"\x32\x05\0\x01a\0\x01", Version::V311);
    assert_eq!(old, Ok(Packet::Publish(MESSAGE)));
    for wrong in [
        &b"\0"[..],
        b"\0\x05a",
        b"\0\x01a",
        b"\0\x01a\0",
        b"\0\x01a\0\x01",
        b"\0\x01a\0\x01\x09",
        b"\0\x01a\0\x01\x01\x0b",
        b"\0\x01a\0\x01\x02\x77\0",
        b"\0\x01\xff\0\x01\0",
    ] {
        assert_eq!(decode(&packet(0x32, wrong)), Err(Malformed), "{wrong:?}");
    }
    assert_eq!(decode(&packet(0x36, b"\0\x01a\0\x01\0")), Err(Malformed), "QoS 3");
}

#[test]
fn acknowledgements_are_decoded_with_and_without_a_reason() {
    let ack = |id, refused| Ok(Packet::PubAck { id, refused });
    assert_eq!(decode(&packet(0x40, &[1, 2])), ack(258, None));
    assert_eq!(decode(&packet(0x40, &[1, 2, 0x10])), ack(258, None), "no subscribers");
    assert_eq!(decode(&packet(0x40, &[1, 2, 0x97, 0])), ack(258, Some(Reason(0x97))));
    assert_eq!(decode(&packet(0x40, &[1])), Err(Malformed));
    let sub = |id, granted| Ok(Packet::SubAck { id, granted });
    assert_eq!(decode(&packet(0x90, &[0, 1, 0, 1])), sub(1, Ok(1)));
    assert_eq!(decode(&packet(0x90, &[0, 2, 4, 0x1f, 0, 1, b'x', 0x87])), sub(2, Err(Reason(0x87))));
    assert_eq!(super::decode(&packet(0x90, &[0, 1, 0x80]), Version::V311), sub(1, Err(Reason(0x80))));
    // One filter has one answer.
    assert_eq!(decode(&packet(0x90, &[0, 1, 0, 1, 1])), Err(Malformed));
    assert_eq!(decode(&packet(0x90, &[0, 1, 0])), Err(Malformed));
    assert_eq!(decode(&packet(0x62, &[0, 7])), Ok(Packet::PubRel { id: 7 }));
    assert_eq!(decode(&packet(0xb0, &[0, 1])), Ok(Packet::UnsubAck));
    assert_eq!(decode(&packet(0xd0, b"")), Ok(Packet::PingResp));
    assert_eq!(decode(&packet(0xe0, &[0x8e])), Ok(Packet::Disconnect(Some(Reason::TAKEN_OVER))));
    assert_eq!(decode(&packet(0xe0, b"")), Ok(Packet::Disconnect(None)));
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
    fn a_message_arrives_as_it_was_sent(
        topic in "[a-z/]{1,40}",
        id in 1u16..,
        payload in prop::collection::vec(any::<u8>(), 0..40_000),
        version in prop::sample::select(&[Version::V311, Version::V5][..]),
    ) {
        let bytes = written(|out| publish(out, version, &topic, id, &payload));
        prop_assert_eq!(length(&bytes), Ok(Some(bytes.len())));
        let expected = Publish { topic: &topic, id, payload: &payload, ..MESSAGE };
        prop_assert_eq!(super::decode(&bytes, version), Ok(Packet::Publish(expected)));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = length(&bytes);
        for version in [Version::V311, Version::V5] {
            let _ = super::decode(&bytes, version);
            for first in 0..=0xff {
                let _ = super::decode(&packet(first, &bytes), version);
            }
        }
    }
}
