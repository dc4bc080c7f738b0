//! What a guest takes before it does anything: bytes of its image, and memory.
//!
//! The least memory is found by trying: a guest works with a size if it starts, serves, and moves data both ways.

use std::time::Duration;

use anyhow::Result;

use super::super::Bench;
use super::super::contestant::{self, Side, iperf_address, iperf_spec};
use super::super::figures::Measure;
use super::super::iperf::{Direction, Run};
use crate::terminal;

const GROUP: &str = "size";

/// Sizes of memory in MiB that are tried: the first is the least of which Xen's builder makes a guest on ARM, the second on x86.
const MEMORY_MIB: [u32; 33] = sizes();

/// 3, and multiples of 4.
const fn sizes() -> [u32; 33] {
    let mut sizes = [3; 33];
    let mut at = 1;
    while at < sizes.len() {
        sizes[at] = 4 * at as u32;
        at += 1;
    }
    sizes
}

pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    for side in [Side::Spore, Side::Linux] {
        bench.take(side, "image", |bench| {
            let bytes = match side {
                Side::Spore => bench.iperf.1.bytes as usize,
                Side::Linux => bench.linux.image_bytes(),
            };
            let name = "image (Linux: kernel and file system, packed)";
            Ok(vec![(Measure::less("image", GROUP, name, "bytes"), bytes as f64)])
        })?;
        bench.take(side, "memory", |bench| {
            let least = least(&MEMORY_MIB, |memory_mib| works(bench, side, memory_mib));
            let name = "least memory= that works";
            Ok(vec![(Measure::less("memory", GROUP, name, "MiB"), f64::from(least))])
        })?;
    }
    Ok(())
}

/// The smallest size that works, when each works that is larger than one that does. The last one is taken for granted.
fn least(sizes: &[u32], works: impl Fn(u32) -> bool) -> u32 {
    // Not the slice's own search, which may ask for a size twice.
    let (mut from, mut to) = (0, sizes.len() - 1);
    while from < to {
        let middle = usize::midpoint(from, to);
        if works(sizes[middle]) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    sizes[to]
}

fn works(bench: &Bench<'_>, side: Side, memory_mib: u32) -> bool {
    let outcome = try_with(bench, side, memory_mib);
    let words = outcome.as_ref().err().map_or("works".to_owned(), |error| {
        let error = format!("{error:#}");
        error.trim().replace('\n', " | ")
    });
    terminal::say(format_args!("memory: {side}: {memory_mib} MiB: {words}"));
    outcome.is_ok()
}

fn try_with(bench: &Bench<'_>, side: Side, memory_mib: u32) -> Result<()> {
    let mut spec = iperf_spec(bench, side, 0)?;
    spec.memory_mib = memory_mib;
    let guest = contestant::start(bench.bed, side, &spec)?;
    for direction in Direction::ALL {
        let time = Duration::from_secs(1);
        Run::stream(iperf_address(side, 0), direction, time).run(bench.bed)?;
    }
    guest.destroy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_size_is_found_wherever_it_is() {
        for expected in MEMORY_MIB {
            assert_eq!(least(&MEMORY_MIB, |size| size >= expected), expected);
        }
        assert_eq!([MEMORY_MIB[0], MEMORY_MIB[1], MEMORY_MIB[32]], [3, 4, 128]);
    }
}
