//! Tests of numbers in JSON text, against `core`'s own conversions.

use alloc::format;
use alloc::string::String;

use proptest::prelude::*;

use super::{LARGEST, parse, parse_decimal, write};

fn written(number: f64) -> String {
    let mut text = String::new();
    write(number, &mut text);
    text
}

#[test]
fn what_json_allows_is_read() {
    for (text, number) in [
        ("0", 0.0),
        ("12", 12.0),
        ("-1.50", -1.5),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("25e-1", 2.5),
        ("0.0e99999999999", 0.0),
        ("100000000000000000000000000000e-29", 1.0),
    ] {
        assert_eq!(parse(text), Some(number), "{text}");
    }
    assert_eq!(parse("-0").map(f64::to_bits), Some((-0.0f64).to_bits()));
}

#[test]
fn numbers_that_no_sensor_gives_are_refused() {
    assert_eq!((parse("1e30"), parse("-1e30")), (Some(LARGEST), Some(-LARGEST)));
    for text in ["1.1e30", "-1e31", "1e999", "1e99999999999999999999", &"9".repeat(400)] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in ["", "-", "+1", ".5", "e5", "1e", "1e+", "1e5.0", "1.2.3", "1 ", "--1", "nan", "inf", "0x10", "1e-"] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn decimals_may_have_a_plus_or_begin_with_their_point() {
    for (text, number) in [("+5", 5.0), (".5", 0.5), ("-.5e1", -5.0), ("5.", 5.0), ("+.25", 0.25), ("-12", -12.0)] {
        assert_eq!(parse_decimal(text.as_bytes()), Some(number), "{text}");
    }
    for text in ["", ".", "+", "+.", "-+1", "..5", ".e5", "e5", " 1", "1,5", "nan", "1.1e30"] {
        assert_eq!(parse_decimal(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn numbers_below_what_sensors_give_are_zero() {
    assert_eq!(parse("1e-38"), Some(1e-38));
    for text in ["9e-39", "1e-300", "1e-99999999999", "0.000000000000000000000000000000000000000000000001"] {
        assert_eq!(parse(text), Some(0.0), "{text}");
    }
}

#[test]
fn halfway_cases_are_rounded_to_even() {
    assert_eq!(parse("9007199254740993"), Some(9_007_199_254_740_992.0));
    assert_eq!(parse("9007199254740995"), Some(9_007_199_254_740_996.0));
    assert_eq!(parse("9007199254740993.00000000000000000001"), Some(9_007_199_254_740_994.0));
    assert_eq!(parse("4503599627370497.5"), Some(4_503_599_627_370_498.0));
    assert_eq!(parse("4503599627370496.5"), Some(4_503_599_627_370_496.0));
    assert_eq!(parse("4503599627370496.50000000000000000001"), Some(4_503_599_627_370_497.0));
    assert_eq!(parse("90071992547409930000000000000"), Some(90_071_992_547_409_930_000_000_000_000.0));
}

#[test]
fn numbers_about_the_largest_of_64_bits_are_read() {
    for digits in
        [u64::MAX - 9, u64::MAX - 1, u64::MAX].map(u128::from).into_iter().flat_map(|largest| largest..largest + 30)
    {
        let text = format!("{digits}");
        assert_eq!(parse(&text), text.parse().ok(), "{text}");
    }
}

#[test]
fn numbers_are_written_short() {
    assert_eq!([written(0.1), written(4.0), written(1e21), written(-1.5e-7)], ["0.1", "4.0", "1e+21", "-1.5e-7"]);
}

proptest! {
    #[test]
    fn agrees_with_core(digits in 0u64..10_000_000_000_000_000_000, after_point in 0i32..10, exponent in -10i32..11) {
        let digits = format!("{digits:020}");
        let (whole, fraction) = digits.split_at(20 - after_point as usize);
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("-{whole}{point}{fraction}e{exponent}");
        let number: f64 = text.parse().unwrap();
        prop_assert_eq!(parse(&text).map(f64::to_bits), Some(number.to_bits()), "{}", text);
    }

    #[test]
    fn long_numbers_are_close(text in "(0|[1-9][0-9]{0,25})(\\.[0-9]{1,40})?([eE]-?[0-4])?") {
        let number: f64 = text.parse().unwrap();
        let found = parse(&text).unwrap();
        prop_assert!(number.to_bits().abs_diff(found.to_bits()) <= 1, "{}: {} {}", text, number, found);
    }

    #[test]
    fn what_is_written_reads_back(number in any::<f64>(), size in -20i32..29) {
        // A mantissa of any bits, of a size that sensors have.
        let number = f64::from_bits(number.to_bits() & !(0x7ff << 52) | 0x3ff << 52) * 10f64.powi(size);
        let text = written(number);
        let found = parse(&text).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        prop_assert!(number.to_bits().abs_diff(found.to_bits()) <= u64::from(size < -2), "{}: {}", text, found);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        prop_assert!(parse(&text).is_none_or(|number| text.parse() == Ok(number)));
    }
}
