//! What a stranger sends to a node: documents, and commands in signed envelopes.

use std::sync::LazyLock;

use protocol::document::{Document, decode, encode};
use protocol::{Command, Envelope, Event, NodeState, Report, SecretKey, SignedCommand};

/// The key of a tenant that signs nothing that comes in.
static KEY: LazyLock<SecretKey> = LazyLock::new(SecretKey::new);

/// Reads the bytes as each document, and as a signed command.
///
/// # Panics
/// A document does not survive being written, or a command is taken that the tenant has not signed.
pub fn run(bytes: &[u8]) {
    survives::<Command>(bytes);
    survives::<Envelope>(bytes);
    survives::<Event>(bytes);
    survives::<NodeState>(bytes);
    survives::<Report>(bytes);
    let opened = SignedCommand::open(bytes, |_| Some(vec![KEY.public()]));
    assert!(opened.is_err(), "a command without the tenant's signature was taken");
    // The same bytes as a payload that the tenant did sign: taken if it is a command, and then the very one.
    if let Ok(signed) = SignedCommand::seal_text(bytes, &KEY) {
        let verified = SignedCommand::open(&signed.to_bytes(), |_| Some(vec![KEY.public()])).expect("the tenant's own");
        assert_eq!(verified.command(), &decode::<Command>(bytes).expect("it was sealed as a command"));
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
