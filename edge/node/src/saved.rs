//! What tasks save, kept for their next guest.
//!
//! A guest saves to xenstore, which is gone with the board's power. So the node looks there once in a while, and when
//! the guest has crashed, and keeps the newest in its journal; the next guest of the command finds it there when it
//! begins.

use base64ct::{Base64, Encoding};
use kernel::checkpoint::{self, Checkpoint};
use protocol::{Digest, Document};
use serde::{Deserialize, Serialize};

/// So many guests may crash with the same checkpoint: then it may be what they crash of.
const MOST_CRASHES: u32 = 2;

/// What a command's task has saved last, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The image whose task has saved it.
    pub image: Digest,
    /// The task's number for it.
    pub number: u64,
    /// What it is to the task, in base64.
    pub state: String,
    /// How many guests have crashed that had it and saved nothing newer.
    pub crashes: u32,
}

impl Document for Saved {
    const NAME: &'static str = "checkpoint";
    const MOST_BYTES: usize = 2 * checkpoint::MAX_BYTES;
}

impl Saved {
    /// A checkpoint that was just read.
    #[must_use]
    pub fn new(image: Digest, checkpoint: &Checkpoint) -> Self {
        Self { image, number: checkpoint.number, state: Base64::encode_string(&checkpoint.bytes), crashes: 0 }
    }

    /// Whether it is the same checkpoint of the same image.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        (self.image, self.number, &self.state) == (other.image, other.number, &other.state)
    }

    /// The checkpoint for a guest that boots this image.
    ///
    /// # Errors
    /// It gets none, and why.
    pub fn for_image(&self, image: Digest) -> Result<Checkpoint, String> {
        if self.image != image {
            return Err(format!("it was saved by image {}, the guest boots {image}", self.image));
        }
        if self.crashes >= MOST_CRASHES {
            return Err(format!("{} guests have crashed with it", self.crashes));
        }
        let bytes = Base64::decode_vec(&self.state).map_err(|error| format!("the journal has no base64: {error}"))?;
        Ok(Checkpoint { number: self.number, bytes })
    }

    /// What is to be kept after a guest of this image has crashed that left this, where this was kept before.
    #[must_use]
    pub fn after_crash(kept: Option<Self>, image: Digest, left: Option<&Checkpoint>) -> Option<Self> {
        let left = left.map(|left| Self::new(image, left));
        match (kept, left) {
            (Some(kept), Some(left)) if !kept.is_of(&left) => Some(left),
            (Some(kept), _) => Some(Self { crashes: kept.crashes + 1, ..kept }),
            (None, left) => left,
        }
    }
}

/// What a guest finds of it in xenstore: that checkpoints are kept, and the one that it is given.
pub(crate) fn nodes(given: Option<&Checkpoint>) -> Vec<(String, Vec<u8>)> {
    let kept = (checkpoint::KEPT.to_owned(), Vec::new());
    let parts = given.map(|given| checkpoint::split(given.number, &given.bytes));
    std::iter::once(kept).chain(parts.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use kernel::checkpoint::Checkpoint;
    use protocol::Digest;

    use super::Saved;

    fn checkpoint(number: u64) -> Checkpoint {
        Checkpoint { number, bytes: vec![1, 2, 3] }
    }

    #[test]
    fn a_checkpoint_is_given_to_the_image_that_saved_it_unless_guests_crash_with_it() {
        let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
        let mut saved = Saved::new(image, &checkpoint(7));
        assert_eq!(saved.for_image(image), Ok(checkpoint(7)));
        assert!(saved.for_image(other).unwrap_err().contains(&image.to_string()));
        for crashes in 1..=2 {
            saved = Saved::after_crash(Some(saved), image, Some(&checkpoint(7))).unwrap();
            assert_eq!(saved.crashes, crashes);
        }
        assert_eq!(saved.for_image(image), Err("2 guests have crashed with it".to_owned()));
        // Whoever saves something new was not kept from it by the old.
        saved = Saved::after_crash(Some(saved), image, Some(&checkpoint(8))).unwrap();
        assert_eq!(saved.for_image(image), Ok(checkpoint(8)));
        // One that was gone with xenstore counts as well.
        assert_eq!(Saved::after_crash(Some(saved), image, None).unwrap().crashes, 1);
        assert_eq!(Saved::after_crash(None, image, None), None);
    }
}
