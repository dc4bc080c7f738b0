//! Randomness that is never a constant: a ChaCha generator seeded from all that the platform can offer.
//!
//! Seeds are absorbed one after another: each is added to the key, and the next key is drawn from the generator under
//! that key. Whoever knows or even chooses some of the seeds cannot undo what the others added, so that a weak source
//! (the time, a number from xenstore) never harms a good one (the CPU's generator).

use core::cell::RefCell;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// A cryptographic generator of random bytes.
pub struct Generator(RefCell<ChaCha20Rng>);

impl Default for Generator {
    fn default() -> Self {
        Self::new()
    }
}

impl Generator {
    /// A generator that has absorbed nothing yet, and so is predictable.
    pub fn new() -> Self {
        Self(RefCell::new(ChaCha20Rng::from_seed([0; KEY_BYTES])))
    }

    /// Adds a seed of any length.
    pub fn absorb(&self, seed: &[u8]) {
        let mut generator = self.0.borrow_mut();
        for part in seed.chunks(KEY_BYTES) {
            let mut key = [0; KEY_BYTES];
            generator.fill_bytes(&mut key);
            for (byte, add) in key.iter_mut().zip(part) {
                *byte ^= add;
            }
            *generator = ChaCha20Rng::from_seed(key);
        }
    }

    /// Fills `destination` with random bytes.
    pub fn fill(&self, destination: &mut [u8]) {
        self.0.borrow_mut().fill_bytes(destination);
    }

    /// A random number.
    pub fn next_u64(&self) -> u64 {
        self.0.borrow_mut().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::Generator;

    fn seeded(seeds: &[&[u8]]) -> u64 {
        let generator = Generator::new();
        seeds.iter().for_each(|seed| generator.absorb(seed));
        generator.next_u64()
    }

    #[test]
    fn equal_seeds_give_equal_numbers() {
        assert_eq!(seeded(&[b"tsc", b"store"]), seeded(&[b"tsc", b"store"]));
    }

    #[test]
    fn every_seed_changes_the_numbers() {
        let all = [seeded(&[]), seeded(&[b"a"]), seeded(&[b"b"]), seeded(&[b"a", b"b"]), seeded(&[b"b", b"a"])];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn a_seed_repeated_does_not_cancel_itself() {
        assert_ne!(seeded(&[b"a", b"a"]), seeded(&[]));
    }

    #[test]
    fn bytes_beyond_the_key_length_count() {
        assert_ne!(seeded(&[&[7; 33]]), seeded(&[&[7; 32]]));
    }
}
