//! Where in the bytes of a connection the body is (RFC 9112, sections 6 and 7).
//!
//! Nothing is copied and nothing kept: [`Body::take`] points into what has arrived.

/// The frame of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks, each behind its length.
    Chunked(Chunk),
    /// All bytes up to the end of the connection.
    ToEnd,
}

/// Where in a chunk the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// In the length, which has these digits so far.
    Length {
        /// How many.
        digits: u8,
        /// Their value.
        value: u64,
    },
    /// Behind the length, in an extension, which nobody uses, or at the end of the line.
    Extension(u64),
    /// So many bytes of data before its end.
    Data(u64),
    /// Behind the data, before the line's end.
    DataEnd,
    /// In the fields after the last chunk; whether the line has anything in it so far.
    Trailer(bool),
    /// Behind all.
    End,
}

/// A chunk's frame is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChunk;

/// More digits of a length than this do not fit 64 bits.
const LENGTH_DIGITS: u8 = 16;

impl Body {
    /// The beginning of a body in chunks.
    pub const CHUNKED: Self = Self::Chunked(Chunk::FIRST);

    /// Takes the next piece of the body off `data`, and the frame before it; an empty piece when `data` has no more of
    /// it.
    pub fn take<'d>(&mut self, data: &mut &'d [u8]) -> Result<&'d [u8], BadChunk> {
        match self {
            Self::Length(left) => Ok(take(data, left)),
            Self::Chunked(chunk) => chunk.take(data),
            Self::ToEnd => Ok(core::mem::take(data)),
        }
    }

    /// Whether nothing is to come any more.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::End))
    }

    /// Whether the body is whole if the connection ends here.
    pub fn may_end(&self) -> bool {
        self.is_complete() || *self == Self::ToEnd
    }
}

impl Chunk {
    const FIRST: Self = Self::Length { digits: 0, value: 0 };

    fn take<'d>(&mut self, data: &mut &'d [u8]) -> Result<&'d [u8], BadChunk> {
        loop {
            if let Self::Data(left) = self {
                let piece = take(data, left);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                return Ok(piece);
            }
            if *self == Self::End {
                return Ok(&[]);
            }
            let Some((byte, rest)) = data.split_first() else { return Ok(&[]) };
            *data = rest;
            *self = self.after(*byte)?;
        }
    }

    /// What comes after a byte of the frame.
    fn after(self, byte: u8) -> Result<Self, BadChunk> {
        Ok(match (self, byte) {
            (Self::Length { digits: 1.., value }, b'\r' | b';' | b' ' | b'\t') => Self::Extension(value),
            (Self::Length { digits, value }, byte) => {
                let digit = char::from(byte).to_digit(16).filter(|_| digits < LENGTH_DIGITS).ok_or(BadChunk)?;
                Self::Length { digits: digits + 1, value: value << 4 | u64::from(digit) }
            }
            (Self::Extension(0), b'\n') => Self::Trailer(false),
            (Self::Extension(length), b'\n') => Self::Data(length),
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::FIRST,
            (Self::Trailer(false), b'\n') => Self::End,
            (Self::Trailer(_), b'\n') => Self::Trailer(false),
            (Self::Trailer(false), b'\r') => Self::Trailer(false),
            (Self::Trailer(_), _) => Self::Trailer(true),
            (Self::Extension(_), _) => self,
            (Self::DataEnd | Self::Data(_) | Self::End, _) => return Err(BadChunk),
        })
    }
}

/// Takes up to `left` bytes off `data`.
fn take<'d>(data: &mut &'d [u8], left: &mut u64) -> &'d [u8] {
    let length = usize::try_from(*left).map_or(data.len(), |left| data.len().min(left));
    let (piece, rest) = data.split_at(length);
    *data = rest;
    *left -= length as u64;
    piece
}

#[cfg(test)]
mod tests;
