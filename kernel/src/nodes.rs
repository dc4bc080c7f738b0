//! A value in xenstore, such as a report or parameters: in as many nodes as it needs.
//!
//! xenstored refuses a guest's node of 2,048 bytes and more (its quota for the size of an entry), its own record of the
//! node included. So a value lies in `data/result`, `data/result-1`, `data/result-2` and so on; each is full but the
//! last, which is shorter, and may be empty. Whoever reads knows by that where the value ends, and that it is whole.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes in each node but the last.
pub const NODE_BYTES: usize = 1920;
/// The largest value, in bytes: so many are written in a second or two, and xenstored keeps them in dom0's memory.
pub const MAX_BYTES: usize = 64 * 1024;

/// Where the task's report lies, below its domain's directory.
pub const RESULT: &str = "data/result";
/// Where a program leaves the task's parameters.
pub const PARAMETERS: &str = "data/parameters";

/// The path of one of the nodes of the value at `first`.
#[must_use]
pub fn path(first: &str, number: usize) -> String {
    match number {
        0 => first.into(),
        number => format!("{first}-{number}"),
    }
}

/// What a value's nodes hold, in their order.
pub fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..=value.len() / NODE_BYTES).map(|number| {
        let rest = &value[number * NODE_BYTES..];
        &rest[..rest.len().min(NODE_BYTES)]
    })
}

/// The value at `first`, whose nodes `read` reads; none when there is none, or when it is not whole or larger than one
/// may be.
///
/// # Errors
/// Those of `read`.
pub fn join<E>(first: &str, mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>) -> Result<Option<Vec<u8>>, E> {
    let mut value = Vec::new();
    for number in 0..=MAX_BYTES / NODE_BYTES {
        let Some(part) = read(&path(first, number))? else { return Ok(None) };
        value.extend_from_slice(&part);
        if part.len() < NODE_BYTES {
            return Ok((value.len() <= MAX_BYTES).then_some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::convert::Infallible;

    use super::{MAX_BYTES, NODE_BYTES, RESULT, join, path, split};

    fn nodes(value: &[u8]) -> BTreeMap<String, Vec<u8>> {
        split(value).enumerate().map(|(number, part)| (path(RESULT, number), part.to_vec())).collect()
    }

    fn read(nodes: &BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
        let Ok(value) = join(RESULT, |path| Ok::<_, Infallible>(nodes.get(path).cloned()));
        value
    }

    fn value(length: usize) -> Vec<u8> {
        (0..length).map(|place| place as u8).collect()
    }

    #[test]
    fn a_value_of_any_size_comes_back_as_it_was() {
        for length in [0, 1, NODE_BYTES - 1, NODE_BYTES, NODE_BYTES + 1, 3 * NODE_BYTES, 10_000, MAX_BYTES] {
            let value = value(length);
            let nodes = nodes(&value);
            assert_eq!(nodes.len(), length / NODE_BYTES + 1);
            assert!(nodes.values().all(|part| part.len() <= NODE_BYTES));
            assert_eq!(read(&nodes), Some(value), "{length} bytes");
        }
    }

    #[test]
    fn one_that_is_not_whole_or_too_large_is_none() {
        let mut part = nodes(&value(3 * NODE_BYTES));
        part.remove("data/result-3");
        assert_eq!(read(&part), None);
        part.remove("data/result");
        assert_eq!(read(&part), None);
        assert_eq!(read(&nodes(&value(MAX_BYTES + 1))), None);
        assert_eq!(read(&nodes(&value(2 * MAX_BYTES))), None);
        assert_eq!(read(&BTreeMap::new()), None);
    }
}
