//! The head of a server's answer.

use httparse::{EMPTY_HEADER, Response, Status};

use crate::Error;
use crate::body::Body;

/// The longest head, and the most fields in it.
pub const HEAD_BYTES: usize = 8192;
const FIELDS: usize = 64;

/// Reads the head at the beginning of `data`: its length, and the frame of the body behind it. `None` if it is not whole.
///
/// # Errors
/// It is no head of HTTP/1, the answer is not 200, or the body is in a form that was not asked for.
pub fn read(data: &[u8]) -> Result<Option<(usize, Body)>, Error> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut response = Response::new(&mut fields);
    let Status::Complete(length) = response.parse(data).map_err(|_| Error::NotHttp)? else { return Ok(None) };
    match response.code {
        Some(200) => {}
        Some(status) => return Err(Error::Status(status)),
        None => return Err(Error::NotHttp),
    }
    let mut body = Body::ToEnd;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Error::Encoding("transfer encoding"));
            }
            // It overrides a length.
            body = Body::CHUNKED;
        } else if field.name.eq_ignore_ascii_case("content-encoding") {
            if !field.value.eq_ignore_ascii_case(b"identity") {
                return Err(Error::Encoding("content encoding"));
            }
        } else if field.name.eq_ignore_ascii_case("content-length") && body != Body::CHUNKED {
            let length = Body::Length(number(field.value).ok_or(Error::NotHttp)?);
            if body != Body::ToEnd && body != length {
                return Err(Error::NotHttp);
            }
            body = length;
        }
    }
    Ok(Some((length, body)))
}

/// A number of decimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn body(fields: &str) -> Result<Body, Error> {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let length = head.len();
        let (found, body) = read(format!("{head}body").as_bytes())?.expect("a whole head");
        assert_eq!(found, length);
        for part in 0..length {
            assert_eq!(read(&head.as_bytes()[..part]), Ok(None));
        }
        Ok(body)
    }

    #[test]
    fn the_fields_say_how_the_body_is_framed() {
        assert_eq!(body(""), Ok(Body::ToEnd));
        assert_eq!(body("content-LENGTH: 18446744073709551615\r\n"), Ok(Body::Length(u64::MAX)));
        assert_eq!(body("Transfer-Encoding: chunked\r\n"), Ok(Body::CHUNKED));
        assert_eq!(body("Content-Length: 5\r\nTransfer-Encoding: Chunked\r\nX: y\r\n"), Ok(Body::CHUNKED));
        assert_eq!(body("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Ok(Body::CHUNKED));
        assert_eq!(
            body("Content-Length: 5\r\nContent-Length: 5\r\nContent-Encoding: identity\r\n"),
            Ok(Body::Length(5))
        );
    }

    #[test]
    fn a_body_in_another_form_is_refused() {
        assert_eq!(body("Content-Encoding: gzip\r\n"), Err(Error::Encoding("content encoding")));
        assert_eq!(body("Transfer-Encoding: gzip, chunked\r\n"), Err(Error::Encoding("transfer encoding")));
        for length in ["", "-1", "+1", "1,1", "18446744073709551616", "0x10"] {
            assert_eq!(body(&format!("Content-Length: {length}\r\n")), Err(Error::NotHttp), "{length}");
        }
        assert_eq!(body("Content-Length: 5\r\nContent-Length: 6\r\n"), Err(Error::NotHttp));
    }

    #[test]
    fn another_status_is_named_and_what_is_no_http_as_well() {
        assert_eq!(read(b"HTTP/1.1 404 Not Found\r\n\r\n"), Err(Error::Status(404)));
        assert_eq!(read(b"HTTP/1.0 200 OK\r\n\r\n"), Ok(Some((19, Body::ToEnd))));
        assert_eq!(read(b"220 mail\r\n"), Err(Error::NotHttp));
        let many = "x: y\r\n".repeat(FIELDS + 1);
        assert_eq!(read(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()), Err(Error::NotHttp));
    }
}
