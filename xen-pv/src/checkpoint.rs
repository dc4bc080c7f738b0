//! What the task saves, through xenstore. `kernel::checkpoint` says how it lies there.

use core::cell::Cell;

use alloc::vec::Vec;
use kernel::checkpoint::{self, Error, KEPT, MAX_BYTES};
use kernel::{Restored, println};

use crate::hypervisor::Hypervisor;
use crate::xenstore::{self, Client, ErrorKind};

/// The place of a task's checkpoints.
#[derive(Debug)]
pub struct Checkpoints<H: Hypervisor> {
    store: Client<H>,
    /// The number of the next one; none where nobody keeps them, or before anybody has looked.
    next: Cell<Option<u64>>,
}

impl<H: Hypervisor> Checkpoints<H> {
    /// The place in this store.
    #[must_use]
    pub fn new(store: Client<H>) -> Self {
        Self { store, next: Cell::new(None) }
    }

    /// Looks whether checkpoints are kept, and for the newest one.
    pub async fn restored(&self) -> Restored {
        match self.look().await {
            Ok(restored) => restored,
            Err(error) => {
                println!("warning: {error}: nothing that the task saves will be kept");
                Restored::Unkept
            }
        }
    }

    async fn look(&self) -> Result<Restored, xenstore::Error> {
        match self.store.read(KEPT).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Restored::Unkept),
            kept => drop(kept?),
        }
        // Few, and read once: one after the other.
        let mut nodes = Vec::new();
        for name in self.store.list(KEPT).await? {
            let path = alloc::format!("{KEPT}/{name}");
            let value = self.store.read(&path).await?;
            nodes.push((path, value));
        }
        let read = |path: &str| Ok(nodes.iter().find(|(name, _)| name == path).map(|(_, value)| value.clone()));
        let newest = checkpoint::newest::<xenstore::Error>(read)?;
        self.next.set(Some(newest.as_ref().map_or(0, |newest| newest.number.wrapping_add(1))));
        let newest = newest.filter(|newest| !newest.bytes.is_empty());
        Ok(newest.map_or(Restored::Nothing, |newest| Restored::State(newest.bytes)))
    }

    /// Saves a state; an empty one is none. Nothing happens before somebody has looked for an earlier one, and where
    /// nobody keeps them.
    ///
    /// # Errors
    /// It is too large, or the store refuses or does not answer.
    pub async fn save(&self, state: &[u8]) -> Result<(), Error> {
        let Some(number) = self.next.get() else { return Ok(()) };
        if state.len() > MAX_BYTES {
            return Err(Error::TooLarge(state.len()));
        }
        self.next.set(Some(number.wrapping_add(1)));
        // All at once: the store takes them in this order, and one round trip is enough for all.
        let parts: Vec<_> = checkpoint::split(number, state).collect();
        let mut writes: Vec<_> = parts.iter().map(|(path, value)| self.store.write(path, value)).collect();
        for write in &mut writes {
            write.await.map_err(|_| Error::NotTaken)?;
        }
        Ok(())
    }
}
