//! What happened, numbered without a gap: for the operator all of it, for each tenant its own.
//!
//! A tenant's numbers count its own events, so that they have no gap either and tell nothing of what others do.

use protocol::{Event, Tenant, Timestamp, Version, document};
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::{COUNTS, Disk, count_up};
use crate::Entry;
use crate::journal::JournalError;

/// Events by the operator's number, each with its tenant's.
const EVENTS: TableDefinition<'_, u64, (u64, &[u8])> = TableDefinition::new("events");
/// Counts all events.
const ALL: &str = "events";
/// The most events that are kept.
const MOST: u64 = 4096;

/// Events that someone asks for are not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The first that is still there.
    pub first: u64,
}

pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(EVENTS)?;
    Ok(())
}

/// The name of the count of a tenant's events.
fn count_of(tenant: &Tenant) -> String {
    format!("events/{tenant}")
}

pub(super) fn add(transaction: &WriteTransaction, entry: &Entry, now: Timestamp) -> Result<(), redb::Error> {
    let tenant = &entry.command.tenant;
    let number = count_up(transaction, ALL)?;
    let of_tenant = count_up(transaction, &count_of(tenant))?;
    let event = Event {
        version: Version,
        number,
        at: now,
        tenant: tenant.clone(),
        command: entry.command.id.clone(),
        state: entry.state.clone(),
    };
    let mut events = transaction.open_table(EVENTS)?;
    events.insert(number, (of_tenant, document::encode(&event).as_slice()))?;
    while events.len()? > MOST {
        events.pop_first()?;
    }
    Ok(())
}

impl Disk {
    /// At most so many events after a number, of a tenant or, for none, all; numbered for who asks.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn events(
        &self,
        tenant: Option<&Tenant>,
        after: u64,
        most: usize,
    ) -> Result<Result<Vec<Event>, Missed>, JournalError> {
        self.read(|transaction| {
            let table = transaction.open_table(EVENTS)?;
            let mut events: Vec<Event> = Vec::new();
            let mut first = None;
            // All of them have consecutive numbers; a tenant's are found by looking through what is kept.
            let from = if tenant.is_none() { after + 1 } else { 0 };
            if tenant.is_none() {
                first = table.first()?.map(|(number, _)| number.value());
            }
            for row in table.range(from..)? {
                let (_, value) = row?;
                let (of_tenant, bytes) = value.value();
                let mut event: Event =
                    document::decode(bytes).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
                if let Some(tenant) = tenant {
                    if event.tenant != *tenant {
                        continue;
                    }
                    event.number = of_tenant;
                    first = first.or(Some(of_tenant));
                }
                if event.number > after {
                    events.push(event);
                }
                if events.len() >= most {
                    break;
                }
            }
            let last = transaction.open_table(COUNTS)?.get(tenant.map_or(ALL.to_owned(), count_of).as_str())?;
            let last = last.map_or(0, |last| last.value());
            // When none of a tenant's is kept any more, the next one is the first.
            let first = first.unwrap_or(last + 1);
            if after + 1 < first && after < last { Ok(Err(Missed { first })) } else { Ok(Ok(events)) }
        })
    }

    /// The number of the last event of a tenant or, for none, of all.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn last_event(&self, tenant: Option<&Tenant>) -> Result<u64, JournalError> {
        self.count(&tenant.map_or(ALL.to_owned(), count_of))
    }
}
