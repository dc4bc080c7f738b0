//! Numbers as text and back, without the formatting machinery, which would cost more than the drivers that use it.

/// The number in decimal, without leading zeros.
#[must_use]
pub(crate) fn text(number: u32) -> heapless::String<10> {
    let mut text = heapless::String::new();
    let mut divisor = 1_000_000_000;
    while divisor > 0 {
        let digit = number / divisor % 10;
        if digit != 0 || !text.is_empty() || divisor == 1 {
            // Ten digits are all that a u32 has.
            let _ = text.push(char::from(b'0' + digit as u8));
        }
        divisor /= 10;
    }
    text
}

/// Reads a decimal number: digits only, nothing else, and no larger than a `u32`.
#[must_use]
pub(crate) fn parse(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, text};

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 9, 10, 4095, 1_000_000_000, u32::MAX] {
            assert_eq!(parse(text(number).as_bytes()), Some(number));
        }
        assert_eq!(text(1020), "1020");
    }

    #[test]
    fn anything_but_digits_is_refused() {
        for bad in ["", " 1", "1 ", "+1", "-1", "0x1", "1\0", "4294967296"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
