//! Tests of heads: each is read whole, and refused or not whole at any other length.

use alloc::format;
use alloc::vec::Vec;

use super::*;

fn content(fields: &str) -> Result<Content, Fault> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let length = head.len();
    let (found, answer) = read(format!("{head}body").as_bytes())?.expect("a whole head");
    assert_eq!(found, length);
    for part in 0..length {
        assert_eq!(read(&head.as_bytes()[..part]), Ok(None));
    }
    match answer {
        Answer::Content(content) => Ok(content),
        other => panic!("{other:?}"),
    }
}

fn body(fields: &str) -> Result<Body, Fault> {
    content(fields).map(|content| content.body)
}

#[test]
fn the_fields_say_how_the_body_is_framed() {
    assert_eq!(body(""), Ok(Body::ToEnd));
    assert_eq!(body("content-LENGTH: 18446744073709551615\r\n"), Ok(Body::Length(u64::MAX)));
    assert_eq!(body("Transfer-Encoding: chunked\r\n"), Ok(Body::CHUNKED));
    assert_eq!(body("Content-Length: 5\r\nTransfer-Encoding: Chunked\r\nX: y\r\n"), Ok(Body::CHUNKED));
    assert_eq!(body("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Ok(Body::CHUNKED));
    assert_eq!(body("Content-Length: 5\r\nContent-Length: 5\r\n"), Ok(Body::Length(5)));
    assert_eq!(body("Content-Length: 12, 12\r\n"), Ok(Body::Length(12)));
}

#[test]
fn a_folded_field_is_read_as_if_it_were_not() {
    assert_eq!(body("X-Policy:\r\n  default-src x\r\nContent-Length: 12\r\n"), Ok(Body::Length(12)));
    assert_eq!(body("Transfer-Encoding:\r\n\tchunked\r\n"), Ok(Body::CHUNKED));
    assert_eq!(body("Content-Length:\r\n 12\r\n"), Ok(Body::Length(12)));
    assert_eq!(body("Content-Length : 12\r\n"), Ok(Body::Length(12)));
}

#[test]
fn what_cannot_be_framed_is_refused_by_its_name() {
    for length in ["", "-1", "+1", "18446744073709551616", "0x10", "1 2", "1.0"] {
        assert_eq!(body(&format!("Content-Length: {length}\r\n")), Err(Fault::Length), "{length:?}");
    }
    assert_eq!(body("Content-Length: 5\r\nContent-Length: 6\r\n"), Err(Fault::Lengths));
    assert_eq!(body("Content-Length: 1,2\r\n"), Err(Fault::Lengths));
    assert_eq!(body("Transfer-Encoding: gzip, chunked\r\n"), Err(Fault::TransferCoding("gzip".into())));
    assert_eq!(body("Transfer-Encoding: gzip\r\n"), Err(Fault::TransferCoding("gzip".into())));
    assert_eq!(
        body("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Err(Fault::TransferCoding("chunked".into()))
    );
}

#[test]
fn a_content_is_plain_or_compressed_once() {
    let coding = |fields: &str| content(fields).map(|content| content.coding);
    assert_eq!(coding(""), Ok(Coding::Identity));
    assert_eq!(coding("Content-Encoding: identity\r\n"), Ok(Coding::Identity));
    assert_eq!(coding("Content-Encoding: GZip\r\n"), Ok(Coding::Gzip));
    assert_eq!(coding("Content-Encoding: x-gzip\r\n"), Ok(Coding::Gzip));
    assert_eq!(coding("Content-Encoding: br\r\n"), Err(Fault::Coding("br".into())));
    assert_eq!(coding("Content-Encoding: gzip, gzip\r\n"), Err(Fault::Coding("gzip".into())));
}

#[test]
fn what_tells_one_content_from_another_is_kept() {
    let found =
        content("ETag: \"a b\"\r\nLast-Modified: Mon, 30 Nov 2026 23:34:04 GMT\r\nContent-Type: Text/CSV; x=y\r\n");
    let found = found.expect("a content");
    assert_eq!(found.etag.as_deref(), Some("\"a b\""));
    assert_eq!(found.last_modified.as_deref(), Some("Mon, 30 Nov 2026 23:34:04 GMT"));
    assert_eq!(found.media_type.as_deref(), Some("text/csv"));
    // One that may stay the same when bytes change is no use, and one with a line end in it is a trap.
    assert_eq!(content("ETag: W/\"a\"\r\n").expect("a content").etag, None);
    assert_eq!(content("ETag: \"a\r\n b\"\r\n").expect("a content").etag, None);
}

#[test]
fn a_part_says_where_it_is() {
    let part = |range: &str| content(&format!("Content-Range: {range}\r\n")).map(|content| content.part);
    assert_eq!(part("bytes 5-9/10"), Ok(Some(Part { first: 5, is_rest: true })));
    assert_eq!(part("bytes 5-8/10"), Ok(Some(Part { first: 5, is_rest: false })));
    assert_eq!(part("bytes 5-9/*"), Ok(Some(Part { first: 5, is_rest: true })));
    assert_eq!(part("bytes 0-18446744073709551615/10"), Ok(Some(Part { first: 0, is_rest: false })));
    for range in ["", "bytes */10", "bytes 9-5/10", "bytes 5-9", "lines 5-9/10", "bytes -9/10"] {
        assert_eq!(part(range), Err(Fault::Part), "{range:?}");
    }
}

#[test]
fn other_answers_are_told_apart() {
    let answer = |head: &str| read(head.as_bytes()).map(|whole| whole.expect("a whole head").1);
    assert_eq!(answer("HTTP/1.1 404 Not Found\r\n\r\n"), Ok(Answer::Other(404)));
    assert_eq!(answer("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Ok(Answer::Other(101)));
    assert_eq!(answer("HTTP/1.1 100 Continue\r\n\r\n"), Ok(Answer::Interim));
    assert_eq!(answer("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"), Ok(Answer::Interim));
    assert_eq!(answer("HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n"), Ok(Answer::Redirect(302, Some("/a".into()))));
    assert_eq!(answer("HTTP/1.1 308 X\r\n\r\n"), Ok(Answer::Redirect(308, None)));
    assert_eq!(answer("HTTP/1.1 304 Not Modified\r\n\r\n"), Ok(Answer::Other(304)));
    assert!(matches!(answer("HTTP/1.0 200 OK\r\n\r\n"), Ok(Answer::Content(_))));
}

#[test]
fn what_is_no_head_is_refused_by_its_name() {
    for text in
        ["220 mail\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\u{16}\u{3}\u{1}\r\n", "SSH-2.0-x\r\n"]
    {
        assert_eq!(read(text.as_bytes()), Err(Fault::NotHttp), "{text:?}");
    }
    let many = "x: y\r\n".repeat(FIELDS + 1);
    assert_eq!(read(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()), Err(Fault::Fields));
    assert_eq!(read(b"HTTP/1.1 200 OK\r\nno field\r\n\r\n"), Err(Fault::Field));
    assert_eq!(read(b"HTTP/1.1 200 OK\r\nx\0: y\r\n\r\n"), Err(Fault::Field));
}

#[test]
fn each_fault_has_words_of_its_own_and_names_what_was_not_asked_for() {
    let (coding, transfer) = (Fault::Coding("br".into()), Fault::TransferCoding("gzip".into()));
    assert!(format!("{coding}").contains("content coding \"br\"") && format!("{transfer}").contains("\"gzip\""));
    let others =
        [Fault::NotHttp, Fault::Field, Fault::Fields, Fault::TooLong, Fault::Cut, Fault::Length, Fault::Lengths];
    let words: Vec<_> =
        others.iter().chain([&Fault::Part, &coding, &transfer]).map(|fault| format!("{fault}")).collect();
    for (index, words_of_one) in words.iter().enumerate() {
        assert!(!words_of_one.is_empty() && !words[..index].contains(words_of_one), "{words_of_one}");
    }
}
