//! What `collect` says to brokers that say what they should.

use collect::Parameters;
use testing::{Guest, Peer};

/// A broker lets the client in, in MQTT 5; and takes its one subscription.
const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];
const SUBSCRIBED: &[u8] = &[0x90, 4, 0, 1, 0, 1];
/// A message with QoS 1 and the number 5, which has one reading of 2023.
const MESSAGE: &[u8] = b"\x32\x28\0\x09sensors/a\0\x05\0[{\"n\":\"a\",\"t\":1700000000}]";

/// The first bytes of packets, which say what they are.
const CONNECT: u8 = 0x10;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;

/// The first bytes of the packets that a broker has heard. All are shorter than 128 bytes.
fn heard(broker: &Peer) -> Vec<u8> {
    let heard = broker.heard();
    let (mut rest, mut kinds) = (&heard[..], Vec::new());
    while let [kind, length @ ..0x80, after @ ..] = rest {
        kinds.push(*kind);
        rest = &after[usize::from(*length)..];
    }
    assert!(rest.is_empty(), "{heard:?}");
    kinds
}

#[test]
fn it_greets_both_brokers_subscribes_once_and_acknowledges_what_it_takes() {
    let guest = Guest::new();
    let [source, cloud] = [1, 2].map(|port| guest.server(port));
    source.say(&[WELCOME, SUBSCRIBED, MESSAGE].concat());
    cloud.say(WELCOME);
    let parameters = Parameters {
        source: "10.0.0.1:1".to_owned(),
        cloud: "10.0.0.1:2".to_owned(),
        topics: vec!["sensors/+".to_owned()],
        ..Parameters::default()
    };
    assert!(guest.run(collect::run(parameters, &guest), |_| {}).is_none(), "it waits for more");
    assert_eq!(heard(&source), [CONNECT, SUBSCRIBE, PUBACK]);
    assert_eq!(heard(&cloud), [CONNECT]);
}
