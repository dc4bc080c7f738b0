//! Answers of InfluxDB 1.x to queries, as JSON of which each line is whole.
//!
//! A server that is asked for chunks (`chunked=true`) sends one object a line, with no more rows in each than it was asked
//! for. Its CSV would be shorter, but says nothing of an error behind the beginning: a part would pass for the whole.
//!
//! Source: the InfluxDB documentation, "InfluxDB API reference", `/query`; answers of 1.6.7.

use alloc::string::String;
use alloc::vec::Vec;

use nanojson::Parser;

use crate::Unreadable;
use crate::json::{DEPTH, read_number, skip};
use crate::time::Precision;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part<'a> {
    /// There is no answer, or no more of it, in the server's words.
    Error(&'a str),
    /// Another series: the rows behind it are its own.
    Series,
    /// A tag of the series, and its value, which is empty where the series does not have the tag.
    Tag(&'a str, &'a str),
    /// A row of texts, of which the second may not be there.
    Texts(&'a str, &'a str),
    /// A row of a time, in seconds since 1970, and a number.
    Reading(f64, f64),
    /// A row that is neither.
    Other,
}

/// Reads a line and hands out what it says. `scratch` is memory to use again.
///
/// # Errors
/// [`Unreadable`] when it is not such an object. What was handed out until then stands.
pub fn read(line: &[u8], scratch: &mut Vec<u8>, take: &mut dyn FnMut(Part<'_>)) -> Result<(), Unreadable> {
    core::str::from_utf8(line).map_err(|_| Unreadable)?;
    // No text is longer than the line.
    scratch.resize(line.len(), 0);
    let mut parser = Parser::new(line, scratch);
    object(&mut parser, &mut |parser, key| match key {
        "error" => error(parser, take),
        "results" => items(parser, &mut |parser| result(parser, take)),
        _ => skip(parser, DEPTH),
    })?;
    Ok(parser.finish()?)
}

/// The result of one statement.
fn result(parser: &mut Parser<'_, '_>, take: &mut dyn FnMut(Part<'_>)) -> Result<(), Unreadable> {
    object(parser, &mut |parser, key| match key {
        "error" => error(parser, take),
        "series" => items(parser, &mut |parser| series(parser, take)),
        _ => skip(parser, DEPTH),
    })
}

fn series(parser: &mut Parser<'_, '_>, take: &mut dyn FnMut(Part<'_>)) -> Result<(), Unreadable> {
    take(Part::Series);
    object(parser, &mut |parser, key| match key {
        "tags" => object(parser, &mut |parser, tag| {
            take(Part::Tag(tag, parser.string()?));
            Ok(())
        }),
        "values" => items(parser, &mut |parser| row(parser, take)),
        _ => skip(parser, DEPTH),
    })
}

fn row(parser: &mut Parser<'_, '_>, take: &mut dyn FnMut(Part<'_>)) -> Result<(), Unreadable> {
    let (mut numbers, mut texts) = ([None; 2], [const { String::new() }; 2]);
    let (mut cells, mut kinds) = (0, [0; 2]);
    items(parser, &mut |parser| {
        if cells >= 2 {
            skip(parser, DEPTH)?;
        } else if parser.is_string_ahead() {
            texts[cells].push_str(parser.string()?);
            kinds[0] += 1;
        } else {
            numbers[cells] = read_number(parser)?;
            kinds[1] += usize::from(numbers[cells].is_some());
        }
        cells += 1;
        Ok(())
    })?;
    take(match (cells, kinds, numbers) {
        (2, _, [Some(time), Some(value)]) => Part::Reading(Precision::Nanoseconds.seconds(time), value),
        (1 | 2, [texts_there, 0], _) if texts_there == cells => Part::Texts(&texts[0], &texts[1]),
        _ => Part::Other,
    });
    Ok(())
}

fn error(parser: &mut Parser<'_, '_>, take: &mut dyn FnMut(Part<'_>)) -> Result<(), Unreadable> {
    take(Part::Error(parser.string()?));
    Ok(())
}

/// Each member of an object.
fn object(
    parser: &mut Parser<'_, '_>,
    member: &mut dyn FnMut(&mut Parser<'_, '_>, &str) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    parser.object_begin()?;
    while let Some(key) = parser.member_decoded()?.map(String::from) {
        member(parser, &key)?;
    }
    Ok(parser.object_end()?)
}

/// Each item of an array.
fn items(
    parser: &mut Parser<'_, '_>,
    item: &mut dyn FnMut(&mut Parser<'_, '_>) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    parser.array_begin()?;
    while parser.array_item()? {
        item(parser)?;
    }
    Ok(parser.array_end()?)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// What a line says, in short.
    fn said(line: &str) -> Result<String, Unreadable> {
        let mut said = String::new();
        read(line.as_bytes(), &mut Vec::new(), &mut |part| {
            said += &match part {
                Part::Error(why) => format!("error {why};"),
                Part::Series => "series;".into(),
                Part::Tag(tag, value) => format!("{tag}={value};"),
                Part::Texts(one, other) => format!("[{one}|{other}];"),
                Part::Reading(time, value) => format!("{time}:{value};"),
                Part::Other => "other;".into(),
            };
        })?;
        Ok(said)
    }

    #[test]
    fn answers_of_a_server() {
        for (line, expected) in [
            (r#"{"results":[{"statement_id":0}]}"#, ""),
            (
                r#"{"results":[{"statement_id":0,"series":[{"columns":["key"],"values":[["we\\ ird\\,x,q\"uo=a\\=b'c"],["weather"]]}]}]}"#,
                r#"series;[we\ ird\,x,q"uo=a\=b'c|];[weather|];"#,
            ),
            (
                r#"{"results":[{"statement_id":0,"series":[{"name":"weather","columns":["fieldKey","fieldType"],"values":[["on","boolean"],["t","float"]],"partial":true}],"partial":true}]}"#,
                "series;[on|boolean];[t|float];",
            ),
            (
                r#"{"results":[{"statement_id":0,"series":[{"name":"weather","tags":{"place":"","x":"a,b"},"columns":["time","t"],"values":[[1700000000000000000,0.5],[1700000001000000000,null],[1,2e+25]]}]}]}"#,
                "series;place=;x=a,b;1700000000:0.5;other;0.000000001:20000000000000000000000000;",
            ),
            (
                r#"{"results":[{"statement_id":0,"error":"database not found: nodb"}]}"#,
                "error database not found: nodb;",
            ),
            (r#"{"error":"error parsing query: found bar"}"#, "error error parsing query: found bar;"),
        ] {
            assert_eq!(said(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_answer_is_unreadable() {
        for line in
            ["", "x", "[]", r#"{"results":1}"#, r#"{"results":[{"series":[{"values":[1]}]}]}"#, r#"{"error":1}"#]
        {
            assert_eq!(said(line), Err(Unreadable), "{line}");
        }
        assert_eq!(
            said(r#"{"results":[{"series":[{"values":[[],[1,"a"],[1,2,3],["a","b","c"]]}]}]}"#).as_deref(),
            Ok("series;other;other;other;other;")
        );
    }
}
