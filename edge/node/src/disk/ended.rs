//! Commands that have ended: kept until they were taken, and then for as long as there is room.

use protocol::{Failure, State, Tenant, Timestamp, document};
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::{COUNTS, Disk, count_up};
use crate::journal::JournalError;
use crate::{Entry, Key};

/// Entries in the order of their ends.
const ENDED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("ended");
/// Where a command's entry is among them.
const BY_KEY: TableDefinition<'_, &str, u64> = TableDefinition::new("ended by key");
/// Those whose result was taken.
const TAKEN: TableDefinition<'_, u64, ()> = TableDefinition::new("taken");
/// Counts entries that have ended.
const ENDS: &str = "ends";
/// Counts the bytes of entries that have ended and are kept.
const BYTES: &str = "ended bytes";
/// Counts entries that were forgotten because others needed their room.
pub const FORGOTTEN: &str = "forgotten";

/// How many ended commands are kept. Those whose result nobody has taken are kept beyond it: tenants' quotas bound
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Commands.
    pub commands: u64,
    /// Bytes of their entries.
    pub bytes: u64,
}

pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(ENDED)?;
    transaction.open_table(BY_KEY)?;
    transaction.open_table(TAKEN)?;
    Ok(())
}

/// The count of a tenant's last command that is not remembered any more, by the time at which it was signed.
fn forgotten_until(tenant: &str) -> String {
    format!("forgotten until/{tenant}")
}

pub(super) fn add(transaction: &WriteTransaction, key: &str, value: &[u8]) -> Result<(), redb::Error> {
    let number = count_up(transaction, ENDS)?;
    transaction.open_table(ENDED)?.insert(number, value)?;
    transaction.open_table(BY_KEY)?.insert(key, number)?;
    add_bytes(transaction, value.len() as u64, 0)
}

fn add_bytes(transaction: &WriteTransaction, more: u64, less: u64) -> Result<(), redb::Error> {
    let mut counts = transaction.open_table(COUNTS)?;
    let bytes = counts.get(BYTES)?.map_or(0, |bytes| bytes.value());
    counts.insert(BYTES, (bytes + more).saturating_sub(less))?;
    Ok(())
}

impl Bounds {
    /// Forgets the oldest of those that were taken while there are too many.
    pub(super) fn keep(self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        loop {
            let commands = transaction.open_table(ENDED)?.len()?;
            let bytes = transaction.open_table(COUNTS)?.get(BYTES)?.map_or(0, |bytes| bytes.value());
            if commands <= self.commands && bytes <= self.bytes {
                return Ok(());
            }
            let Some(number) = transaction.open_table(TAKEN)?.pop_first()?.map(|(number, _)| number.value()) else {
                return Ok(());
            };
            forget(transaction, number)?;
        }
    }
}

fn forget(transaction: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    let Some(value) = transaction.open_table(ENDED)?.remove(number)?.map(|value| value.value().to_vec()) else {
        return Ok(());
    };
    add_bytes(transaction, 0, value.len() as u64)?;
    count_up(transaction, FORGOTTEN)?;
    let entry: Entry = document::decode(&value).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
    transaction.open_table(BY_KEY)?.remove(entry.key().to_string().as_str())?;
    // A signed command that comes once more after it was forgotten must not run once more.
    let name = forgotten_until(entry.command.tenant.as_str());
    let mut counts = transaction.open_table(COUNTS)?;
    let until = counts.get(name.as_str())?.map_or(0, |until| until.value());
    counts.insert(name.as_str(), until.max(entry.command.issued.milliseconds()))?;
    Ok(())
}

impl Disk {
    /// An entry that has ended.
    pub(super) fn find_ended(&self, key: &Key) -> Result<Option<Entry>, JournalError> {
        let value = self.read(|transaction| {
            let number = transaction.open_table(BY_KEY)?.get(key.to_string().as_str())?.map(|number| number.value());
            let Some(number) = number else { return Ok(None) };
            Ok(transaction.open_table(ENDED)?.get(number)?.map(|value| value.value().to_vec()))
        })?;
        value.map(|value| document::decode(&value).map_err(JournalError::new)).transpose()
    }

    /// Entries that have ended, the last one first, that a reader wants; at most so many.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn last_ended(&self, most: usize, wants: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        self.read(|transaction| {
            for row in transaction.open_table(ENDED)?.iter()?.rev() {
                if entries.len() >= most {
                    break;
                }
                let (_, value) = row?;
                entries.push(decode(value.value())?);
                if entries.last().is_some_and(|entry| !wants(entry)) {
                    entries.pop();
                }
            }
            Ok(())
        })?;
        Ok(entries)
    }

    /// Each entry that has ended and whose result was not taken yet.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn each_not_taken(&self, mut each: impl FnMut(Entry)) -> Result<(), JournalError> {
        self.read(|transaction| {
            let taken = transaction.open_table(TAKEN)?;
            for row in transaction.open_table(ENDED)?.iter()? {
                let (number, value) = row?;
                if taken.get(number.value())?.is_none() {
                    each(decode(value.value())?);
                }
            }
            Ok(())
        })
    }

    /// Whether a command's result was taken.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_taken(&self, key: &Key) -> Result<bool, JournalError> {
        self.read(|transaction| {
            let number = transaction.open_table(BY_KEY)?.get(key.to_string().as_str())?.map(|number| number.value());
            let Some(number) = number else { return Ok(false) };
            Ok(transaction.open_table(TAKEN)?.get(number)?.is_some())
        })
    }

    /// Says that a command's result was taken: its entry may go when others need the room. Whether that is new.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn take(&mut self, key: &Key) -> Result<bool, JournalError> {
        if self.is_taken(key)? {
            return Ok(false);
        }
        let bounds = self.bounds;
        self.write(|transaction| {
            let by_key = transaction.open_table(BY_KEY)?;
            let Some(number) = by_key.get(key.to_string().as_str())?.map(|number| number.value()) else {
                return Ok(false);
            };
            drop(by_key);
            transaction.open_table(TAKEN)?.insert(number, ())?;
            bounds.keep(transaction)?;
            Ok(true)
        })
    }

    /// Removes what a command has left. Its name stays taken until it is forgotten.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn strip(&mut self, key: &Key) -> Result<(), JournalError> {
        let Some(mut entry) = self.find_ended(key)? else { return Ok(()) };
        entry.result = None;
        entry.console = Vec::new();
        entry.prepared = None;
        entry.removed = true;
        if let State::Failed(Failure::Crashed { console, .. }) = &mut entry.state {
            console.clear();
        }
        let value = document::encode(&entry);
        self.write(|transaction| {
            let by_key = transaction.open_table(BY_KEY)?;
            let Some(number) = by_key.get(key.to_string().as_str())?.map(|number| number.value()) else {
                return Ok(());
            };
            let old =
                transaction.open_table(ENDED)?.insert(number, value.as_slice())?.map_or(0, |old| old.value().len());
            add_bytes(transaction, value.len() as u64, old as u64)?;
            transaction.open_table(TAKEN)?.insert(number, ())?;
            Ok(())
        })
    }

    /// When the newest of a tenant's commands was signed that is not remembered any more.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn forgotten_until(&self, tenant: &Tenant) -> Result<Option<Timestamp>, JournalError> {
        let until = self.count(&forgotten_until(tenant.as_str()))?;
        Ok((until > 0).then(|| Timestamp::from_milliseconds(until)))
    }
}

fn decode(value: &[u8]) -> Result<Entry, redb::Error> {
    document::decode(value).map_err(|error| redb::Error::Corrupted(error.to_string()))
}
