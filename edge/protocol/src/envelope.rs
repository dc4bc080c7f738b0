//! Signed bytes: DSSE, "Dead Simple Signing Envelope" 1.0.
//!
//! What is signed is the payload exactly as it is in the envelope, and its type, so the payload needs no canonical
//! form, no JSON library in between can break a signature, and a signature for one kind of document is none for
//! another. The alternatives were weighed: canonical JSON (RFC 8785) makes the signature depend on how every program
//! in every language writes numbers and sorts UTF-16; a canonical binary form (CBOR, postcard) cannot be read or
//! written by people and their tools. in-toto and cosign use the same envelope.
//!
//! Source: <https://github.com/secure-systems-lab/dsse>, protocol.md and envelope.md.

use base64ct::{Base64, Encoding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Document, PublicKey, SecretKey};

/// The most signatures that are looked at: each costs a verification for each key.
pub const MOST_SIGNATURES: usize = 8;

/// A payload with signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// The payload in base64.
    pub payload: String,
    /// What the payload is: a media type.
    pub payload_type: String,
    /// Signatures over payload and type.
    pub signatures: Vec<EnvelopeSignature>,
}

impl Document for Envelope {
    const NAME: &'static str = "signed envelope";
    // Base64 adds a third to the largest command.
    const MOST_BYTES: usize = 96 * 1024;
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// A hint which key it is by; not trusted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keyid: String,
    /// The signature, ASN.1 DER, in base64.
    pub sig: String,
}

/// Why an envelope's payload is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// It holds something else.
    #[error("the envelope holds \"{}\", not \"{wanted}\"", found.escape_debug())]
    OtherType {
        /// What it says it holds.
        found: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// It cannot be unpacked.
    #[error("the envelope's payload is not base64")]
    NotBase64,
    /// It has none.
    #[error("the envelope has no signature")]
    NotSigned,
    /// It has more than anyone needs.
    #[error("the envelope has {0} signatures, more than the {MOST_SIGNATURES} that are looked at")]
    TooManySignatures(usize),
    /// None of the keys has signed it.
    #[error("none of the envelope's signatures is by {}", keys(known))]
    WrongKey {
        /// The ids of the keys that were tried.
        known: Vec<String>,
    },
}

fn keys(ids: &[String]) -> String {
    match ids {
        [] => "a known key: no key is known".to_owned(),
        [one] => format!("the key {one}"),
        many => format!("one of the keys {}", many.join(", ")),
    }
}

impl Envelope {
    /// Puts a payload into an envelope and signs it.
    #[must_use]
    pub fn seal(payload_type: &str, payload: &[u8], key: &SecretKey) -> Self {
        let signature = key.sign(&signed_bytes(payload_type, payload));
        Self {
            payload: Base64::encode_string(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![EnvelopeSignature { keyid: key.public().id(), sig: Base64::encode_string(&signature) }],
        }
    }

    /// The payload, whoever signed it: good for asking whose keys to verify it with, and for nothing else.
    ///
    /// # Errors
    /// It is of another type, or not base64.
    pub fn unverified_payload(&self, wanted: &'static str) -> Result<Vec<u8>, EnvelopeError> {
        if self.payload_type != wanted {
            return Err(EnvelopeError::OtherType { found: self.payload_type.chars().take(80).collect(), wanted });
        }
        Base64::decode_vec(&self.payload).map_err(|_| EnvelopeError::NotBase64)
    }

    /// The payload, when one of these keys has signed it, and which.
    ///
    /// # Errors
    /// It is of another type, damaged, or not signed by any of the keys.
    pub fn open<'k>(
        &self,
        wanted: &'static str,
        keys: &'k [PublicKey],
    ) -> Result<(Vec<u8>, &'k PublicKey), EnvelopeError> {
        let payload = self.unverified_payload(wanted)?;
        match self.signatures.len() {
            0 => return Err(EnvelopeError::NotSigned),
            many if many > MOST_SIGNATURES => return Err(EnvelopeError::TooManySignatures(many)),
            _ => {}
        }
        let message = signed_bytes(&self.payload_type, &payload);
        let decoded = self.signatures.iter().filter_map(|signature| Base64::decode_vec(&signature.sig).ok());
        let signatures: Vec<_> = decoded.collect();
        let has_signed = |key: &&PublicKey| signatures.iter().any(|signature| key.verifies(&message, signature));
        if let Some(key) = keys.iter().find(has_signed) {
            return Ok((payload, key));
        }
        Err(EnvelopeError::WrongKey { known: keys.iter().map(PublicKey::id).collect() })
    }
}

/// The bytes that are signed, DSSE's "pre-authentication encoding".
fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Envelope, EnvelopeError, EnvelopeSignature, signed_bytes};
    use crate::SecretKey;

    const KIND: &str = "application/vnd.test";

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        // protocol.md's own example.
        let bytes = signed_bytes("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_payload_comes_back_only_with_its_type_and_a_key_that_signed_it() {
        let (key, other) = (SecretKey::new(), SecretKey::new());
        let envelope = Envelope::seal(KIND, b"payload", &key);
        let keys = [other.public(), key.public()];
        assert_eq!(envelope.open(KIND, &keys).unwrap(), (b"payload".to_vec(), &keys[1]));
        let error = envelope.open(KIND, &[other.public()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("none of the envelope's signatures is by the key {}", other.public().id())
        );
        let error = envelope.open("application/vnd.other", &[key.public()]).unwrap_err().to_string();
        assert_eq!(error, "the envelope holds \"application/vnd.test\", not \"application/vnd.other\"");
        let renamed = Envelope { payload_type: "application/vnd.other".to_owned(), ..envelope };
        assert!(matches!(renamed.open("application/vnd.other", &[key.public()]), Err(EnvelopeError::WrongKey { .. })));
    }

    #[test]
    fn no_signature_and_too_many_are_refused() {
        let key = SecretKey::new();
        let sealed = Envelope::seal(KIND, b"payload", &key);
        let unsigned = Envelope { signatures: Vec::new(), ..sealed.clone() };
        assert_eq!(unsigned.open(KIND, &[key.public()]), Err(EnvelopeError::NotSigned));
        let signature = EnvelopeSignature { keyid: String::new(), sig: String::new() };
        let many = Envelope { signatures: vec![signature; 9], ..sealed };
        assert_eq!(many.open(KIND, &[key.public()]), Err(EnvelopeError::TooManySignatures(9)));
    }
}
