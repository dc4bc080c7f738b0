//! What a task saves so that its next run can go on from there, as it lies in xenstore.
//!
//! There are two copies, written in turn, so that the one before is whole while the next is written. A copy lies in
//! several nodes, because one holds less than 2,048 bytes, and each of its nodes begins with the checkpoint's number: a
//! copy whose nodes have one number is whole, whatever happened while it was written or read. The newest whole one
//! counts.
//!
//! | node, below the domain's own directory | |
//! |---|---|
//! | `data/checkpoint` | whoever keeps what the task saves makes it before the task begins; nobody does where it is missing |
//! | `data/checkpoint/0-0`, `0-1`, ... | the copy of even numbers |
//! | `data/checkpoint/1-0`, `1-1`, ... | the copy of odd numbers |

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The largest checkpoint, in bytes: a dozen or two of writes, and twice that of memory in xenstored.
pub const MAX_BYTES: usize = 32 * 1024;
/// The node whose presence says that checkpoints are kept.
pub const KEPT: &str = "data/checkpoint";

/// The number at the beginning of each node.
const NUMBER_BYTES: usize = 8;
/// Bytes of a checkpoint in each node but its last, which has fewer and may have none.
const PART_BYTES: usize = crate::nodes::NODE_BYTES - NUMBER_BYTES;

/// What a task has saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts what the task has saved, over all of its runs.
    pub number: u64,
    /// What it is to the task.
    pub bytes: Vec<u8>,
}

/// Why a checkpoint was not taken. The one before may be gone as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// It has so many bytes, more than [`MAX_BYTES`].
    TooLarge(usize),
    /// Where it is kept refuses it, or does not answer.
    NotTaken,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(f, "a checkpoint of {bytes} bytes; one has {MAX_BYTES} at most"),
            Self::NotTaken => f.write_str("the checkpoint was not taken"),
        }
    }
}

impl core::error::Error for Error {}

fn path(number: u64, part: usize) -> String {
    format!("{KEPT}/{}-{part}", number % 2)
}

/// The nodes of a checkpoint, in the order in which they are to be written.
pub fn split(number: u64, bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..=bytes.len() / PART_BYTES).map(move |part| {
        let rest = &bytes[part * PART_BYTES..];
        let mut value = Vec::with_capacity(NUMBER_BYTES + PART_BYTES);
        value.extend_from_slice(&number.to_le_bytes());
        value.extend_from_slice(&rest[..rest.len().min(PART_BYTES)]);
        (path(number, part), value)
    })
}

/// The newest whole checkpoint among the nodes that `read` reads. Another domain may be writing them meanwhile.
///
/// # Errors
/// Those of `read`.
pub fn newest<E>(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>) -> Result<Option<Checkpoint>, E> {
    let first = copy(0, &mut read)?;
    let second = copy(1, &mut read)?;
    // The writer may have begun anew with the first copy after it had ended the second, which is newer then.
    Ok(match (first, second) {
        (Some(first), Some(second)) if first.number > second.number => Some(first),
        (first, second) => second.or(first),
    })
}

/// A copy, if it is whole.
fn copy<E>(which: u64, read: &mut impl FnMut(&str) -> Result<Option<Vec<u8>>, E>) -> Result<Option<Checkpoint>, E> {
    let mut copy: Option<Checkpoint> = None;
    for part in 0..=MAX_BYTES / PART_BYTES {
        let Some(value) = read(&path(which, part))? else { return Ok(None) };
        let Some((number, rest)) = value.split_first_chunk::<NUMBER_BYTES>() else { return Ok(None) };
        let number = u64::from_le_bytes(*number);
        let copy = copy.get_or_insert_with(|| Checkpoint { number, bytes: Vec::new() });
        if copy.number != number || number % 2 != which {
            return Ok(None);
        }
        copy.bytes.extend_from_slice(rest);
        if rest.len() < PART_BYTES {
            break;
        }
    }
    Ok(copy.filter(|copy| copy.bytes.len() <= MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::convert::Infallible;

    use super::{Checkpoint, MAX_BYTES, PART_BYTES, newest, split};

    type Nodes = BTreeMap<String, Vec<u8>>;

    fn read(nodes: &Nodes) -> Option<Checkpoint> {
        let Ok(checkpoint) = newest(|path| Ok::<_, Infallible>(nodes.get(path).cloned()));
        checkpoint
    }

    fn checkpoint(number: u64, length: usize) -> Checkpoint {
        Checkpoint { number, bytes: (0..length).map(|place| (place as u64 + number) as u8).collect() }
    }

    #[test]
    fn a_checkpoint_of_any_size_comes_back_and_its_nodes_are_small_enough() {
        let mut nodes = Nodes::new();
        assert_eq!(read(&nodes), None);
        let lengths = [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 10_000, MAX_BYTES, 5];
        for (number, length) in lengths.into_iter().enumerate() {
            let checkpoint = checkpoint(number as u64, length);
            nodes.extend(split(checkpoint.number, &checkpoint.bytes));
            assert!(nodes.values().all(|value| value.len() < 2048 - 100));
            assert_eq!(read(&nodes), Some(checkpoint), "{length} bytes");
        }
    }

    #[test]
    fn whatever_part_of_it_was_written_a_checkpoint_is_the_new_one_or_the_one_before() {
        // Longer and shorter by turns, so that nodes of older ones lie behind the last of a newer one.
        let lengths = [9000, 100, 4000, 2 * PART_BYTES, 0, 9000, 3, 3 * PART_BYTES];
        let mut nodes = Nodes::new();
        let mut before = None;
        for (number, length) in lengths.into_iter().enumerate() {
            let now = checkpoint(number as u64, length);
            let parts: Vec<_> = split(now.number, &now.bytes).collect();
            for (place, (path, value)) in parts.iter().cloned().enumerate() {
                assert_eq!(read(&nodes), before, "{place} of {} nodes of number {number}", parts.len());
                nodes.insert(path, value);
            }
            before = Some(now);
            assert_eq!(read(&nodes), before);
        }
    }

    #[test]
    fn nodes_of_two_checkpoints_are_none() {
        let (old, new) = (checkpoint(2, 5000), checkpoint(4, 5000));
        let mut nodes: Nodes = split(old.number, &old.bytes).collect();
        for (path, value) in split(new.number, &new.bytes).skip(1) {
            nodes.insert(path, value);
            assert_eq!(read(&nodes), None);
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_none() {
        let mut nodes: Nodes = split(1, b"good").collect();
        for value in [Vec::new(), [7; 7].to_vec(), [2u64.to_le_bytes(); 1].concat()] {
            nodes.insert("data/checkpoint/1-0".into(), value);
            assert_eq!(read(&nodes), None);
        }
        let endless: Nodes = (0..100).map(|part| (super::path(1, part), [1u64.to_le_bytes(); 240].concat())).collect();
        assert_eq!(read(&endless), None);
    }
}
