//! What a node knows, on disk.

use std::path::Path;

use protocol::document;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use thiserror::Error;

use crate::Entry;

/// Entries by their command, as JSON: what is read after an update of the node must say what its fields are.
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");

/// Why the journal cannot be used.
#[derive(Debug, Error)]
#[error("the journal: {0}")]
pub struct JournalError(String);

impl JournalError {
    /// With this reason.
    #[must_use]
    pub fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// Where entries are kept.
pub trait Journal {
    /// All entries.
    ///
    /// # Errors
    /// They cannot be read.
    fn entries(&self) -> Result<Vec<Entry>, JournalError>;

    /// Writes an entry in place of the one of the same command. When this returns it is on disk.
    ///
    /// # Errors
    /// It could not be written; then the old one is still there.
    fn record(&mut self, entry: &Entry) -> Result<(), JournalError>;
}

/// A journal in a file.
#[derive(Debug)]
pub struct Disk(Database);

impl Disk {
    /// Opens a journal, or makes one.
    ///
    /// # Errors
    /// The file is none, is damaged, or is another process's.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let database = Database::create(path).map_err(|error| JournalError(format!("{}: {error}", path.display())))?;
        let transaction = database.begin_write().map_err(JournalError::new)?;
        transaction.open_table(ENTRIES).map_err(JournalError::new)?;
        transaction.commit().map_err(JournalError::new)?;
        Ok(Self(database))
    }
}

impl Journal for Disk {
    fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        let transaction = self.0.begin_read().map_err(JournalError::new)?;
        let table = transaction.open_table(ENTRIES).map_err(JournalError::new)?;
        let entries = table.iter().map_err(JournalError::new)?.map(|row| {
            let (_, value) = row.map_err(JournalError::new)?;
            document::decode(value.value()).map_err(JournalError::new)
        });
        entries.collect()
    }

    fn record(&mut self, entry: &Entry) -> Result<(), JournalError> {
        // A transaction is synced when its commit returns: redb's default.
        let transaction = self.0.begin_write().map_err(JournalError::new)?;
        {
            let mut table = transaction.open_table(ENTRIES).map_err(JournalError::new)?;
            let (key, value) = (entry.key().to_string(), document::encode(entry));
            table.insert(key.as_str(), value.as_slice()).map_err(JournalError::new)?;
        }
        transaction.commit().map_err(JournalError::new)
    }
}
