//! Tests of frames: each is read whole, and byte for byte.

use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{BadChunk, Body};

/// What of `data` is the body, and how much of `data` is left, when it comes in parts of a size.
fn read(mut body: Body, data: &[u8], part: usize) -> Result<(Vec<u8>, bool), BadChunk> {
    let mut found = Vec::new();
    for mut part in data.chunks(part) {
        while !part.is_empty() && !body.is_complete() {
            found.extend_from_slice(body.take(&mut part)?);
        }
    }
    Ok((found, body.is_complete()))
}

/// The same for any size, which must not matter.
fn read_anyhow(body: Body, data: &[u8]) -> Result<(Vec<u8>, bool), BadChunk> {
    let whole = read(body, data, data.len().max(1));
    for part in 1..=data.len().min(7) {
        assert_eq!(read(body, data, part), whole);
    }
    whole
}

fn chunked(text: &str) -> Result<(Vec<u8>, bool), BadChunk> {
    read_anyhow(Body::CHUNKED, text.as_bytes())
}

#[test]
fn a_body_of_known_length_ends_there() {
    assert_eq!(read_anyhow(Body::Length(3), b"abcdef"), Ok((b"abc".to_vec(), true)));
    assert_eq!(read_anyhow(Body::Length(7), b"abcdef"), Ok((b"abcdef".to_vec(), false)));
    assert!(Body::Length(0).is_complete());
    assert!(!Body::Length(1).may_end());
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    assert_eq!(read_anyhow(Body::ToEnd, b"abc"), Ok((b"abc".to_vec(), false)));
    assert!(Body::ToEnd.may_end());
}

#[test]
fn chunks_are_put_together_without_their_frames() {
    assert_eq!(chunked("3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n"), Ok((b"abc0123456789".to_vec(), true)));
    assert_eq!(chunked("2;a=b;c\r\nab\r\n1 \r\nc\r\n000\r\nx: y\r\nz: 1\r\n\r\nmore"), Ok((b"abc".to_vec(), true)));
    assert_eq!(chunked("5\r\nab"), Ok((b"ab".to_vec(), false)));
    assert_eq!(chunked("0\r\n\r\n"), Ok((Vec::new(), true)));
}

#[test]
fn a_wrong_frame_is_refused() {
    for text in ["\r\n", "x\r\n", ";\r\n", "3\r\nabcd\r\n", "1\r\na0\r\n", "11111111111111111\r\n", "-1\r\n", "0x1\r\n"]
    {
        assert_eq!(chunked(text), Err(BadChunk), "{text:?}");
    }
}

#[test]
fn a_length_of_64_bits_is_one() {
    let (found, complete) = chunked("ffffffffffffffff\r\nabc").expect("a chunk");
    assert_eq!((&found[..], complete), (&b"abc"[..], false));
}

proptest! {
    #[test]
    fn chunks_of_any_sizes_in_parts_of_any_size(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..10),
        part in 1usize..50,
    ) {
        let mut text = Vec::new();
        for chunk in &chunks {
            text.extend(format!("{:x}\r\n", chunk.len()).bytes());
            text.extend(chunk);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\n\r\n");
        prop_assert_eq!(read(Body::CHUNKED, &text, part), Ok((chunks.concat(), true)));
    }

    #[test]
    fn any_bytes_give_the_same_in_parts(data in prop::collection::vec(prop::sample::select(b"01f\r\n;x".to_vec()), 0..60)) {
        let _ = read_anyhow(Body::CHUNKED, &data);
    }
}
