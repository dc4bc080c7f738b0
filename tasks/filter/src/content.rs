//! The content in a body: as it is, or compressed with gzip (RFC 1952).
//!
//! What is compressed is handed out piece by piece as it comes out of a window of 32 KiB, so that a body that grows a
//! thousandfold takes time, but no memory.

use alloc::boxed::Box;
use alloc::vec::Vec;

use gzip_zero::{DecodeStep, Decoder, DecoderBuffers, HISTORY_SIZE};
use http1::head::Coding;

use crate::Error;

/// Who wants a content: takes piece by piece, and may refuse to take more.
pub trait Take: FnMut(&[u8]) -> Result<(), Error> {}

impl<T: FnMut(&[u8]) -> Result<(), Error>> Take for T {}

/// The way from a body's bytes to the content's.
pub enum Content<'w> {
    /// They are the same.
    Plain,
    /// Compressed. Boxed, because its tables are 11 KB, which the task's future would hold for every fetch.
    Gzip(Box<Decoder<'w>>),
}

impl<'w> Content<'w> {
    /// The way for a coding. `window` is the memory that it needs, which is taken only if it does.
    pub fn new(coding: Coding, window: &'w mut Vec<u8>) -> Self {
        if coding == Coding::Identity {
            return Self::Plain;
        }
        window.resize(HISTORY_SIZE, 0);
        match Decoder::new(DecoderBuffers { history: window }) {
            Ok(decoder) => Self::Gzip(Box::new(decoder)),
            Err(_) => unreachable!("the window has the size that was asked for"),
        }
    }

    /// Hands out the content of a piece of the body, and adds its length to `bytes`.
    ///
    /// # Errors
    /// Those of `take`; and what should be gzip is not, or is damaged. What was handed out until then is as it was
    /// compressed, as far as anybody can say before the checksum at its end.
    pub fn pass(&mut self, mut piece: &[u8], bytes: &mut u64, take: &mut impl Take) -> Result<(), Error> {
        let Self::Gzip(decoder) = self else {
            *bytes += piece.len() as u64;
            return take(piece);
        };
        while !piece.is_empty() {
            let step = decoder.decode(piece).map_err(|_| Error::Gzip(*bytes))?;
            if let DecodeStep::Output { bytes: content, .. } = &step {
                *bytes += content.len() as u64;
                take(content)?;
            }
            let consumed = step.consumed();
            piece = &piece[consumed..];
        }
        Ok(())
    }

    /// Whether the content is whole if the body ends here.
    pub fn may_end(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Gzip(decoder) => decoder.finish().is_ok(),
        }
    }
}
