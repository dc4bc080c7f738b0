//! How a tenant proves to a node who it is: a document that it signs, good for a short time and for one node.
//!
//! It is sent with each call, as `Authorization: Spore <base64>`, in the same envelope as a command. Nothing has to be
//! kept secret on the node, and nothing is exchanged before: a board behind a slow link needs no session.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::document::{self, DocumentError};
use crate::{Document, Envelope, EnvelopeError, NodeName, PublicKey, SecretKey, Tenant, Timestamp, Version};

/// The payload's type in the envelope.
pub const ACCESS_TYPE: &str = "application/vnd.spore.access+json";
/// The word before it in the header.
pub const SCHEME: &str = "Spore";
/// The longest time for which one is good. A clock that goes wrong by less does no harm.
pub const LONGEST_ACCESS: Duration = Duration::from_secs(3600);

/// What a tenant signs to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The format's version.
    pub version: Version<1>,
    /// Who asks.
    pub tenant: Tenant,
    /// The only node that takes it.
    pub node: NodeName,
    /// What it is good for.
    pub purpose: Purpose,
    /// Until when.
    pub expires: Timestamp,
}

/// What an access is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To see commands, results, logs and events.
    Read,
    /// To stop and remove commands too.
    Manage,
}

impl Document for Access {
    const NAME: &'static str = "access";
    const MOST_BYTES: usize = 1024;
}

/// Why nobody is let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccessRefusal {
    /// The header is no such proof.
    #[error("the header Authorization is not \"{SCHEME}\" and base64")]
    NotAnAccess,
    /// The document cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The tenant is unknown here, or did not sign this: which of the two is not said.
    #[error("tenant \"{0}\" is not known here with the key that has signed this access")]
    NotSigned(Tenant),
    /// The envelope is damaged or holds something else.
    #[error(transparent)]
    Envelope(EnvelopeError),
    /// For another node.
    #[error("the access is for node \"{0}\"")]
    OtherNode(NodeName),
    /// Its time is over.
    #[error("the access expired at {expires}, the node's clock says {now}")]
    Expired {
        /// When.
        expires: Timestamp,
        /// The node's time.
        now: Timestamp,
    },
    /// It would be good for too long.
    #[error(
        "the access expires at {expires}, more than an hour after the node's clock ({now}): sign it for a shorter \
         time, or set the clocks"
    )]
    TooLong {
        /// When.
        expires: Timestamp,
        /// The node's time.
        now: Timestamp,
    },
}

impl Access {
    /// The header's value.
    #[must_use]
    pub fn to_header(&self, key: &SecretKey) -> String {
        let envelope = Envelope::seal(ACCESS_TYPE, &document::encode(self), key);
        format!("{SCHEME} {}", Base64::encode_string(&document::encode(&envelope)))
    }

    /// Reads a header's value, when a key of the tenant that it names has signed it for this node and it is good now.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn from_header(
        header: &str,
        node: &NodeName,
        now: Timestamp,
        keys: impl FnOnce(&Tenant) -> Option<Vec<PublicKey>>,
    ) -> Result<Self, AccessRefusal> {
        let encoded = header.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(' '));
        let encoded = encoded.filter(|text| text.len() <= 4 * Self::MOST_BYTES).ok_or(AccessRefusal::NotAnAccess)?;
        let envelope = Base64::decode_vec(encoded).map_err(|_| AccessRefusal::NotAnAccess)?;
        let envelope: Envelope = document::decode(&envelope)?;
        let payload = envelope.unverified_payload(ACCESS_TYPE).map_err(AccessRefusal::Envelope)?;
        // Not trusted yet: it only says whose keys are to be asked for.
        let tenant = document::decode::<Self>(&payload)?.tenant;
        let Some(keys) = keys(&tenant) else { return Err(AccessRefusal::NotSigned(tenant)) };
        let opened = envelope.open(ACCESS_TYPE, &keys);
        let (payload, _) = opened.map_err(|_| AccessRefusal::NotSigned(tenant))?;
        let access: Self = document::decode(&payload)?;
        if access.node != *node {
            return Err(AccessRefusal::OtherNode(access.node));
        }
        if access.expires <= now {
            return Err(AccessRefusal::Expired { expires: access.expires, now });
        }
        if access.expires > now.after(LONGEST_ACCESS) {
            return Err(AccessRefusal::TooLong { expires: access.expires, now });
        }
        Ok(access)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Access, AccessRefusal, Purpose};
    use crate::{SecretKey, Timestamp, Version};

    fn now() -> Timestamp {
        Timestamp::from_milliseconds(1_800_000_000_000)
    }

    fn access(seconds: u64) -> Access {
        Access {
            version: Version,
            tenant: "acme".parse().unwrap(),
            node: "board".parse().unwrap(),
            purpose: Purpose::Read,
            expires: now().after(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn an_access_lets_in_whom_it_names_at_the_node_it_names_while_it_is_good() {
        let (key, node) = (SecretKey::new(), "board".parse().unwrap());
        let keys = |_: &_| Some(vec![key.public()]);
        let header = access(60).to_header(&key);
        assert_eq!(Access::from_header(&header, &node, now(), keys), Ok(access(60)));
        let refusal =
            |header: &str, now, node: &str| Access::from_header(header, &node.parse().unwrap(), now, keys).unwrap_err();
        assert!(matches!(
            refusal(&header, now().after(Duration::from_secs(60)), "board"),
            AccessRefusal::Expired { .. }
        ));
        assert!(matches!(refusal(&header, now(), "other"), AccessRefusal::OtherNode(_)));
        assert!(matches!(refusal(&access(3601).to_header(&key), now(), "board"), AccessRefusal::TooLong { .. }));
        let forged = access(60).to_header(&SecretKey::new());
        assert!(matches!(refusal(&forged, now(), "board"), AccessRefusal::NotSigned(_)));
        let unknown = Access::from_header(&header, &node, now(), |_| None).unwrap_err();
        assert_eq!(unknown, refusal(&forged, now(), "board"), "who is known here is nobody's business");
    }

    #[test]
    fn what_is_no_access_is_refused() {
        let node = "board".parse().unwrap();
        for header in ["", "Spore", "Spore ", "Spore !", "Basic YTpi", "Spore e30="] {
            assert!(Access::from_header(header, &node, now(), |_| Some(Vec::new())).is_err(), "{header}");
        }
        let long = format!("Spore {}", "A".repeat(10_000));
        assert_eq!(Access::from_header(&long, &node, now(), |_| None), Err(AccessRefusal::NotAnAccess));
    }
}
