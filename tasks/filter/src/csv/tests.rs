//! Tests of tables: each is read whole, and in parts of any size.

use alloc::borrow::ToOwned;
use alloc::string::ToString;

use super::*;

/// Columns as their parameters say them.
fn columns(values: &[&str]) -> Columns {
    Columns {
        values: values.iter().map(ToString::to_string).collect(),
        sensor: None,
        time: None,
        separator: b',',
        decimal: Decimal::Point,
        header: true,
    }
}

fn read_in_parts(columns: &Columns, text: &str, part: usize) -> Result<Readings, Error> {
    let mut table = Table::new(columns.clone(), 9);
    text.as_bytes().chunks(part).try_for_each(|piece| table.push(piece))?;
    table.push(&[])?;
    Ok(table.readings())
}

/// Name, count and mean of each sensor.
type Sensors = Vec<(String, u64, f64)>;

/// Reads a table; its figures and its sensors.
fn read(columns: &Columns, text: &str) -> Result<(Readings, Sensors), Error> {
    let sensors = |readings: &mut Readings| {
        let sensors = core::mem::take(&mut readings.tally.sensors).into_statistics();
        sensors.map(|(name, found)| (name, found.count(), found.mean())).collect::<Sensors>()
    };
    let mut whole = read_in_parts(columns, text, text.len().max(1))?;
    let found = sensors(&mut whole);
    for part in 1..text.len().min(20) {
        let mut parts = read_in_parts(columns, text, part)?;
        assert_eq!(sensors(&mut parts), found, "in parts of {part}");
        let figures = |of: &Readings| {
            (of.tally.readings, of.tally.malformed, of.tally.sample.clone(), of.missing, of.not_numeric)
        };
        assert_eq!((figures(&parts), &parts.times), (figures(&whole), &whole.times), "in parts of {part}");
    }
    Ok((whole, found))
}

fn sensor(name: &str, count: u64, mean: f64) -> (String, u64, f64) {
    (name.to_owned(), count, mean)
}

#[test]
fn columns_of_numbers_are_found_when_none_is_named() {
    let text = "date,rain,high,sky\n2031-01-01,0.0,11.8,drizzle\n2031-01-02,9.5,9.6,rain\n";
    let (found, sensors) = read(&columns(&[]), text).expect("a table");
    assert_eq!(sensors, [sensor("rain", 2, 4.75), sensor("high", 2, 10.7)]);
    assert_eq!((found.tally.readings, found.tally.malformed, found.missing, found.not_numeric), (4, 0, 0, 4));
}

#[test]
fn columns_may_be_named_or_numbered() {
    let text = "date,rain,high\n1,0.5,11\n2,1.5,13\n";
    for names in [["rain", "high"], ["2", "3"], ["rain", "3"]] {
        let (_, sensors) = read(&columns(&names), text).expect("a table");
        assert_eq!(sensors, [sensor("rain", 2, 1.0), sensor("high", 2, 12.0)]);
    }
    let without_header = Columns { header: false, ..columns(&["2"]) };
    let (_, sensors) = read(&without_header, "a,1\nb,3\n").expect("a table");
    assert_eq!(sensors, [sensor("column2", 2, 2.0)]);
    let all = Columns { header: false, ..columns(&[]) };
    assert_eq!(read(&all, "5,1\n7,3\n").expect("a table").1, [sensor("column1", 2, 6.0), sensor("column2", 2, 2.0)]);
}

#[test]
fn a_name_is_looked_for_before_a_number() {
    let (_, sensors) = read(&columns(&["2"]), "2,1\n10,20\n").expect("a table");
    assert_eq!(sensors, [sensor("2", 1, 10.0)]);
}

#[test]
fn a_column_may_name_the_sensors() {
    let text = "symbol,date,price\nMSFT,Jan 1 2000,39.5\nIBM,Jan 1 2000,100\nMSFT,Feb 1 2000,40.5\n";
    let by_symbol = Columns { sensor: Some("symbol".to_owned()), time: Some("date".to_owned()), ..columns(&["price"]) };
    let (found, sensors) = read(&by_symbol, text).expect("a table");
    assert_eq!(sensors, [sensor("MSFT", 2, 40.0), sensor("IBM", 1, 100.0)]);
    assert_eq!(found.times, Some(("Jan 1 2000".to_owned(), "Feb 1 2000".to_owned())));
    let two = Columns { sensor: Some("1".to_owned()), ..columns(&["2", "3"]) };
    let (_, sensors) = read(&two, "place,high,low\nS\u{e3}o Paulo,30,20\n").expect("a table");
    assert_eq!(sensors, [sensor("S\u{e3}o Paulo/high", 1, 30.0), sensor("S\u{e3}o Paulo/low", 1, 20.0)]);
}

#[test]
fn a_column_that_is_not_there_is_an_error_that_lists_those_that_are() {
    for column in ["wind", "4"] {
        let Err(error) = read(&columns(&[column]), "date,rain,high\n") else { panic!("{column}") };
        let there_are = "date, rain, high".to_owned();
        assert_eq!(error, Error::NoColumn { column: column.to_owned(), there_are });
    }
}

#[test]
fn numbers_may_have_any_decimal_form_and_may_be_missing() {
    let text = "x\n.5\n5.\n1e3\n+3\n -1 \n\"7\"\nNaN\nNA\nn/a\nnull\n-\n\"\"\n";
    let (found, sensors) = read(&columns(&["x"]), text).expect("a table");
    assert_eq!(sensors, [sensor("x", 6, 1014.5 / 6.0)]);
    assert_eq!((found.missing, found.tally.malformed), (6, 0));
}

#[test]
fn a_decimal_comma_is_one_only_if_it_was_said() {
    let semicolon = Columns { separator: b';', header: false, ..columns(&["2"]) };
    let (found, _) = read(&semicolon, "a;1,5\nb;2\n").expect("a table");
    assert_eq!((found.tally.readings, found.tally.malformed), (1, 1));
    let comma = Columns { decimal: Decimal::Comma, ..semicolon };
    let (found, sensors) = read(&comma, "a;1,5\nb;2,5\nc;1.234,5\nd;1.234\n").expect("a table");
    assert_eq!(sensors, [sensor("column2", 2, 2.0)]);
    assert_eq!((found.tally.readings, found.tally.malformed), (2, 2));
}

#[test]
fn what_should_be_a_number_and_is_not_is_counted_and_shown() {
    let text = "name,x,y\n\"a, b\",1,2\nc,warm,3\nd,4\n";
    let (found, sensors) = read(&columns(&["x", "y"]), text).expect("a table");
    assert_eq!(sensors, [sensor("x", 2, 2.5), sensor("y", 2, 2.5)]);
    assert_eq!((found.tally.malformed, found.not_numeric), (2, 0));
    let sample = found.tally.sample.expect("a sample");
    assert_eq!((sample.line, sample.text.as_str()), (3, "c,warm,3"));
}

#[test]
fn a_row_with_more_columns_than_the_first_is_not_trusted() {
    let text = "name,x,y\nSmith, John,1,2\nJane,3,4,\n";
    let (found, sensors) = read(&columns(&["x"]), text).expect("a table");
    assert_eq!((found.tally.malformed, sensors), (1, [sensor("x", 1, 3.0)].to_vec()));
}

#[test]
fn columns_with_one_name_are_two_sensors() {
    let (_, sensors) = read(&columns(&[]), "x,x,\n1,2,3\n").expect("a table");
    assert_eq!(sensors, [sensor("x", 1, 1.0), sensor("x.2", 1, 2.0), sensor("column3", 1, 3.0)]);
}

#[test]
fn a_sensor_without_a_usable_name_is_malformed() {
    let by_name = Columns { sensor: Some("1".to_owned()), ..columns(&["2"]) };
    let text = ["n,x\n,1\n\x07,2\n", &"y".repeat(NAME_BYTES + 1), ",3\na,4\n"].concat();
    let (found, sensors) = read(&by_name, &text).expect("a table");
    assert_eq!((found.tally.malformed, sensors), (3, [sensor("a", 1, 4.0)].to_vec()));
}
