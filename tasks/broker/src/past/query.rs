//! Questions to InfluxDB, in its language InfluxQL. Names in them come from the database or from sensors: each is quoted.
//!
//! Source: the InfluxDB documentation, "InfluxQL reference", identifiers and strings.

use alloc::format;
use alloc::string::String;

use store::Span;

/// Some of all series, in the order in which the database has them.
pub(super) fn series(most: usize, behind: usize) -> String {
    format!("SHOW SERIES LIMIT {most} OFFSET {behind}")
}

/// The fields of a measurement and their types.
pub(super) fn fields(measurement: &str) -> String {
    format!("SHOW FIELD KEYS FROM {}", quoted(measurement, '"'))
}

/// A field in a span, of the series that have these tags. They are grouped by all tags, so that the answer says which of those
/// series it is.
pub(super) fn readings(measurement: &str, tags: &[(String, String)], field: &str, span: Span) -> String {
    let Span { from_ns, until_ns } = span;
    let (field, measurement) = (quoted(field, '"'), quoted(measurement, '"'));
    let mut query = format!("SELECT {field}::field FROM {measurement} WHERE time >= {from_ns} AND time < {until_ns}");
    for (tag, value) in tags {
        query += &format!(" AND {}::tag = {}", quoted(tag, '"'), quoted(value, '\''));
    }
    query + " GROUP BY *"
}

/// A text between quotes of a kind.
fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => quoted.push_str("\\n"),
            character => {
                if character == quote || character == '\\' {
                    quoted.push('\\');
                }
                quoted.push(character);
            }
        }
    }
    quoted.push(quote);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_quotes() {
        let tags = [("a\"b".into(), "x' OR ''='\\".into()), ("c".into(), "line\nend".into())];
        let query = readings("m\" ; DROP DATABASE d; --", &tags, "f\\\"", Span { from_ns: -1, until_ns: 5 });
        assert_eq!(
            query,
            "SELECT \"f\\\\\\\"\"::field FROM \"m\\\" ; DROP DATABASE d; --\" WHERE time >= -1 AND time < 5 \
             AND \"a\\\"b\"::tag = 'x\\' OR \\'\\'=\\'\\\\' AND \"c\"::tag = 'line\\nend' GROUP BY *"
        );
        assert_eq!(fields("a\"b"), "SHOW FIELD KEYS FROM \"a\\\"b\"");
    }
}
