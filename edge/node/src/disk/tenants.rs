//! Who may use this board.

use std::collections::BTreeMap;

use protocol::{Tenant, TenantRecord, document};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::Disk;
use crate::journal::JournalError;

/// Tenants by their names.
const TENANTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tenants");
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
