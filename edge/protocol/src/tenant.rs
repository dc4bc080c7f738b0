//! Who may use a board, and how much of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Document, KeyError, PublicKey, Tenant};

/// The most keys of a tenant.
const MOST_KEYS: usize = 8;

/// A tenant as the operator adds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantRecord {
    /// Its name.
    pub tenant: Tenant,
    /// The public keys that it signs with, as PEM.
    #[schemars(length(min = 1, max = 8))]
    pub keys: Vec<String>,
    /// What it may use.
    pub quota: Quota,
}

impl Document for TenantRecord {
    const NAME: &'static str = "tenant";
    const MOST_BYTES: usize = 16 * 1024;
}

/// Why a tenant has no keys to verify with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TenantError {
    /// It could not sign anything, or each signature would cost too much.
    #[error("a tenant has 1 to {MOST_KEYS} keys, not {0}")]
    Keys(usize),
    /// A key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl TenantRecord {
    /// Its keys.
    ///
    /// # Errors
    /// There are too few or too many, or one is none.
    pub fn public_keys(&self) -> Result<Vec<PublicKey>, TenantError> {
        if self.keys.is_empty() || self.keys.len() > MOST_KEYS {
            return Err(TenantError::Keys(self.keys.len()));
        }
        Ok(self.keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<_, _>>()?)
    }
}

/// What a tenant may use at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Guests.
    pub guests: u32,
    /// Memory of all its guests together, in MiB.
    pub memory_mib: u32,
    /// Commands that wait.
    pub queued: u32,
    /// Guests that are started within a minute.
    pub starts_per_minute: u32,
    /// Bytes of results that wait until they are taken.
    pub result_bytes: u64,
    /// Its guests' share of the CPUs.
    pub cpu: Cpu,
}

/// A share of the CPUs, for each guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Xen's weight: of two guests that both want to run, one with twice the weight gets twice the time. 256 is usual.
    #[schemars(range(min = 1))]
    pub weight: u16,
    /// The most that it gets, in percent of one CPU; 0 is no limit.
    pub cap_percent: u16,
}

/// What a tenant uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Guests.
    pub guests: u32,
    /// Memory of all its guests together, in MiB.
    pub memory_mib: u32,
    /// Commands that wait.
    pub queued: u32,
    /// Guests that were started within the last minute.
    pub starts: u32,
    /// Bytes of results that wait until they are taken.
    pub result_bytes: u64,
}
