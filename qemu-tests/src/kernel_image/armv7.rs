//! An ARM kernel that unpacks itself, as one that does not have to.
//!
//! The unpacked kernel begins with its code and has no header, so a page goes before it: a branch over the page and the
//! header by which Xen knows a zImage (xen/arch/arm/kernel.c, `kernel_zimage32_probe`). A header with a start address
//! makes Xen load the image just there.

use super::{XZ_MAGIC, unpack};
use anyhow::{Context, Result};

/// Size of the page with the header.
const HEADER_BYTES: u32 = 0x1000;
/// Where the header lies in the image: a magic number, the addresses of start and end.
const HEADER_AT: usize = 0x24;
const MAGIC: u32 = 0x016f_2818;
/// `b`, whose operand is the distance in words from the second instruction after it.
const BRANCH: u32 = 0xea00_0000;

/// The kernel in Debian's image, for memory that begins at `ram`; it runs at `ram + text_offset`.
///
/// # Errors
/// There is no kernel packed with xz in the image.
pub fn unpacked(image: &[u8], ram: u32, text_offset: u32) -> Result<Vec<u8>> {
    let magics = image.windows(XZ_MAGIC.len()).enumerate().filter(|(_, window)| *window == XZ_MAGIC);
    // The first one may be part of the program that unpacks.
    let kernel = magics.map(|(at, _)| unpack(&image[at..])).find_map(Result::ok);
    let kernel = kernel.context("no kernel packed with xz is in the image")?;
    let start = ram + text_offset - HEADER_BYTES;
    let end = start + HEADER_BYTES + u32::try_from(kernel.len())?;
    let mut out = (BRANCH | ((HEADER_BYTES - 8) / 4)).to_le_bytes().to_vec();
    out.resize(HEADER_AT, 0);
    out.extend([MAGIC, start, end].map(u32::to_le_bytes).concat());
    out.resize(HEADER_BYTES as usize, 0);
    out.extend(kernel);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "kernel code", packed with xz.
    const PACKED: &[u8] =
        b"\xfd7zXZ\x00\x00\x01i\x22\xde6\x02\x00!\x01\x16\x00\x00\x00t/\xe5\xa3\x01\x00\x0akernel code\
        \x00\x00\x9dZ\xa0\x05\x00\x01\x1f\x0b=b\x0ez\x90B\x99\x0d\x01\x00\x00\x00\x00\x01YZ";

    #[test]
    fn the_kernel_is_found_behind_a_false_magic_and_gets_a_header() {
        let image = [b"code", XZ_MAGIC, b"more code", PACKED, b"size"].concat();
        let unpacked = unpacked(&image, 0x6000_0000, 0x20_8000).unwrap();
        let words: Vec<u32> =
            unpacked.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words[0], 0xea00_03fe);
        assert_eq!(words[9..12], [MAGIC, 0x6020_7000, 0x6020_800b]);
        assert_eq!(&unpacked[0x1000..], b"kernel code");
    }

    #[test]
    fn an_image_without_a_packed_kernel_is_refused() {
        assert!(unpacked(&[0; 4096], 0, 0x8000).is_err());
    }
}
