//! Statistics of decimal numbers in whole-number arithmetic: quick where floating point is slow, and without rounding.
//!
//! Most sensors give numbers of a few digits. As millionths these are whole, and so are the sums of their distances from
//! the first of them and of the squares: nothing is lost, however many there are. A number costs two additions and a
//! multiplication, where Welford's method needs a division.

use readings::Statistics;

/// Digits before the point, and behind it, that a number may have at most to be counted here.
const WHOLE_DIGITS: usize = 7;
const DECIMALS: usize = 6;

/// What a number is counted in: so many make one.
const ONE: f64 = 1e6;

/// Powers of ten up to that.
const POWERS: [i64; DECIMALS + 1] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];

/// A number in millionths, of no more than 13 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millionths(i64);

impl Millionths {
    /// Reads the decimal number at the beginning of the text; returns it with what comes behind. `None` if there is none,
    /// or if it has too many digits.
    #[inline]
    pub fn read(text: &[u8]) -> Option<(Self, &[u8])> {
        let (negative, whole) = match text {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let (mut number, mut rest) = digits(0, whole);
        if !(1..=WHOLE_DIGITS).contains(&(whole.len() - rest.len())) {
            return None;
        }
        let mut decimals = 0;
        if let [b'.', fraction @ ..] = rest {
            (number, rest) = digits(number, fraction);
            decimals = fraction.len() - rest.len();
        }
        number = number.wrapping_mul(*POWERS.get(DECIMALS.checked_sub(decimals)?)?);
        Some((Self(if negative { -number } else { number }), rest))
    }

    /// The number.
    pub fn number(self) -> f64 {
        self.0 as f64 / ONE
    }
}

/// Appends the digits at the beginning of the text to a number; returns it with what comes behind them. So many digits
/// that the number wraps are too many for anybody.
#[inline]
fn digits(mut number: i64, mut text: &[u8]) -> (i64, &[u8]) {
    while let [byte, rest @ ..] = text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
        text = rest;
    }
    (number, text)
}

/// Statistics of the numbers seen so far, without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    count: u32,
    /// The first number, from which distances count.
    first: i64,
    minimum: i64,
    maximum: i64,
    /// Below 2^45 each, and so below 2^77 together.
    distances: i128,
    /// Below 2^90 each, and so below 2^122 together.
    squares: i128,
}

impl Exact {
    /// Statistics of one number.
    pub fn of(Millionths(first): Millionths) -> Self {
        Self { count: 1, first, minimum: first, maximum: first, distances: 0, squares: 0 }
    }

    /// Takes one more number; returns whether there was room for it, which there is for the first 4 billion.
    #[inline]
    pub fn push(&mut self, Millionths(number): Millionths) -> bool {
        let Some(count) = self.count.checked_add(1) else { return false };
        self.count = count;
        if number < self.minimum {
            self.minimum = number;
        }
        if number > self.maximum {
            self.maximum = number;
        }
        let distance = number - self.first;
        self.distances += i128::from(distance);
        // Most distances fit 32 bits, and their squares a register or two.
        self.squares += match u32::try_from(distance.unsigned_abs()) {
            Ok(distance) => i128::from(u64::from(distance) * u64::from(distance)),
            Err(_) => i128::from(distance) * i128::from(distance),
        };
        true
    }

    /// The same as floating point, rounded only here.
    pub fn statistics(&self) -> Statistics {
        let count = i128::from(self.count);
        // About the whole number next to the mean the sums are small, and still exact.
        let (mean, rest) = (self.distances / count, self.distances % count);
        let squares = self.squares - 2 * mean * self.distances + count * mean * mean;
        let fraction = rest as f64 / count as f64;
        let squares = (squares as f64 - rest as f64 * fraction).max(0.0);
        let mean = ((i128::from(self.first) + mean) as f64 + fraction) / ONE;
        let extremes = [self.minimum, self.maximum].map(|extreme| Millionths(extreme).number());
        Statistics::new(self.count.into(), extremes, mean, squares / (ONE * ONE))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use readings::number;

    use super::*;

    fn read(text: &str) -> Option<(i64, &str)> {
        let (Millionths(number), rest) = Millionths::read(text.as_bytes())?;
        Some((number, core::str::from_utf8(rest).expect("what follows digits")))
    }

    #[test]
    fn a_decimal_number_is_read_up_to_its_end() {
        assert_eq!(read("12"), Some((12_000_000, "")));
        assert_eq!(read("-1.5\n"), Some((-1_500_000, "\n")));
        assert_eq!(read("0.000001,"), Some((1, ",")));
        assert_eq!(read("-9999999.999999e"), Some((-9_999_999_999_999, "e")));
        assert_eq!(read("3."), Some((3_000_000, "")));
        assert_eq!(read("1.2.3"), Some((1_200_000, ".3")));
    }

    #[test]
    fn what_has_no_or_too_many_digits_is_not() {
        for text in ["", "-", ".5", "e", "12345678", "0.1234567", "00000000", "9".repeat(99).as_str()] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn there_is_room_for_four_billion_and_no_more() {
        let mut exact = Exact { count: u32::MAX - 1, ..Exact::of(Millionths(1)) };
        assert!(exact.push(Millionths(1)));
        assert!(!exact.push(Millionths(1)));
        assert_eq!((exact.statistics().count(), exact.statistics().variance()), (u32::MAX.into(), 0.0));
    }

    #[test]
    fn the_largest_sums_do_not_overflow() {
        let largest = 9_999_999_999_999;
        let count = i128::from(u32::MAX);
        let exact = Exact {
            count: u32::MAX,
            first: -largest,
            minimum: -largest,
            maximum: largest,
            distances: i128::from(2 * largest) * (count - 1),
            squares: i128::from(2 * largest) * i128::from(2 * largest) * (count - 1),
        };
        let statistics = exact.statistics();
        assert!((statistics.mean() - 1e7).abs() < 0.01, "{}", statistics.mean());
        assert!((statistics.variance() - 4e14 / 4_294_967_295.0).abs() < 1.0, "{}", statistics.variance());
    }

    proptest! {
        #[test]
        fn reads_what_the_other_reader_does(text in "-?[0-9]{0,9}(\\.[0-9]{0,8})?") {
            if let Some((number, rest)) = Millionths::read(text.as_bytes()) {
                prop_assert!(rest.is_empty());
                prop_assert_eq!(Some(number.number()), number::parse(&text));
            }
        }

        #[test]
        fn agrees_with_sums_of_whole_numbers(
            first in -9_999_999_999_999i64..10_000_000_000_000,
            numbers in prop::collection::vec(-9_999_999_999_999i64..10_000_000_000_000, 0..100),
            spread in prop::sample::select(alloc::vec![1, 1000, 1_000_000, 1_000_000_000_000]),
        ) {
            let near = |number: &i64| (first + number / spread).clamp(-9_999_999_999_999, 9_999_999_999_999);
            let all: Vec<i64> = core::iter::once(first).chain(numbers.iter().map(near)).collect();
            let mut exact = Exact::of(Millionths(first));
            all[1..].iter().for_each(|number| assert!(exact.push(Millionths(*number))));
            let found = exact.statistics();
            let count = all.len() as i128;
            let sum: i128 = all.iter().map(|number| i128::from(*number)).sum();
            // Each distance from the mean, times the count, is whole.
            let squares = all.iter().map(|number| (i128::from(*number) * count - sum).pow(2)).sum::<i128>();
            let (mean, variance) = (sum as f64 / count as f64 / 1e6, squares as f64 / (count * count * count) as f64 / 1e12);
            prop_assert_eq!(found.count(), all.len() as u64);
            prop_assert!((found.mean() - mean).abs() <= 1e-15 * mean.abs() + 1e-12);
            prop_assert!((found.variance() - variance).abs() <= 1e-12 * variance, "{} {}", found.variance(), variance);
            let extreme = |number: Option<&i64>| number.map(|number| *number as f64 / 1e6);
            prop_assert_eq!(Some(found.minimum()), extreme(all.iter().min()));
            prop_assert_eq!(Some(found.maximum()), extreme(all.iter().max()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Millionths::read(&text);
        }
    }
}
