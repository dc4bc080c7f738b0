//! Names of sensors, as SenML has them (RFC 8428, section 4.5.1).

use alloc::string::String;
use core::fmt::Write;

/// Longest name of a sensor in bytes.
pub const NAME_BYTES: usize = 128;

/// Whether a name is not too long and keeps to SenML's characters, which also makes it a valid MQTT topic.
// Inline, so that `filter`, which asks this of every line, has it compiled for speed.
#[inline]
pub fn is_name(name: &[u8]) -> bool {
    let begins = name.first().is_some_and(u8::is_ascii_alphanumeric);
    begins && name.len() <= NAME_BYTES && name.iter().all(|byte| is_allowed(*byte))
}

/// Whether a name may have this byte.
#[inline]
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.' | b'/' | b'_')
}

/// Appends a text of any characters as a part of a name. What a name may not have is written as `_` and two hex digits
/// a byte, so that two texts that differ do not become one sensor. It ends where the name is too long to be one.
pub fn push_escaped(name: &mut String, text: impl IntoIterator<Item = u8>) {
    for byte in text {
        if name.len() > NAME_BYTES {
            return;
        }
        if is_allowed(byte) {
            name.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "_{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::{NAME_BYTES, is_name, push_escaped};

    #[test]
    fn a_name_begins_with_a_letter_or_a_digit_and_is_not_too_long() {
        for name in ["a", "0", "urn:dev:ow:10e2073a01080063", "a-b_c/d.e:f"] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for name in ["", "-a", ":a", "a b", "a,b", "a+", "#", "\u{e4}", "a\n"] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
        assert!(is_name(&[b'a'; NAME_BYTES]) && !is_name(&[b'a'; NAME_BYTES + 1]));
    }

    #[test]
    fn any_text_can_be_a_part_of_a_name() {
        let mut name = String::from("a/");
        push_escaped(&mut name, "Living room=\u{e4}".bytes());
        assert_eq!(name, "a/Living_20room_3d_c3_a4");
        assert!(is_name(name.as_bytes()));
        push_escaped(&mut name, core::iter::repeat_n(b' ', 100_000));
        assert!((NAME_BYTES + 1..NAME_BYTES + 4).contains(&name.len()));
    }
}
