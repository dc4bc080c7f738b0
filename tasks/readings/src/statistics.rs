//! Count, extremes, mean and variance of numbers that are seen once.
//!
//! Welford's method: the mean and the sum of squared distances from it are updated with each number, so that the
//! result keeps its digits where the difference of two large sums would lose them (a pressure of 101,325 Pa that
//! varies by one).

use serde::{Deserialize, Serialize};

/// Statistics of the numbers seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    count: u64,
    minimum: f64,
    maximum: f64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

impl Statistics {
    /// Statistics of one number. There are none of no numbers: an extreme or a mean would have to be invented.
    pub fn of(value: f64) -> Self {
        Self { count: 1, minimum: value, maximum: value, mean: value, squares: 0.0 }
    }

    /// Takes one more number, which must be finite.
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        self.minimum = self.minimum.min(value);
        self.maximum = self.maximum.max(value);
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
    }

    /// Statistics whose parts are known: `squares` is the sum of the squared distances from the mean.
    pub fn new(count: u64, [minimum, maximum]: [f64; 2], mean: f64, squares: f64) -> Self {
        Self { count, minimum, maximum, mean, squares }
    }

    /// Takes all the numbers that others are the statistics of (Chan, Golub and LeVeque's way).
    pub fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        self.squares += other.squares + distance * distance * (self.count as f64 * share);
        self.mean += distance * share;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.count = count;
    }

    /// How many numbers there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest.
    pub fn minimum(&self) -> f64 {
        self.minimum
    }

    /// The largest.
    pub fn maximum(&self) -> f64 {
        self.maximum
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The variance of these numbers themselves: the mean of the squared distances, divided by the count and not by one
    /// less, because the readings of a window are all there are and not a sample of them. Zero for one number.
    pub fn variance(&self) -> f64 {
        self.squares / self.count as f64
    }
}

#[cfg(test)]
mod tests;
