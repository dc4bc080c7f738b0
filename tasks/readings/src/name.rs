//! Names of sensors, as SenML has them (RFC 8428, section 4.5.1).

/// Longest name of a sensor in bytes.
pub const NAME_BYTES: usize = 128;

/// Whether a name is not too long and keeps to SenML's characters, which also makes it a valid MQTT topic.
pub fn is_name(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-:./_".contains(byte);
    name.len() <= NAME_BYTES && name.first().is_some_and(u8::is_ascii_alphanumeric) && name.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::{NAME_BYTES, is_name};

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
}
