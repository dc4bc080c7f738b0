//! Tests of numbers in JSON text.

use alloc::string::String;

use proptest::prelude::*;

use super::{LARGEST, parse, write};

fn written(number: f64) -> String {
    let mut text = String::new();
    write(number, &mut text);
    text
}

#[test]
fn what_json_allows_is_read() {
    for (text, number) in
        [("0", 0.0), ("-0", -0.0), ("12", 12.0), ("-1.50", -1.5), ("1e3", 1000.0), ("1E+3", 1000.0), ("25e-1", 2.5)]
    {
        assert_eq!(parse(text), Some(number), "{text}");
    }
}

#[test]
fn numbers_that_no_sensor_gives_are_refused() {
    assert_eq!(parse("1e100"), Some(LARGEST));
    for text in ["1.1e100", "-1e101", "1e999", "1e99999999999999999999", "", "-", "nan", "inf"] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn halfway_cases_are_rounded_correctly() {
    assert_eq!(parse("9007199254740993"), Some(9_007_199_254_740_992.0));
    assert_eq!(parse("9007199254740993.00000000000000000001"), Some(9_007_199_254_740_994.0));
    assert_eq!(parse("2.2250738585072011e-308").map(f64::to_bits), Some(0x000f_ffff_ffff_ffff));
}

#[test]
fn numbers_are_written_short() {
    assert_eq!([written(0.1), written(4.0), written(1e21), written(-1.5e-7)], ["0.1", "4.0", "1e+21", "-1.5e-7"]);
}

proptest! {
    #[test]
    fn agrees_with_core(text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?") {
        let number: f64 = text.parse().unwrap();
        prop_assert_eq!(parse(&text), Some(number).filter(|number| number.abs() <= LARGEST));
    }

    #[test]
    fn what_is_written_reads_back(number in -LARGEST..LARGEST) {
        let text = written(number);
        prop_assert_eq!(parse(&text).map(f64::to_bits), Some(number.to_bits()));
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = parse(&text);
    }
}
