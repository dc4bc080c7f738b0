//! Whether a port speaks TLS. Its servers close a connection that begins with anything else, most of them without a word,
//! as a broker may that does not know our version of MQTT.

use embedded_io_async::{Read, Write};

/// A greeting that every TLS server answers, if only by saying that it wants more: a record with a ClientHello of TLS 1.2,
/// 32 bytes that may be anything, no session, one cipher, and no compression (RFC 5246, section 7.4.1.2).
const HELLO: &[u8; 50] = b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x03spore asks whether it speaks TLS\0\0\x02\0\x2f\x01\0";

/// The types of records that a server answers with: an alert, or its part of a handshake; each has a version behind it.
const ANSWERS: [[u8; 2]; 2] = [[0x15, 3], [0x16, 3]];

/// Whether these bytes are the beginning of what a TLS server says.
pub(crate) fn is_answer(bytes: &[u8]) -> bool {
    ANSWERS.iter().any(|answer| bytes.starts_with(answer))
}

/// Whether a TLS server is at the other end of a new connection.
pub(crate) async fn speaks(mut io: impl Read + Write) -> bool {
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
