//! Tests of lines: in pieces of any size, and against the standard library's own reading and exact sums.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{LINE_BYTES, Lines, Tally};

/// What was found: readings, those over the limit, malformed lines, and of each sensor name, count, extremes, mean,
/// variance.
type Found = (u64, u64, u64, Vec<(String, u64, [f64; 4])>);

fn read_in_parts(text: &[u8], part: usize) -> Found {
    let mut lines = Lines::new(3);
    text.chunks(part).for_each(|piece| lines.push(piece));
    lines.finish();
    let Tally { sensors, readings, over_limit, malformed, .. } = lines.tally;
    let figures = sensors
        .into_statistics()
        .map(|(name, found)| (name, found.count(), [found.minimum(), found.maximum(), found.mean(), found.variance()]));
    (readings, over_limit, malformed, figures.collect())
}

/// The same for parts of any size, which must not matter.
fn read(text: &str) -> Found {
    let whole = read_in_parts(text.as_bytes(), text.len().max(1));
    for part in 1..text.len().min(20) {
        assert_eq!(read_in_parts(text.as_bytes(), part), whole, "in parts of {part}");
    }
    whole
}

#[test]
fn each_line_is_a_reading() {
    let (readings, over_limit, malformed, sensors) = read("a,1\nb,-2.5\r\na,3\n\n\r\nb,1e1");
    assert_eq!((readings, over_limit, malformed), (4, 0, 0));
    let expected = [("a".to_string(), 2, [1.0, 3.0, 2.0, 1.0]), ("b".to_string(), 2, [-2.5, 10.0, 3.75, 39.0625])];
    assert_eq!(sensors, expected);
}

#[test]
fn what_is_no_reading_is_counted() {
    let text = "sensor,value\na;1\n,1\na,\na,1,2\na,1 \n a,1\n\u{e4},1\na,nan\na,1.1e30\na,.\na,--1\na";
    assert_eq!(read(text), (0, 0, 13, Vec::new()));
}

#[test]
fn numbers_may_be_written_as_tables_have_them() {
    let (readings, _, malformed, sensors) = read("a,.5\na,5.\na,+3\na,-.5\n");
    assert_eq!((readings, malformed), (4, 0));
    assert_eq!(sensors, [("a".to_string(), 4, [-0.5, 5.0, 2.0, 4.625])]);
}

#[test]
fn the_first_line_that_is_no_reading_is_known_by_its_number() {
    for (text, line, sample) in
        [("<html>\na,1\n", 1, "<html>"), ("a,1\n\na,2\r\na,3\nb\nc\n", 5, "b"), ("a,1\na,1\na,1\nx", 4, "x")]
    {
        for part in 1..text.len() {
            let mut lines = Lines::new(3);
            text.as_bytes().chunks(part).for_each(|piece| lines.push(piece));
            lines.finish();
            let found = lines.tally.sample.expect("a line that is no reading");
            assert_eq!((found.line, found.text.as_str()), (line, sample), "in parts of {part}");
        }
    }
}

#[test]
fn the_same_after_the_sensor_is_known() {
    for value in ["", "1,2", "1 ", "x", "-", ".", "1..2", "1.1e30", "\r1", "1\r\r", "1\r2"] {
        let (readings, _, malformed, _) = read(&format!("a,1\na,1\na,{value}\na,1\n"));
        assert_eq!((readings, malformed), (3, 1), "{value:?}");
    }
}

#[test]
fn a_line_may_be_long_but_not_too_long() {
    let longest = format!("a,{}", "0".repeat(LINE_BYTES - 2));
    assert_eq!(read(&format!("a,1\n{longest}\na,2\n")).0, 3);
    assert_eq!(read(&longest).0, 1);
    for length in [LINE_BYTES - 1, LINE_BYTES + 99, 5000] {
        let (readings, _, malformed, _) = read(&format!("a,1\na,{}\na,2\n", "0".repeat(length)));
        assert_eq!((readings, malformed), (2, 1));
    }
    assert_eq!(read(&"x".repeat(1000)).2, 1);
}

#[test]
fn sensors_above_the_limit_are_counted_and_not_kept() {
    let (readings, over_limit, malformed, sensors) = read("a,1\nb,1\nc,1\nd,1\na,2\nd,2\n");
    assert_eq!((readings, over_limit, malformed, sensors.len()), (6, 2, 0, 3));
}

/// Mean and variance of whole multiples of `1 / scale`, without rounding until the last division.
fn exact(units: &[i64], scale: f64) -> (f64, f64) {
    let count = units.len() as i128;
    let sum: i128 = units.iter().map(|unit| i128::from(*unit)).sum();
    let squares: i128 = units.iter().map(|unit| i128::from(*unit) * i128::from(*unit)).sum();
    let scaled = (count * squares - sum * sum) as f64;
    (sum as f64 / count as f64 / scale, scaled / (count * count) as f64 / (scale * scale))
}

proptest! {
    #[test]
    fn statistics_are_those_of_an_independent_computation(
        readings in prop::collection::vec((0usize..3, -1_000_000i64..1_000_000), 0..200),
        decimals in 0usize..7,
        part in 1usize..100,
    ) {
        let names = ["weather:EWR:temperature", "weather:EWR:wind", "x"];
        let scale = 10_i64.pow(decimals as u32);
        let mut text = String::new();
        let mut expected: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (sensor, unit) in &readings {
            let (sign, size) = (if *unit < 0 { "-" } else { "" }, unit.abs());
            let point = if decimals > 0 { format!(".{:0decimals$}", size % scale) } else { String::new() };
            text += &format!("{},{sign}{}{point}\n", names[*sensor], size / scale);
            expected.entry(names[*sensor]).or_default().push(*unit);
        }
        let (count, over_limit, malformed, sensors) = read_in_parts(text.as_bytes(), part);
        prop_assert_eq!((count, over_limit, malformed), (readings.len() as u64, 0, 0));
        prop_assert_eq!(sensors.len(), expected.len());
        for (name, count, [minimum, maximum, mean, variance]) in sensors {
            let units = &expected[name.as_str()];
            let scale = scale as f64;
            let (exact_mean, exact_variance) = exact(units, scale);
            let largest = minimum.abs().max(maximum.abs());
            prop_assert_eq!(count, units.len() as u64);
            prop_assert_eq!(Some(minimum), units.iter().min().map(|unit| *unit as f64 / scale));
            prop_assert_eq!(Some(maximum), units.iter().max().map(|unit| *unit as f64 / scale));
            prop_assert!((mean - exact_mean).abs() <= 1e-13 * largest);
            prop_assert!((variance - exact_variance).abs() <= 1e-12 * (exact_variance + largest * largest));
        }
    }

    #[test]
    fn the_quick_way_reads_what_the_other_one_does(value in "-?[0-9]{0,17}\\.?[0-9]{0,17}(e-?[0-9])?\r?") {
        // The first reading of a sensor takes the other way, the later ones of the same the quick one if they can.
        let slow = read_in_parts(format!("a,{value}\n").as_bytes(), 1000);
        let quick = read_in_parts(format!("b,7\nb,7\na,7\nb,7\na,{value}\n").as_bytes(), 1000);
        prop_assert_eq!(quick.0, slow.0 + 4);
        if let [(_, 1, [least, ..])] = slow.3[..] {
            let seven = |figures: &[f64; 4]| if least < 7.0 { figures[0] } else { figures[1] };
            prop_assert_eq!(seven(&quick.3[1].2).to_bits(), least.to_bits());
        }
    }

    #[test]
    fn any_text_gives_the_same_in_parts(text in "([ab],?-?[0-9]{0,3}\\.?[0-9]{0,2}|x{0,300})(\r?\n([ab],[0-9]{1,20}|,|b)){0,6}") {
        read(&text);
    }
}
