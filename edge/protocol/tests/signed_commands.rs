//! A command is taken from its tenant, and from nobody else, whatever was done to it on the way.

use std::str;

use protocol::document::{decode, encode};
use protocol::{Command, CommandRefusal, Digest, Envelope, PublicKey, SecretKey, SignedCommand, Tenant};
use serde_json::json;

fn text(tenant: &str) -> String {
    let task = json!({ "digest": Digest::of(b"").to_string() });
    let issued = "2026-11-30T12:00:00Z";
    json!({ "version": 1, "tenant": tenant, "id": "one", "issued": issued, "task": task, "memory": { "mib": 4 } })
        .to_string()
}

fn sealed(tenant: &str, key: &SecretKey) -> Vec<u8> {
    SignedCommand::seal_text(text(tenant).as_bytes(), key).unwrap().to_bytes()
}

/// A node that knows the tenant "acme" with one key.
fn knows_acme(key: &SecretKey) -> impl Fn(&Tenant) -> Option<Vec<PublicKey>> {
    let key = key.public();
    move |tenant| (tenant.as_str() == "acme").then(|| vec![key.clone()])
}

#[test]
fn a_tenants_command_is_opened_with_the_digest_of_what_was_signed() {
    let key = SecretKey::new();
    let verified = SignedCommand::open(&sealed("acme", &key), knows_acme(&key)).unwrap();
    assert_eq!(verified.command().id.as_str(), "one");
    assert_eq!(verified.digest(), Digest::of(text("acme").as_bytes()));
    let typed = SignedCommand::seal(verified.command(), &key).to_bytes();
    assert_eq!(SignedCommand::open(&typed, knows_acme(&key)).unwrap().command(), verified.command());
}

#[test]
fn another_tenants_key_opens_nothing() {
    let (acme, other) = (SecretKey::new(), SecretKey::new());
    let error = SignedCommand::open(&sealed("acme", &other), knows_acme(&acme)).unwrap_err().to_string();
    let id = acme.public().id();
    assert_eq!(
        error,
        format!("command \"one\" of tenant \"acme\": none of the envelope's signatures is by the key {id}")
    );
    let error = SignedCommand::open(&sealed("stranger", &other), knows_acme(&acme)).unwrap_err();
    assert!(matches!(error, CommandRefusal::UnknownTenant { .. }), "{error}");
}

#[test]
fn the_signature_survives_every_form_of_the_envelope() {
    let key = SecretKey::new();
    let loose: serde_json::Value = serde_json::from_slice(&sealed("acme", &key)).unwrap();
    let pretty = serde_json::to_vec_pretty(&loose).unwrap();
    assert!(SignedCommand::open(&pretty, knows_acme(&key)).is_ok());
}

#[test]
fn no_changed_byte_of_the_payload_is_taken() {
    let key = SecretKey::new();
    let envelope: Envelope = decode(&sealed("acme", &key)).unwrap();
    for position in 0..envelope.payload.len() {
        let mut payload = envelope.payload.clone().into_bytes();
        payload[position] = if payload[position] == b'A' { b'B' } else { b'A' };
        let payload = str::from_utf8(&payload).unwrap().to_owned();
        let changed = encode(&Envelope { payload, ..envelope.clone() });
        assert!(SignedCommand::open(&changed, knows_acme(&key)).is_err(), "byte {position}");
    }
}

#[test]
fn only_a_command_is_sealed() {
    let error = SignedCommand::seal_text(br#"{"version":1}"#, &SecretKey::new()).unwrap_err().to_string();
    assert!(error.contains("missing field `tenant`"), "{error}");
    assert!(decode::<Command>(text("acme").as_bytes()).is_ok());
}
