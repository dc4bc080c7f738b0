//! Whether a port speaks TLS. Its servers close a connection that begins with anything else, most of them without a word,
//! as a broker may that does not know our version of MQTT.

use embedded_io_async::{Read, Write};

/// A greeting that every TLS server answers, if only by saying that it wants more: a record with a ClientHello of TLS 1.2,
/// 32 bytes that may be anything, no session, one cipher, and no compression (RFC 5246, section 7.4.1.2).
const HELLO: &[u8; 50] = b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x03spore asks whether it speaks TLS\0\0\x02\0\x2f\x01\0";

/// The types of records that a server answers with: an alert, or its part of a handshake; each has a version behind it.
const ANSWERS: [[u8; 2]; 2] = [[0x15, 3], [0x16, 3]];

/// Whether these bytes are the beginning of what a TLS server says.
pub fn is_answer(bytes: &[u8]) -> bool {
    ANSWERS.iter().any(|answer| bytes.starts_with(answer))
}

/// Whether a TLS server is at the other end of a new connection.
pub async fn speaks(mut io: impl Read + Write) -> bool {
    let mut answer = [0; 2];
    let mut came = 0;
    if io.write_all(HELLO).await.is_err() || io.flush().await.is_err() {
        return false;
    }
    while let Ok(count @ 1..) = io.read(&mut answer[came..]).await {
        came += count;
        if came == answer.len() {
            break;
        }
    }
    is_answer(&answer[..came])
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use embassy_futures::block_on;
    use embedded_io_async::{ErrorType, Read, Write};

    use super::speaks;

    /// Says these bytes one by one, and no more.
    struct Port<'a>(&'a [u8]);

    impl ErrorType for Port<'_> {
        type Error = Infallible;
    }

    impl Read for Port<'_> {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
            let Some((byte, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *byte;
            self.0 = rest;
            Ok(1)
        }
    }

    impl Write for Port<'_> {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            Ok(bytes.len())
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[test]
    fn an_alert_or_a_handshake_is_tls() {
        for (answer, is_tls) in [
            (&[0x15, 3, 1, 0, 2][..], true),
            (&[0x16, 3], true),
            (&[0x16], false),
            (&[0x15, 4], false),
            (&[0x20, 2, 0, 1], false),
            (&[], false),
        ] {
            assert_eq!(block_on(speaks(Port(answer))), is_tls, "{answer:?}");
        }
    }
}
