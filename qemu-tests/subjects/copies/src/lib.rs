//! Copies: a subject for the scenarios. It copies, moves and fills memory, at every alignment and length that a routine
//! may treat differently, and looks at every byte around.
//!
//! The routines behind it are `memcpy`, `memmove` and `memset`, which the compiler calls as well. In a guest they are
//! not the C library's, and on ARM they are written by hand.

#![no_std]

use core::fmt;
use core::hint::black_box;
use core::ops::Range;

use kernel::System;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// There is nothing to tell it.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {}

/// How much was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// From one piece of memory to another.
    pub copies: u32,
    /// Within one piece of memory, most of them over a part of what is moved.
    pub moves: u32,
    /// With one value.
    pub fills: u32,
}

/// A byte that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    what: &'static str,
    from: usize,
    to: Range<usize>,
    at: usize,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, from, to, at } = self;
        write!(f, "{what} from {from} to {to:?}: byte {at} is wrong")
    }
}

impl core::error::Error for Wrong {}

/// The longest, at any place, with something left on both sides.
const ROOM: usize = 192;
/// Places that differ in their alignment, with something before each.
const PLACES: Range<usize> = 16..32;
/// The longest: four units of 32 bytes, after three units and the longest rest.
const LONGEST: usize = 128;
/// What is in memory that is not to change.
const UNTOUCHED: u8 = 0xa5;

/// Memory whose first byte is aligned as well as any.
#[repr(align(64))]
struct Memory([u8; ROOM]);

/// A value for each place, such that no two near each other are the same.
const fn pattern(at: usize) -> u8 {
    (at * 7 + 1) as u8
}

impl Memory {
    fn patterned() -> Self {
        Self(core::array::from_fn(pattern))
    }

    fn untouched() -> Self {
        Self([UNTOUCHED; ROOM])
    }

    /// Looks at all bytes, which should be what `within` says at their distance from the start of `to`, and outside of
    /// it what `outside` says of their place.
    fn check(
        &self,
        what: &'static str,
        from: usize,
        to: &Range<usize>,
        within: impl Fn(usize) -> u8,
        outside: impl Fn(usize) -> u8,
    ) -> Result<(), Wrong> {
        let expected = |at: usize| if to.contains(&at) { within(at - to.start) } else { outside(at) };
        match self.0.iter().enumerate().find(|(at, byte)| **byte != expected(*at)) {
            Some((at, _)) => Err(Wrong { what, from, to: to.clone(), at }),
            None => Ok(()),
        }
    }
}

/// Does all of it.
///
/// # Errors
/// The first byte that is wrong.
pub async fn run(_parameters: Parameters, _system: &impl System) -> Result<Report, Wrong> {
    all()
}

fn all() -> Result<Report, Wrong> {
    let mut report = Report { copies: 0, moves: 0, fills: 0 };
    for length in 0..=LONGEST {
        for place in PLACES {
            let to = place..place + length;
            fill(&to)?;
            clear(&to)?;
            report.fills += 2;
            for from in PLACES {
                copy(from, &to)?;
                report.copies += 1;
                displace(from, &to)?;
                report.moves += 1;
            }
        }
    }
    Ok(report)
}

fn fill(to: &Range<usize>) -> Result<(), Wrong> {
    let mut memory = Memory::untouched();
    // The compiler must not see the length, or it writes the bytes itself.
    black_box(&mut memory.0[black_box(to.clone())]).fill(black_box(0x3c));
    memory.check("fill", 0, to, |_| 0x3c, |_| UNTOUCHED)
}

/// With a value that the compiler sees, for which there is another routine on ARM.
fn clear(to: &Range<usize>) -> Result<(), Wrong> {
    let mut memory = Memory::untouched();
    black_box(&mut memory.0[black_box(to.clone())]).fill(0);
    memory.check("clear", 0, to, |_| 0, |_| UNTOUCHED)
}

fn copy(from: usize, to: &Range<usize>) -> Result<(), Wrong> {
    let (mut source, mut destination) = (Memory::patterned(), Memory::untouched());
    let copied = &black_box(&mut source.0)[black_box(from..from + to.len())];
    black_box(&mut destination.0[black_box(to.clone())]).copy_from_slice(copied);
    destination.check("copy", from, to, |at| pattern(from + at), |_| UNTOUCHED)?;
    source.check("copy, the source", from, to, |at| pattern(to.start + at), pattern)
}

fn displace(from: usize, to: &Range<usize>) -> Result<(), Wrong> {
    let mut memory = Memory::patterned();
    black_box(&mut memory.0).copy_within(black_box(from..from + to.len()), black_box(to.start));
    memory.check("move", from, to, |at| pattern(from + at), pattern)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::{Memory, all, pattern};

    #[test]
    fn the_c_library_passes() {
        let report = all().expect("every byte is right");
        assert_eq!((report.copies, report.moves, report.fills), (129 * 256, 129 * 256, 129 * 32));
    }

    #[test]
    fn a_byte_too_many_and_a_wrong_one_are_found() {
        let mut memory = Memory::patterned();
        let check = |memory: &Memory| memory.check("move", 3, &(5..9), |at| pattern(5 + at), pattern);
        assert!(check(&memory).is_ok());
        memory.0[9] ^= 1;
        assert_eq!(check(&memory).expect_err("one beyond").to_string(), "move from 3 to 5..9: byte 9 is wrong");
        memory.0[6] ^= 1;
        assert_eq!(check(&memory).expect_err("one within").to_string(), "move from 3 to 5..9: byte 6 is wrong");
    }
}
