//! A report in xenstore: postcard, in as many nodes as it needs.
//!
//! xenstored refuses a guest's node of 2,048 bytes and more (its quota for the size of an entry), its own record of the
//! node included. So a report lies in `data/result`, `data/result-1`, `data/result-2` and so on; each is full but the
//! last, which is shorter, and may be empty. Whoever reads knows by that where the report ends, and that it is whole.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes in each node but the last.
pub const NODE_BYTES: usize = 1920;
/// The largest report, in bytes: so many are written in a second or two, and xenstored keeps them in dom0's memory.
pub const REPORT_MAX_BYTES: usize = 64 * 1024;

/// The path of a report's node, below its domain's directory.
#[must_use]
pub fn path(number: usize) -> String {
    match number {
        0 => "data/result".into(),
        number => format!("data/result-{number}"),
    }
}

/// The values of a report's nodes, in their order.
pub fn split(report: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..=report.len() / NODE_BYTES).map(|number| {
        let rest = &report[number * NODE_BYTES..];
        &rest[..rest.len().min(NODE_BYTES)]
    })
}

/// The report whose nodes `read` reads; none when there is none, or when it is not whole or larger than one may be.
///
/// # Errors
/// Those of `read`.
pub fn join<E>(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>, E>) -> Result<Option<Vec<u8>>, E> {
    let mut report = Vec::new();
    for number in 0..=REPORT_MAX_BYTES / NODE_BYTES {
        let Some(value) = read(&path(number))? else { return Ok(None) };
        report.extend_from_slice(&value);
        if value.len() < NODE_BYTES {
            return Ok((report.len() <= REPORT_MAX_BYTES).then_some(report));
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

    use super::{NODE_BYTES, REPORT_MAX_BYTES, join, path, split};

    fn nodes(report: &[u8]) -> BTreeMap<String, Vec<u8>> {
        split(report).enumerate().map(|(number, value)| (path(number), value.to_vec())).collect()
    }

    fn read(nodes: &BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
        let Ok(report) = join(|path| Ok::<_, Infallible>(nodes.get(path).cloned()));
        report
    }

    fn report(length: usize) -> Vec<u8> {
        (0..length).map(|place| place as u8).collect()
    }

    #[test]
    fn a_report_of_any_size_comes_back_as_it_was() {
        for length in [0, 1, NODE_BYTES - 1, NODE_BYTES, NODE_BYTES + 1, 3 * NODE_BYTES, 10_000, REPORT_MAX_BYTES] {
            let report = report(length);
            let nodes = nodes(&report);
            assert_eq!(nodes.len(), length / NODE_BYTES + 1);
            assert!(nodes.values().all(|value| value.len() <= NODE_BYTES));
            assert_eq!(read(&nodes), Some(report), "{length} bytes");
        }
    }

    #[test]
    fn one_that_is_not_whole_or_too_large_is_none() {
        let mut part = nodes(&report(3 * NODE_BYTES));
        part.remove("data/result-3");
        assert_eq!(read(&part), None);
        part.remove("data/result");
        assert_eq!(read(&part), None);
        assert_eq!(read(&nodes(&report(REPORT_MAX_BYTES + 1))), None);
        assert_eq!(read(&nodes(&report(2 * REPORT_MAX_BYTES))), None);
        assert_eq!(read(&BTreeMap::new()), None);
    }
}
