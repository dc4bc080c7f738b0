//! Randomness that is never a constant: a generator of HChaCha20 blocks, seeded from all that the platform can offer.
//!
//! Seeds are absorbed one after another: each is added to the key, and the next key is drawn from the generator under
//! that key. Whoever knows or even chooses some of the seeds cannot undo what the others added, so that a weak source
//! (the time, a number from xenstore) never harms a good one (the CPU's generator).
//!
//! HChaCha20 is ChaCha20 without its last addition: without the key, nobody can tell its outputs from random bytes. Its
//! code is a fraction of that of a ChaCha20 generator with vector instructions. After each request the key is replaced,
//! so that what was given out cannot be found again in the guest's memory.

use core::cell::Cell;

use chacha20::{R20, hchacha};

/// Bytes of a key, and of a block.
const KEY_BYTES: usize = 32;

/// The number of the block that becomes the next key. It is never given out.
const NEXT_KEY: u128 = 0;

/// A cryptographic generator of random bytes.
#[derive(Default)]
pub struct Generator {
    key: Cell<[u8; KEY_BYTES]>,
}

impl Generator {
    /// A generator that has absorbed nothing yet, and so is predictable.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a seed of any length.
    pub fn absorb(&self, seed: &[u8]) {
        for part in seed.chunks(KEY_BYTES) {
            let mut key = self.block(NEXT_KEY);
            for (byte, add) in key.iter_mut().zip(part) {
                *byte ^= add;
            }
            self.key.set(key);
        }
    }

    /// Fills `destination` with random bytes.
    pub fn fill(&self, destination: &mut [u8]) {
        let mut number = NEXT_KEY;
        for part in destination.chunks_mut(KEY_BYTES) {
            number += 1;
            part.copy_from_slice(&self.block(number)[..part.len()]);
        }
        self.key.set(self.block(NEXT_KEY));
    }

    /// A random number.
    pub fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// One of the blocks under the present key.
    fn block(&self, number: u128) -> [u8; KEY_BYTES] {
        hchacha::<R20>(&self.key.get().into(), &number.to_le_bytes().into()).into()
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
    fn no_bytes_are_given_twice() {
        let generator = Generator::new();
        let mut bytes = [0; 256];
        bytes.chunks_mut(80).for_each(|part| generator.fill(part));
        let mut words: alloc::vec::Vec<_> = bytes.chunks(8).collect();
        words.sort();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_next_key_is_never_given_out() {
        let generator = Generator::new();
        generator.absorb(b"seed");
        let next = generator.block(super::NEXT_KEY);
        let mut bytes = [0; 4 * super::KEY_BYTES];
        generator.fill(&mut bytes);
        assert!(bytes.chunks(super::KEY_BYTES).all(|block| block != next));
        assert_eq!(generator.key.get(), next);
    }

    #[test]
    fn what_was_given_out_cannot_be_found_from_the_key_that_is_left() {
        let generator = Generator::new();
        generator.absorb(b"seed");
        let given = {
            let mut bytes = [0; super::KEY_BYTES];
            generator.fill(&mut bytes);
            bytes
        };
        assert!((0..4).all(|number| generator.block(number) != given));
    }

    #[test]
    fn bytes_beyond_the_key_length_count() {
        assert_ne!(seeded(&[&[7; 33]]), seeded(&[&[7; 32]]));
    }
}
