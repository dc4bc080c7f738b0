//! The journal in a file.
//!
//! Entries that have not ended are few and are read at the start; ended ones may be thousands and stay on disk. An
//! entry, the event that tells of it, and all counts change in one transaction, so numbers have no gap and no double
//! whenever the power goes. Values are JSON: what is read after an update of the node must say what its fields are.

mod ended;
mod events;
mod tenants;

use std::path::{Path, PathBuf};

use protocol::{Timestamp, document};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::journal::{Journal, JournalError};
use crate::{Entry, Key, Saved};

pub use ended::{Bounds, FORGOTTEN};
pub use events::Missed;

/// Entries that have not ended, by their command.
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
/// What the tasks of commands that have not ended have saved, by their command.
const SAVED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("saved");
/// Numbers by their names.
const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
/// The count of all commands.
const COMMANDS: &str = "commands";
/// The most memory that the database keeps of its file: what is read again and again are a few pages.
const CACHE_BYTES: usize = 512 * 1024;

/// A journal in a file.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// None after a write that failed and a file that could not be opened again since: the disk is full, for example.
    database: Option<Database>,
    bounds: Bounds,
}

/// For `?` on what redb says.
impl From<redb::Error> for JournalError {
    fn from(error: redb::Error) -> Self {
        Self::new(error)
    }
}

impl Disk {
    /// Opens a journal that keeps so much, or makes one.
    ///
    /// # Errors
    /// The file is none, is damaged, or is another process's.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, JournalError> {
        let database = Some(open(path)?);
        let mut disk = Self { path: path.to_owned(), database, bounds };
        disk.write(|transaction| {
            transaction.open_table(ENTRIES)?;
            transaction.open_table(SAVED)?;
            transaction.open_table(COUNTS)?;
            ended::make(transaction)?;
            events::make(transaction)?;
            tenants::make(transaction)
        })?;
        Ok(disk)
    }

    fn database(&self) -> Result<&Database, JournalError> {
        let closed = || JournalError::new(format!("{} could not be opened again", self.path.display()));
        self.database.as_ref().ok_or_else(closed)
    }

    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, JournalError> {
        let transaction = self.database()?.begin_read().map_err(redb::Error::from)?;
        Ok(read(&transaction)?)
    }

    /// Changes something; all of it is on disk when this returns, or nothing.
    fn write<T>(&mut self, write: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, JournalError> {
        if self.database.is_none() {
            self.database = Some(open(&self.path)?);
        }
        let written = self.try_write(write);
        if written.is_err() {
            // After a failure the database refuses all work until it is opened anew, from what was on disk before.
            self.database = None;
            self.database = open(&self.path).ok();
        }
        written
    }

    fn try_write<T>(&self, write: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, JournalError> {
        // A transaction is synced when its commit returns: redb's default.
        let transaction = self.database()?.begin_write().map_err(redb::Error::from)?;
        let value = write(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(value)
    }

    /// A count; 0 when nothing was counted yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn count(&self, name: &str) -> Result<u64, JournalError> {
        self.read(|transaction| Ok(transaction.open_table(COUNTS)?.get(name)?.map_or(0, |count| count.value())))
    }
}

fn open(path: &Path) -> Result<Database, JournalError> {
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create(path);
    opened.map_err(|error| JournalError::new(format!("{}: {error}", path.display())))
}

/// Counts one more; the new count.
fn count_up(transaction: &WriteTransaction, name: &str) -> Result<u64, redb::Error> {
    let mut counts = transaction.open_table(COUNTS)?;
    let count = counts.get(name)?.map_or(0, |count| count.value()) + 1;
    counts.insert(name, count)?;
    Ok(count)
}

impl Journal for Disk {
    fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        let transaction = self.database()?.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(ENTRIES).map_err(redb::Error::from)?;
        let rows = table.iter().map_err(redb::Error::from)?;
        let entries = rows.map(|row| {
            let (_, value) = row.map_err(redb::Error::from)?;
            document::decode(value.value()).map_err(JournalError::new)
        });
        let mut entries: Vec<Entry> = entries.collect::<Result<_, JournalError>>()?;
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }

    fn ended(&self, key: &Key) -> Result<Option<Entry>, JournalError> {
        self.find_ended(key)
    }

    fn next_number(&self) -> Result<u64, JournalError> {
        self.count(COMMANDS)
    }

    fn record(&mut self, entry: &Entry, saved: Option<&Saved>, now: Timestamp) -> Result<(), JournalError> {
        let (key, value, bounds) = (entry.key().to_string(), document::encode(entry), self.bounds);
        self.write(|transaction| {
            let mut entries = transaction.open_table(ENTRIES)?;
            if saved.is_some() || entry.state.phase().is_end() {
                put_saved(transaction, &key, saved)?;
            }
            if entry.state.phase().is_end() {
                entries.remove(key.as_str())?;
                ended::add(transaction, &key, &value)?;
                bounds.keep(transaction)?;
            } else {
                entries.insert(key.as_str(), value.as_slice())?;
            }
            let mut counts = transaction.open_table(COUNTS)?;
            let count = counts.get(COMMANDS)?.map_or(0, |count| count.value());
            counts.insert(COMMANDS, count.max(entry.number + 1))?;
            drop(counts);
            events::add(transaction, entry, now)
        })
    }

    fn saved(&self, key: &Key) -> Result<Option<Saved>, JournalError> {
        let key = key.to_string();
        let value = self.read(|transaction| {
            Ok(transaction.open_table(SAVED)?.get(key.as_str())?.map(|value| value.value().to_vec()))
        })?;
        value.map(|value| document::decode(&value).map_err(JournalError::new)).transpose()
    }

    fn save(&mut self, key: &Key, saved: Option<&Saved>) -> Result<(), JournalError> {
        self.write(|transaction| put_saved(transaction, &key.to_string(), saved))
    }
}

/// Writes what a command's task has saved, or removes what it had saved.
fn put_saved(transaction: &WriteTransaction, key: &str, saved: Option<&Saved>) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(SAVED)?;
    match saved {
        Some(saved) => drop(table.insert(key, document::encode(saved).as_slice())?),
        None => drop(table.remove(key)?),
    }
    Ok(())
}
