//! What others have sent, as it may be shown to a person.

use core::fmt;

/// How much is shown.
const SAMPLE_BYTES: usize = 80;

/// The beginning of what others have sent, with nothing in it that a terminal would obey.
pub struct Sample<'a>(pub &'a [u8]);

impl fmt::Display for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SAMPLE_BYTES)];
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "\"{}\"{more}", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::Sample;

    #[test]
    fn a_sample_is_short_and_harmless() {
        assert_eq!(Sample(b"a\"\x1b[2J\xff\n").to_string(), r#""a\"\x1b[2J\xff\n""#);
        let shown = format!("{}", Sample(&[b'x'; 500]));
        assert_eq!((shown.len(), shown.ends_with("\"...")), (85, true));
    }
}
