//! Patterns of names, in which `*` stands for any text, also for none and for several levels: as a command's contract has
//! them.

use alloc::boxed::Box;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern that is written so.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether a text is one of those. The work is bounded by the product of both lengths.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut place) = (0, 0);
        // Behind the last star, and what of the text it stands for up to now: it alone may have to take more.
        let mut star = None;
        while place < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, place));
                }
                Some(byte) if *byte == text[place] => (at, place) = (at + 1, place + 1),
                _ => {
                    let Some((behind, taken)) = star else { return false };
                    (at, place) = (behind, taken + 1);
                    star = Some((behind, taken + 1));
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl Pattern {
    /// Whether a text that begins so may be one of those, as far as the part before the first star says.
    #[must_use]
    pub(crate) fn may_begin(&self, prefix: &str) -> bool {
        match self.0.split_once('*') {
            Some((fixed, _)) => fixed.starts_with(prefix) || prefix.starts_with(fixed),
            None => self.0.starts_with(prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::Pattern;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("roof/*", "roof/a/b", true),
            ("roof/*", "roof", false),
            ("*/temperature", "a/b/temperature", true),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "aa", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
        }
    }

    /// The definition.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| slowly(rest, &text[at..])),
            Some((byte, rest)) => text.split_first().is_some_and(|(first, text)| first == byte && slowly(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_it_means(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let (pattern, text): (String, String) = (pattern, text);
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), slowly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
