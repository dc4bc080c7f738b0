//! A tenant's keys: ECDSA on P-256 with SHA-256, in the files that cosign and openssl use.

use std::fmt::{self, Debug, Formatter};

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::elliptic_curve::Generate;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use thiserror::Error;

use crate::Digest;

/// Why text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// A private key with a password.
    #[error(
        "the private key is encrypted: write it without a password (cosign keys: make one with `spore key new` and \
             take it over with `cosign import-key-pair`)"
    )]
    Encrypted,
    /// Neither what was wanted nor something that is known.
    #[error("not {wanted}: {reason}")]
    Malformed {
        /// What was wanted.
        wanted: &'static str,
        /// What the parser said.
        reason: String,
    },
}

/// What a tenant signs with.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl Debug for SecretKey {
    /// Shows the public half only.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SecretKey").field(&self.public()).finish()
    }
}

impl SecretKey {
    /// A new key, from the system's random numbers.
    #[must_use]
    pub fn new() -> Self {
        Self(SigningKey::generate())
    }

    /// Reads a private key in PKCS#8: `-----BEGIN PRIVATE KEY-----`.
    ///
    /// # Errors
    /// It is encrypted, of another kind, or damaged.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|error| KeyError::Malformed {
            wanted: "a private key for P-256 (PEM, PKCS#8: -----BEGIN PRIVATE KEY-----)",
            reason: error.to_string(),
        })
    }

    /// The key as PEM, PKCS#8, not encrypted.
    ///
    /// # Panics
    /// Never: a key that exists can be encoded.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("a key can be encoded").to_string()
    }

    /// What others verify with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.verifying_key())
    }

    /// Signs a message; the same message always gets the same signature. ASN.1 DER, as cosign and openssl write it.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }
}

impl Default for SecretKey {
    fn default() -> Self {
        Self::new()
    }
}

/// What a tenant's signatures are verified with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl Debug for PublicKey {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({})", self.id())
    }
}

impl PublicKey {
    /// Reads a public key: `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// It is of another kind, or damaged.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        VerifyingKey::from_public_key_pem(pem).map(Self).map_err(|error| KeyError::Malformed {
            wanted: "a public key for P-256 (PEM: -----BEGIN PUBLIC KEY-----)",
            reason: error.to_string(),
        })
    }

    /// The key as PEM.
    ///
    /// # Panics
    /// Never: a key that exists can be encoded.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a key can be encoded")
    }

    /// The key's SubjectPublicKeyInfo in DER, the bytes within the PEM.
    ///
    /// # Panics
    /// Never: a key that exists can be encoded.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_public_key_der().expect("a key can be encoded").into_vec()
    }

    /// A name for the key: the SHA-256 of its DER, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        Digest::of(&self.to_der()).hex()
    }

    /// Whether the message was signed with the other half of this key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = self.0.to_sec1_point(false);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyError, PublicKey, SecretKey};

    #[test]
    fn keys_survive_their_files_and_sign_alike_each_time() {
        let key = SecretKey::new();
        let again = SecretKey::from_pem(&key.to_pem()).unwrap();
        let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert_eq!(public, key.public());
        assert_eq!(key.sign(b"message"), again.sign(b"message"));
        assert!(public.verifies(b"message", &again.sign(b"message")));
        assert!(!public.verifies(b"massage", &again.sign(b"message")));
        assert!(!SecretKey::new().public().verifies(b"message", &again.sign(b"message")));
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_was_wanted() {
        let encrypted =
            "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
        assert_eq!(SecretKey::from_pem(encrypted).unwrap_err(), KeyError::Encrypted);
        let public = SecretKey::new().public().to_pem();
        let error = SecretKey::from_pem(&public).unwrap_err().to_string();
        assert!(error.starts_with("not a private key for P-256"), "{error}");
        let error = PublicKey::from_pem("hello").unwrap_err().to_string();
        assert!(error.starts_with("not a public key for P-256"), "{error}");
    }

    #[test]
    fn a_secret_key_does_not_show_itself() {
        let key = SecretKey::new();
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("SecretKey(PublicKey({}))", key.public().id()));
    }
}
