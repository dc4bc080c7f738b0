//! Names that are safe wherever they end up: in a path, in xenstore, in a guest's name, in Kubernetes.
//!
//! Each is a type of its own, so that a tenant is never taken for a command, and each can only be made from text that
//! keeps its rule. None can be empty, contain `..`, begin with a slash, or hold anything but plain ASCII.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Text that is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{}\" is not {kind}: {rule}", text.escape_debug())]
pub struct NameError {
    /// The text, shortened.
    pub text: String,
    /// What it was to be.
    pub kind: &'static str,
    /// What such a name looks like.
    pub rule: &'static str,
}

/// A newtype around text that keeps a rule.
macro_rules! name {
    (
        $(#[$documentation:meta])*
        $name:ident, $kind:literal, $keeps_rule:expr, $most_characters:literal, $pattern:expr, $rule:expr
    ) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let keeps_rule: fn(&str) -> bool = $keeps_rule;
                if !text.is_empty() && text.len() <= $most_characters && keeps_rule(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(NameError { text: text.chars().take(80).collect(), kind: $kind, rule: $rule })
            }
        }

        impl Display for $name {
            fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $rule,
                    "maxLength": $most_characters,
                    "pattern": $pattern,
                })
            }
        }
    };
}

/// A label of RFC 1123 as a regular expression, and in words.
const LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const LABEL_RULE: &str = "1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit";

name! {
    /// Who owns a command, a task and its results. A label of RFC 1123, as Kubernetes wants of a namespace.
    Tenant, "the name of a tenant", is_label, 63, LABEL_PATTERN, LABEL_RULE
}

name! {
    /// A command's name among those of its tenant. The tenant chooses it; the same one twice is one command.
    CommandId, "the id of a command", is_label, 63, LABEL_PATTERN, LABEL_RULE
}

name! {
    /// A task's name.
    TaskName, "the name of a task", is_label, 63, LABEL_PATTERN, LABEL_RULE
}

name! {
    /// A board's name: dots are allowed, as Kubernetes wants of a node.
    NodeName, "the name of a node", is_subdomain, 253,
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "labels of a-z, 0-9 and - with dots between, at most 253 characters"
}

name! {
    /// The name of a task's parameter: that of a field of a Rust struct.
    ParameterName, "the name of a parameter", is_identifier, 63, "^[a-z_][a-z0-9_]*$",
    "1 to 63 of a-z, 0-9 and _, not beginning with a digit"
}

name! {
    /// Sensors by their names, in which `*` stands for any text: `roof/*/temperature`.
    SensorPattern, "a pattern for sensors' names", is_pattern, 255, "^[-A-Za-z0-9._:*]+(/[-A-Za-z0-9._:*]+)*$",
    "1 to 255 of letters, digits and -._:* in parts with / between"
}

name! {
    /// Where a task's artifact lies in a registry: `host[:port]/path`, without tag and digest.
    Repository, "a repository", is_repository, 255, "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$",
    "host[:port]/path such as registry.example/tenant/task, the path in lower case, without tag or digest"
}

fn is_lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// A label of RFC 1123 in lower case.
fn is_label(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= 63
        && ends.into_iter().all(|end| end.is_some_and(is_lower_or_digit))
        && text.bytes().all(|byte| is_lower_or_digit(byte) || byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|byte| is_lower_or_digit(byte) || byte == b'_') && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn is_pattern(text: &str) -> bool {
    let in_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:*".contains(&byte);
    text.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.bytes().all(in_part))
}

fn is_repository(text: &str) -> bool {
    let Some((host, path)) = text.split_once('/') else { return false };
    let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
    let host_is_one =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let port_is_one =
        port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    // The distribution specification: parts of letters and digits, single separators (or __, or dashes) within.
    let part_is_one = |part: &str| {
        let pieces = part.split(['.', '_', '-']);
        let ends = [part.bytes().next(), part.bytes().next_back()];
        ends.into_iter().all(|end| end.is_some_and(is_lower_or_digit))
            && pieces.into_iter().all(|piece| piece.bytes().all(is_lower_or_digit))
            && !part.contains("..")
    };
    host_is_one && port_is_one && path.split('/').all(part_is_one)
}

/// Content by its SHA-256: `sha256:` and 64 lower-case hexadecimal digits, as OCI writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// What a hash function has put out.
    #[must_use]
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 digits without `sha256:`, good as a file's name.
    #[must_use]
    pub fn hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }
}

impl Display for Digest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parse = || {
            let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64)?;
            let mut hash = [0; 32];
            base16ct::lower::decode(hex, &mut hash).ok()?;
            Some(Self(hash))
        };
        parse().ok_or_else(|| NameError {
            text: text.chars().take(80).collect(),
            kind: "a digest",
            rule: "sha256: and 64 of 0-9 and a-f",
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandId, Digest, NodeName, ParameterName, Repository, SensorPattern, Tenant};

    #[test]
    fn names_that_could_leave_their_place_are_refused_and_named() {
        let long = "a".repeat(64);
        for text in ["", ".", "..", "../x", "a/b", "/etc", "a\0b", "a b", "A", "ä", "-a", "a-", "a.b", "a\n", &long] {
            let error = text.parse::<Tenant>().unwrap_err().to_string();
            assert!(error.contains("is not the name of a tenant: 1 to 63 of a-z"), "{text:?}: {error}");
            assert!(text.parse::<CommandId>().is_err(), "{text:?}");
        }
        for text in ["a", "0", "a-b-0", &"a".repeat(63)] {
            assert_eq!(text.parse::<Tenant>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let error = "a\u{1b}[2J".parse::<Tenant>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    #[test]
    fn nodes_parameters_and_patterns_keep_their_rules() {
        assert!("board-1.example".parse::<NodeName>().is_ok());
        assert!("board..example".parse::<NodeName>().is_err());
        assert!("max_age".parse::<ParameterName>().is_ok());
        assert!("1st".parse::<ParameterName>().is_err());
        assert!("roof/*/temp:1".parse::<SensorPattern>().is_ok());
        for text in ["/roof", "roof/", "roof//x", "a/../b", "a b"] {
            assert!(text.parse::<SensorPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn repositories_have_a_host_and_a_path_in_lower_case() {
        for text in ["r.example/a", "localhost:5000/tenant/task", "127.0.0.1:5000/a/b-c_d.e", "h/a__b", "h/a--b"] {
            assert!(text.parse::<Repository>().is_ok(), "{text}");
        }
        for text in [
            "a",
            "/a",
            "h/",
            "h/a/",
            "h/A",
            "h/a:tag",
            "h/a@sha256:0",
            "h:x/a",
            "h:70000/a",
            "h/../a",
            "h/a..b",
            "h/a/-",
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_digest_is_that_of_sha_256_in_lower_case() {
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        for wrong in [&text[..70], &text.to_uppercase(), &text.replace("sha256", "sha512"), &format!("{text}0")] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
