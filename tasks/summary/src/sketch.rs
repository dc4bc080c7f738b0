//! Quantiles of numbers that are seen once, in a memory that does not grow.
//!
//! Greenwald and Khanna, "Space-efficient online computation of quantile summaries" (SIGMOD 2001): of some numbers it is
//! kept between which ranks they lie. Here the room is given and not the error: when there are more of them than find room,
//! neighbours become one, those first that leave the least doubt. So as many numbers as find room are all kept, and
//! quantiles are exact; beyond that each answer says by how many ranks it may be off, which is no estimate but follows
//! from what was kept.

use alloc::vec::Vec;

/// Numbers that are put into their places at once.
const FRESH: usize = 64;

/// A number that is kept, in the paper's words.
#[derive(Debug, Clone, Copy)]
struct Tuple {
    value: f64,
    /// By how much its lowest possible rank is above that of the one before.
    g: u64,
    /// By how much its highest possible rank is above its lowest one.
    delta: u64,
}

/// What is kept of the numbers seen so far.
#[derive(Debug, Clone)]
pub struct Sketch {
    /// By value.
    tuples: Vec<Tuple>,
    fresh: Vec<f64>,
    /// How many numbers may be kept.
    room: usize,
    /// No number that took the place of others leaves more doubt than this.
    doubt: u64,
}

/// A quantile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// One of the numbers.
    pub value: f64,
    /// By how many ranks it may be off.
    pub off_by: u64,
}

impl Sketch {
    /// Of no numbers, with room for so many; for at least two.
    pub fn new(room: usize) -> Self {
        Self { tuples: Vec::new(), fresh: Vec::new(), room: room.max(2), doubt: 0 }
    }

    /// From now on has room for no more than so many.
    pub fn restrict(&mut self, room: usize) {
        self.room = self.room.min(room.max(2));
        self.shrink();
    }

    /// Takes one more number, which must be finite.
    pub fn push(&mut self, value: f64) {
        self.fresh.push(value);
        if self.fresh.len() == FRESH {
            self.settle();
        }
    }

    /// The number of the smallest rank that so large a part of all numbers does not exceed, if there are any: the
    /// smallest number for 0, the largest for 1.
    pub fn quantile(&mut self, fraction: f64) -> Option<Answer> {
        self.settle();
        let rank = rank(fraction, self.tuples.iter().map(|tuple| tuple.g).sum());
        let mut lowest = 0;
        let answers = self.tuples.iter().map(|tuple| {
            lowest += tuple.g;
            let off_by = lowest.abs_diff(rank).max(rank.abs_diff(lowest + tuple.delta));
            Answer { value: tuple.value, off_by }
        });
        answers.min_by_key(|answer| answer.off_by)
    }

    /// Puts the fresh numbers into their places.
    fn settle(&mut self) {
        self.fresh.sort_unstable_by(f64::total_cmp);
        let mut merged = Vec::with_capacity(self.tuples.len() + self.fresh.len());
        let mut kept = self.tuples.iter().copied().peekable();
        for value in self.fresh.drain(..) {
            while let Some(tuple) = kept.next_if(|tuple| tuple.value <= value) {
                merged.push(tuple);
            }
            // Somewhere among those that the next one stands for; an extreme is known to be one.
            let next = kept.peek().filter(|_| !merged.is_empty());
            let delta = next.map_or(0, |next| next.g + next.delta - 1);
            merged.push(Tuple { value, g: 1, delta });
        }
        merged.extend(kept);
        self.tuples = merged;
        self.shrink();
    }

    /// Lets neighbours become one until they find room, and a quarter of it is free again.
    fn shrink(&mut self) {
        if self.tuples.len() <= self.room {
            return;
        }
        loop {
            self.merge();
            let too_many = self.tuples.len().saturating_sub(self.room - self.room / 4);
            if too_many == 0 {
                break;
            }
            // No more doubt than as many pairs need: what comes next to a number inherits its doubt.
            let pairs = self.tuples[1..].windows(2);
            let mut doubts: Vec<u64> = pairs.map(|pair| pair[0].g + pair[1].g + pair[1].delta).collect();
            self.doubt = *doubts.select_nth_unstable(too_many - 1).1;
        }
        self.tuples.shrink_to_fit();
    }

    /// Lets each number become one with the next whose doubt stays within what may be. The extremes stay.
    fn merge(&mut self) {
        let (mut end, mut gone) = (1, 0);
        for at in 1..self.tuples.len() {
            let Tuple { value, g, delta } = self.tuples[at];
            let g = gone + g;
            match self.tuples.get(at + 1) {
                Some(next) if g + next.g + next.delta <= self.doubt => gone = g,
                _ => {
                    self.tuples[end] = Tuple { value, g, delta };
                    (end, gone) = (end + 1, 0);
                }
            }
        }
        self.tuples.truncate(end);
    }
}

/// The rank of a quantile among so many numbers, from 1. A product that is whole but for its last digits is whole.
fn rank(fraction: f64, count: u64) -> u64 {
    let exact = fraction * count as f64;
    let whole = exact as u64;
    let more = exact - whole as f64 > 4.0 * f64::EPSILON * exact;
    (whole + u64::from(more)).clamp(1, count.max(1))
}

#[cfg(test)]
mod tests;
