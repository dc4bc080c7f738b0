//! Random numbers for tests: xorshift64, from a seed that is not 0.

/// The same numbers at every run.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next of them.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    /// The next of them below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.next() % limit
    }
}
