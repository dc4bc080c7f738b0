//! A reading in as few bytes as it takes: what differs from the reading before it.
//!
//! Times are written as what their distance differs from the distance before, so that a sensor that is read regularly needs
//! a byte for it. Most sensors say decimal numbers: 21.53 is 2153 divided by 100, and the division gives the same `f64`
//! bit for bit, or the value is not written so. Then values are what their integers differ. All others are the bytes in
//! which they differ from the value before.
//!
//! The first byte has, from the lowest bit on: how the value is written, 2 bits; five bits of the time; whether more of it
//! follows. Numbers are in zigzag, seven bits a byte, the lowest first.

use feed::Reading;

/// The most bytes that a reading takes.
pub const MOST_BYTES: usize = 1 + NUMBER_BYTES + 1 + NUMBER_BYTES;
/// The most bytes of a `u64`, seven bits in each.
const NUMBER_BYTES: usize = 10;

/// The value is the one before.
const SAME: u8 = 0;
/// Its integer's difference follows.
const NEAR: u8 = 1;
/// How many decimals there are from now on, and its integer follow.
const SCALED: u8 = 2;
/// The bytes follow in which it differs.
const BITS: u8 = 3;

/// Powers of ten: with more decimals a value is rather a measurement's full `f64`.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Up to here each integer is an `f64`.
const INTEGERS: f64 = 9_007_199_254_740_992.0;

/// What is known from the readings before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    time_ns: i64,
    distance_ns: i64,
    bits: u64,
    integer: i64,
    decimals: u8,
}

impl Before {
    /// Before the first reading, whose time is known.
    pub fn first(time_ns: i64) -> Self {
        Self { time_ns, distance_ns: 0, bits: 0, integer: 0, decimals: 0 }
    }

    /// Writes a reading, and says how many bytes it took.
    pub fn pack(&mut self, reading: Reading, out: &mut [u8; MOST_BYTES]) -> usize {
        let mut out = Bytes { bytes: out, length: 1 };
        let distance_ns = reading.time_ns.wrapping_sub(self.time_ns);
        let time = zigzag(distance_ns.wrapping_sub(self.distance_ns));
        (self.time_ns, self.distance_ns) = (reading.time_ns, distance_ns);
        let more = time >> 5 != 0;
        if more {
            out.number(time >> 5);
        }
        let tag = self.pack_value(reading.value, &mut out);
        out.bytes[0] = tag | ((time & 0x1f) as u8) << 2 | u8::from(more) << 7;
        out.length
    }

    fn pack_value(&mut self, value: f64, out: &mut Bytes<'_>) -> u8 {
        let bits = value.to_bits();
        let difference = core::mem::replace(&mut self.bits, bits) ^ bits;
        if difference == 0 {
            return SAME;
        }
        if let Some(integer) = integer(value, self.decimals) {
            out.number(zigzag(integer.wrapping_sub(self.integer)));
            self.integer = integer;
            return NEAR;
        }
        for decimals in 0..POWERS.len() as u8 {
            if let Some(integer) = integer(value, decimals) {
                out.push(decimals);
                out.number(zigzag(integer));
                (self.integer, self.decimals) = (integer, decimals);
                return SCALED;
            }
        }
        let (leading, trailing) = (difference.leading_zeros() as usize / 8, difference.trailing_zeros() as usize / 8);
        out.push((leading << 4 | trailing) as u8);
        difference.to_be_bytes()[leading..8 - trailing].iter().for_each(|byte| out.push(*byte));
        BITS
    }

    /// Reads a reading, and takes its bytes away from the beginning. `None` when it is not all there.
    pub fn unpack(&mut self, bytes: &mut &[u8]) -> Option<Reading> {
        let first = take(bytes)?;
        let mut time = u64::from(first >> 2 & 0x1f);
        if first & 0x80 != 0 {
            time |= number(bytes)? << 5;
        }
        self.distance_ns = self.distance_ns.wrapping_add(unzigzag(time));
        self.time_ns = self.time_ns.wrapping_add(self.distance_ns);
        match first & 3 {
            SAME => {}
            NEAR => {
                self.integer = self.integer.wrapping_add(unzigzag(number(bytes)?));
                self.bits = self.decimal()?;
            }
            SCALED => {
                self.decimals = take(bytes)?;
                self.integer = unzigzag(number(bytes)?);
                self.bits = self.decimal()?;
            }
            _ => {
                let places = take(bytes)?;
                let (leading, trailing) = (usize::from(places >> 4), usize::from(places & 0xf));
                let mut difference = [0; 8];
                for byte in difference.get_mut(leading..8usize.checked_sub(trailing)?)? {
                    *byte = take(bytes)?;
                }
                self.bits ^= u64::from_be_bytes(difference);
            }
        }
        Some(Reading { time_ns: self.time_ns, value: f64::from_bits(self.bits) })
    }

    fn decimal(&self) -> Option<u64> {
        POWERS.get(usize::from(self.decimals)).map(|power| (self.integer as f64 / power).to_bits())
    }
}

/// The integer that, divided by a power of ten, is this value and no other.
fn integer(value: f64, decimals: u8) -> Option<i64> {
    let power = POWERS[usize::from(decimals)];
    let scaled = value * power;
    // Not a number is in no range.
    if !(-INTEGERS..INTEGERS).contains(&scaled) {
        return None;
    }
    let integer = (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i64;
    ((integer as f64 / power).to_bits() == value.to_bits()).then_some(integer)
}

/// Small numbers of both signs as small numbers without.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// The bytes of a reading, as they come.
struct Bytes<'a> {
    bytes: &'a mut [u8; MOST_BYTES],
    length: usize,
}

impl Bytes<'_> {
    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use feed::Reading;
    use proptest::prelude::*;

    use super::{Before, MOST_BYTES};

    fn packed(readings: &[Reading]) -> Vec<u8> {
        let mut before = Before::first(readings.first().map_or(0, |reading| reading.time_ns));
        let mut bytes = Vec::new();
        for reading in readings {
            let mut out = [0; MOST_BYTES];
            let length = before.pack(*reading, &mut out);
            bytes.extend(&out[..length]);
        }
        bytes
    }

    fn unpacked(first_ns: i64, mut bytes: &[u8]) -> Vec<(i64, u64)> {
        let mut before = Before::first(first_ns);
        core::iter::from_fn(|| before.unpack(&mut bytes))
            .map(|reading| (reading.time_ns, reading.value.to_bits()))
            .collect()
    }

    fn bits(readings: &[Reading]) -> Vec<(i64, u64)> {
        readings.iter().map(|reading| (reading.time_ns, reading.value.to_bits())).collect()
    }

    #[test]
    fn a_reading_takes_as_many_bytes_as_differ() {
        let at = |second: i64, value| Reading { time_ns: second * 1_000_000_000, value };
        let readings = [at(1, 21.53), at(2, 21.54), at(3, 21.54), at(4, -0.07), at(5, -0.0), at(6, f64::MAX)];
        assert_eq!(unpacked(1_000_000_000, &packed(&readings)), bits(&readings));
        let lengths: Vec<_> = (1..=6).map(|count| packed(&readings[..count]).len()).collect();
        // The first has its decimals, the second the distance; then one byte is the same again, and what has no decimals costs most.
        assert_eq!(lengths, [4, 10, 11, 14, 24, 34]);
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-100_000i32..100_000, 0..5u32)
                .prop_map(|(integer, decimals)| f64::from(integer) / f64::from(10u32.pow(decimals))),
            any::<f32>().prop_map(f64::from),
            Just(21.5),
        ]
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back_bit_for_bit(
            readings in prop::collection::vec((any::<i64>(), value()), 1..200)
        ) {
            let readings: Vec<_> = readings.into_iter().map(|(time_ns, value)| Reading { time_ns, value }).collect();
            prop_assert_eq!(unpacked(readings[0].time_ns, &packed(&readings)), bits(&readings));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            unpacked(0, &bytes);
        }
    }
}
