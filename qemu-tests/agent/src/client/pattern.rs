//! Seeded pseudo-random bytes that both ends of a stream can make and compare.

/// An endless pattern; the same seed gives the same bytes however it is cut into pieces.
pub struct Pattern {
    state: u64,
    word: [u8; 8],
    used: usize,
}

impl Pattern {
    /// The pattern from its beginning.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed, word: [0; 8], used: 8 }
    }

    /// Writes the pattern's next bytes.
    pub fn fill(&mut self, destination: &mut [u8]) {
        for byte in destination {
            if self.used == 8 {
                self.word = self.next_word().to_le_bytes();
                self.used = 0;
            }
            *byte = self.word[self.used];
            self.used += 1;
        }
    }

    /// Compares with the pattern's next bytes; the offset of the first difference.
    pub fn first_difference(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut expected = vec![0; bytes.len()];
        self.fill(&mut expected);
        bytes.iter().zip(&expected).position(|(byte, expected)| byte != expected)
    }

    /// SplitMix64: every seed is as good as any other, and it costs three multiplications for eight bytes.
    fn next_word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_does_not_depend_on_how_it_is_cut() {
        let mut whole = [0; 100];
        Pattern::new(42).fill(&mut whole);
        let mut pieces = Pattern::new(42);
        for piece in whole.chunks(7) {
            assert_eq!(pieces.first_difference(piece), None);
        }
        whole[99] ^= 1;
        assert_eq!(Pattern::new(42).first_difference(&whole), Some(99));
    }
}
