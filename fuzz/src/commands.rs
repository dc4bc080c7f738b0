//! What a stranger sends to a node: documents, commands in signed envelopes, and accesses.

use std::sync::LazyLock;

use protocol::document::{Document, decode, encode};
use protocol::{
    Access, Command, Envelope, Event, NodeState, Report, SecretKey, SignedCommand, TenantRecord, Timestamp,
};

/// The key of a tenant that signs nothing that comes in.
static KEY: LazyLock<SecretKey> = LazyLock::new(SecretKey::new);

/// Reads the bytes as each document, as a signed command, and as a header that lets someone in.
///
/// # Panics
/// A document does not survive being written, or a command or an access is taken that the tenant has not signed.
pub fn run(bytes: &[u8]) {
    survives::<Command>(bytes);
    survives::<Envelope>(bytes);
    survives::<Event>(bytes);
    survives::<NodeState>(bytes);
    survives::<Report>(bytes);
    survives::<TenantRecord>(bytes);
    survives::<Access>(bytes);
    let_in(bytes);
    let opened = SignedCommand::open(bytes, |_| Some(vec![KEY.public()]));
    assert!(opened.is_err(), "a command without the tenant's signature was taken");
    // The same bytes as a payload that the tenant did sign: taken if it is a command, and then the very one.
    if let Ok(signed) = SignedCommand::seal_text(bytes, &KEY) {
        let verified = SignedCommand::open(&signed.to_bytes(), |_| Some(vec![KEY.public()])).expect("the tenant's own");
        assert_eq!(verified.command(), &decode::<Command>(bytes).expect("it was sealed as a command"));
    }
}

/// Reads the bytes as the header of a call, and as the envelope in one.
fn let_in(bytes: &[u8]) {
    let (node, now) = ("board".parse().expect("a name"), Timestamp::from_milliseconds(0));
    let encoded = <base64ct::Base64 as base64ct::Encoding>::encode_string(bytes);
    for header in [String::from_utf8_lossy(bytes).into_owned(), format!("Spore {encoded}")] {
        let opened = Access::from_header(&header, &node, now, |_| Some(vec![KEY.public()]));
        assert!(opened.is_err(), "an access without the tenant's signature was taken");
    }
}

fn survives<D: Document>(bytes: &[u8]) {
    match decode::<D>(bytes) {
        Ok(document) => {
            let written = encode(&document);
            let again = decode::<D>(&written).expect("what was written is read");
            assert_eq!(encode(&again), written, "equal documents are equal bytes");
        }
        Err(error) => drop(error.to_string()),
    }
}
