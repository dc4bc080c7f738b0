//! Numbers to and from text, as JSON has them.
//!
//! Reading is done here because it can be small: no sensor gives a number that needs more than the 128-bit arithmetic
//! below. Measured in an image it is 1.5 KB, where minimal-lexical has 7.8 KB (and no release since 2021),
//! lexical-core with its compact tables 10 KB, `core`'s own `parse` 16.1 KB and fast-float2 17.4 KB. Writing is zmij's
//! (see Cargo.toml).

use alloc::string::String;

/// Readings beyond this are refused: no sensor gives them.
pub const LARGEST: f64 = 1e30;

/// Whether a sensor can have given this number: neither infinite nor not a number, nor beyond [`LARGEST`], so that sums and
/// squares of many do not overflow.
pub fn is_plausible(number: f64) -> bool {
    number.abs() <= LARGEST
}

/// Powers of ten below this fit in 64 bits.
const DIGITS: i32 = 19;

/// Reads a JSON number. `None` when it is no number or its magnitude is above [`LARGEST`].
///
/// Numbers of up to 19 digits, as many of them after the point, are rounded correctly, half to even; longer ones are
/// off by no more than a unit in the last place.
pub fn parse(text: &str) -> Option<f64> {
    match text.as_bytes() {
        [b'-', digits @ ..] => magnitude(&Decimal::parse(digits, false)?).map(|number| -number),
        digits => magnitude(&Decimal::parse(digits, false)?),
    }
}

/// Reads a number as people and programs write them elsewhere: as JSON has it, or with a plus sign, or beginning with
/// the point, such as `+5` and `-.5`. `None` as with [`parse`].
pub fn parse_decimal(text: &[u8]) -> Option<f64> {
    match text {
        [b'-', digits @ ..] => magnitude(&Decimal::parse(digits, true)?).map(|number| -number),
        [b'+', digits @ ..] | digits => magnitude(&Decimal::parse(digits, true)?),
    }
}

/// `digits * 10^exponent`, and a little more when there were more digits than fit.
struct Decimal {
    digits: u64,
    exponent: i32,
    more: bool,
}

impl Decimal {
    /// `point_first` says that there need be no digit before the point.
    fn parse(text: &[u8], point_first: bool) -> Option<Self> {
        let mut decimal = Self { digits: 0, exponent: 0, more: false };
        let mut point = false;
        let mut any = false;
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    decimal.push(byte - b'0', point);
                }
                b'.' if (any || point_first) && !point => point = true,
                b'e' | b'E' if any => {
                    decimal.exponent = decimal.exponent.saturating_add(exponent(after)?);
                    return Some(decimal);
                }
                _ => return None,
            }
            rest = after;
        }
        any.then_some(decimal)
    }

    fn push(&mut self, digit: u8, after_point: bool) {
        let room = u64::MAX / 10 - 1;
        if self.digits <= room {
            self.digits = self.digits * 10 + u64::from(digit);
            self.exponent = self.exponent.saturating_sub(i32::from(after_point));
        } else {
            self.more |= digit != 0;
            self.exponent = self.exponent.saturating_add(i32::from(!after_point));
        }
    }
}

/// The number after an `e`.
fn exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut exponent = 0i32;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        exponent = exponent.saturating_mul(10).saturating_add(digit.into());
    }
    let exponent = if negative { -exponent } else { exponent };
    (!digits.is_empty()).then_some(exponent)
}

fn magnitude(decimal: &Decimal) -> Option<f64> {
    if decimal.digits == 0 {
        return Some(0.0);
    }
    // So many digits before the point, 0 or less for fractions below a tenth.
    let size = decimal.digits.ilog10() as i32 + 1;
    let before_point = decimal.exponent.saturating_add(size);
    if before_point > LARGEST_SIZE {
        return None;
    }
    if before_point < SMALLEST_SIZE {
        return Some(0.0);
    }
    let mut bits = u128::from(decimal.digits);
    let mut shift = 0;
    let mut more = decimal.more;
    if decimal.exponent > 0 {
        bits *= power(decimal.exponent);
    } else {
        let mut left = -decimal.exponent;
        while left > 0 {
            let divisor = power(left.min(DIGITS));
            let room = bits.leading_zeros();
            bits <<= room;
            shift += room;
            let quotient = bits / divisor;
            more |= quotient * divisor != bits;
            bits = quotient;
            left -= DIGITS;
        }
    }
    // Where more was cut off there are more than 53 bits, so the last one decides nothing but a tie.
    bits |= u128::from(more);
    let number = bits as f64 * f64::from_bits(u64::from(1023 - shift) << 52);
    (number <= LARGEST).then_some(number)
}

/// Digits before the point of [`LARGEST`].
const LARGEST_SIZE: i32 = 31;

/// A fraction that begins with more zeros than this after the point is read as 0: it is below `1e-38`.
const SMALLEST_SIZE: i32 = -37;

fn power(exponent: i32) -> u128 {
    (0..exponent).fold(1, |power, _| power * 10)
}

/// Writes a finite number as the shortest text that reads back as the same one.
pub fn write(number: f64, out: &mut String) {
    out.push_str(zmij::Buffer::new().format_finite(number));
}

#[cfg(test)]
mod tests;
