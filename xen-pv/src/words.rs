//! Tables of words within one text.
//!
//! A table of texts takes 16 bytes more for each, and so does a `match` that leads to texts.

/// The line of this number, counted from zero; empty when there are fewer.
// Inlined, each use would cost a hundred bytes.
#[inline(never)]
pub(crate) fn line(text: &'static str, number: usize) -> &'static str {
    let line = text.as_bytes().split(|byte| *byte == b'\n').nth(number).unwrap_or_default();
    // A part of a text between two line feeds is text.
    core::str::from_utf8(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_is_found_by_its_number() {
        let lines = [0, 1, 2, 3].map(|number| line("first\nthe second\nthird", number));
        assert_eq!(lines, ["first", "the second", "third", ""]);
    }
}
