//! Tests against an exact computation: every `f64` is a whole multiple of a power of two, so whole numbers do.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::Statistics;

fn statistics(values: &[f64]) -> Statistics {
    let (first, rest) = values.split_first().unwrap();
    let mut statistics = Statistics::of(*first);
    rest.iter().for_each(|value| statistics.push(*value));
    statistics
}

/// Mean and variance of `units / scale` without rounding until the last division.
fn exact(units: &[i64], scale: f64) -> (f64, f64) {
    let count = units.len() as i128;
    let sum: i128 = units.iter().map(|unit| i128::from(*unit)).sum();
    let squares: i128 = units.iter().map(|unit| i128::from(*unit) * i128::from(*unit)).sum();
    // count * squares - sum * sum is exact, and so never negative.
    let scaled = (count * squares - sum * sum) as f64;
    (sum as f64 / count as f64 / scale, scaled / (count * count) as f64 / (scale * scale))
}

#[test]
fn one_number_has_no_variance() {
    let one = statistics(&[21.5]);
    assert_eq!((one.count(), one.minimum(), one.maximum(), one.mean(), one.variance()), (1, 21.5, 21.5, 21.5, 0.0));
}

#[test]
fn small_variance_of_large_numbers_keeps_its_digits() {
    // The difference of sums of squares would leave nothing of it: 1e18 has no room for thirds.
    let large = statistics(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
    assert_eq!((large.mean(), large.variance()), (1e9 + 10.0, 22.5));
}

#[test]
fn a_million_equal_numbers_have_no_variance() {
    let mut equal = Statistics::of(1013.25);
    (1..1_000_000).for_each(|_| equal.push(1013.25));
    assert_eq!((equal.count(), equal.mean(), equal.variance()), (1_000_000, 1013.25, 0.0));
}

#[test]
fn the_largest_readings_do_not_overflow() {
    // The power of two next to what is read at most, so that nothing is rounded.
    let largest = 2f64.powi(99);
    let extremes = statistics(&[largest, -largest, largest, -largest]);
    assert_eq!((extremes.mean(), extremes.variance()), (0.0, largest * largest));
}

proptest! {
    #[test]
    fn two_halves_together_are_the_whole(
        values in prop::collection::vec(-1e6..1e6f64, 2..100),
        part in 0.0..1.0f64,
    ) {
        let part = 1 + (part * (values.len() - 1) as f64) as usize;
        let whole = statistics(&values);
        let (one, other) = values.split_at(part.min(values.len() - 1));
        let mut both = statistics(one);
        both.merge(&statistics(other));
        prop_assert_eq!(both.count(), whole.count());
        prop_assert_eq!((both.minimum(), both.maximum()), (whole.minimum(), whole.maximum()));
        prop_assert!((both.mean() - whole.mean()).abs() <= 1e-8);
        prop_assert!((both.variance() - whole.variance()).abs() <= 1e-12 * 1e12);
    }

    #[test]
    fn agrees_with_whole_number_arithmetic(
        units in prop::collection::vec(-1_000_000_000_000i64..1_000_000_000_000, 1..200),
        offset in -1_000_000_000_000i64..1_000_000_000_000,
        digits in 0u32..20,
    ) {
        let scale = f64::from(1u32 << digits);
        let units: Vec<i64> = units.iter().map(|unit| unit + offset).collect();
        let values: Vec<f64> = units.iter().map(|unit| *unit as f64 / scale).collect();
        let found = statistics(&values);
        let (mean, variance) = exact(&units, scale);
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        prop_assert_eq!(found.count(), values.len() as u64);
        prop_assert_eq!(found.minimum(), units.iter().copied().min().unwrap() as f64 / scale);
        prop_assert_eq!(found.maximum(), units.iter().copied().max().unwrap() as f64 / scale);
        prop_assert!((found.mean() - mean).abs() <= 1e-14 * largest * values.len() as f64);
        prop_assert!((found.variance() - variance).abs() <= 1e-12 * variance + 1e-26 * largest * largest);
    }

    #[test]
    fn a_narrow_spread_around_a_large_number_survives(
        spread in prop::collection::vec(0i64..1000, 2..100),
        base in 1_000_000_000i64..1_000_000_000_000,
    ) {
        let units: Vec<i64> = spread.iter().map(|unit| unit + base).collect();
        let values: Vec<f64> = units.iter().map(|unit| *unit as f64).collect();
        let (_, variance) = exact(&units, 1.0);
        prop_assert!((statistics(&values).variance() - variance).abs() <= 1e-3 + 1e-6 * variance);
    }
}
