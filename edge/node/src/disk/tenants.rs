//! Who may use this board.

use std::collections::BTreeMap;

use protocol::{Document, KeyError, PublicKey, Tenant, document};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Disk;
use crate::admission::Quota;
use crate::journal::JournalError;

/// Tenants by their names.
const TENANTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tenants");
/// The most keys of a tenant.
const MOST_KEYS: usize = 8;

/// A tenant as the operator has added it.
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

/// Why a tenant is not added.
#[derive(Debug, Error)]
pub enum TenantError {
    /// It could not sign anything.
    #[error("a tenant has 1 to {MOST_KEYS} keys, not {0}")]
    Keys(usize),
    /// A key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
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

pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(TENANTS)?;
    Ok(())
}

impl Disk {
    /// All tenants.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn tenants(&self) -> Result<BTreeMap<Tenant, TenantRecord>, JournalError> {
        self.read(|transaction| {
            let mut tenants = BTreeMap::new();
            for row in transaction.open_table(TENANTS)?.iter()? {
                let (_, value) = row?;
                let record: TenantRecord =
                    document::decode(value.value()).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                tenants.insert(record.tenant.clone(), record);
            }
            Ok(tenants)
        })
    }

    /// Adds a tenant, or changes one.
    ///
    /// # Errors
    /// It could not be written.
    pub fn put_tenant(&mut self, record: &TenantRecord) -> Result<(), JournalError> {
        self.write(|transaction| {
            transaction.open_table(TENANTS)?.insert(record.tenant.as_str(), document::encode(record).as_slice())?;
            Ok(())
        })
    }

    /// Removes a tenant.
    ///
    /// # Errors
    /// It could not be written.
    pub fn remove_tenant(&mut self, tenant: &Tenant) -> Result<(), JournalError> {
        self.write(|transaction| {
            transaction.open_table(TENANTS)?.remove(tenant.as_str())?;
            Ok(())
        })
    }
}
