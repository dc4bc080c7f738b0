//! A zImage: an ELF file's loaded bytes as they lie in memory, from the first on.
//!
//! xl copies the file to one place. The header in its first bytes comes from `xen-pv/src/entry/armv7/head.rs`. Source:
//! Linux' `Documentation/arch/arm/booting.rst`; `xg_dom_armzimageloader.c` of Xen.

use anyhow::{Context, Result, ensure};
use object::elf::{FileHeader32, PT_LOAD, ProgramHeader32};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader, ProgramHeader};

type Header = FileHeader32<LittleEndian>;
type Segment = ProgramHeader32<LittleEndian>;

const LE: LittleEndian = LittleEndian;

/// Where xl looks for the magic number, the number, and where behind it the image's end stands.
const MAGIC_AT: usize = 0x24;
const MAGIC: u32 = 0x016f_2818;
const END_AT: usize = 0x2c;

/// More than this between two segments is a linker script gone wrong, not an alignment.
const LARGEST_GAP: usize = 4096;

/// The zImage of an ELF file.
///
/// # Errors
/// When it is no 32-bit little-endian ELF file, its segments do not follow each other, or its header is not a zImage's.
pub fn flatten(elf: &[u8]) -> Result<Vec<u8>> {
    let header = Header::parse(elf).context("not a 32-bit ELF file")?;
    let all = header.program_headers(LE, elf).context("its program headers are damaged")?;
    let loaded = all.iter().filter(|s| s.p_type(LE) == PT_LOAD && s.p_filesz(LE) > 0);
    let mut segments: Vec<&Segment> = loaded.collect();
    segments.sort_by_key(|segment| segment.p_paddr(LE));
    let start = segments.first().context("it has no segment to load")?.p_paddr(LE);

    let mut image = Vec::new();
    for segment in segments {
        let bytes = segment.data(LE, elf).ok().context("a segment reaches past the end of the file")?;
        let at = (segment.p_paddr(LE) - start) as usize;
        ensure!((image.len()..=image.len() + LARGEST_GAP).contains(&at), "a segment does not follow the one before it");
        image.resize(at, 0);
        image.extend_from_slice(bytes);
    }
    let word = |at: usize| Some(u32::from_le_bytes(*image.get(at..)?.first_chunk()?));
    ensure!(word(MAGIC_AT) == Some(MAGIC), "it does not begin with a zImage's header");
    ensure!(word(END_AT) == u32::try_from(image.len()).ok(), "the zImage's header names another length");
    Ok(image)
}

#[cfg(test)]
mod tests {
    use object::elf::{FileHeader32, ProgramHeader32};
    use object::endian::{U16, U32};
    use object::pod::{bytes_of, bytes_of_slice};

    use super::{END_AT, Header, LE, MAGIC, MAGIC_AT, PT_LOAD, Segment, flatten};

    fn segment(offset: u32, address: u32, size: u32) -> Segment {
        ProgramHeader32 {
            p_type: U32::new(LE, PT_LOAD),
            p_offset: U32::new(LE, offset),
            p_vaddr: U32::new(LE, address + 0x10_0000),
            p_paddr: U32::new(LE, address),
            p_filesz: U32::new(LE, size),
            p_memsz: U32::new(LE, size + 0x100),
            p_flags: U32::new(LE, 0),
            p_align: U32::new(LE, 1),
        }
    }

    /// An ELF file with these segments, whose bytes from 0x200 on are `body`.
    fn file(segments: &[Segment], body: &[u8]) -> Vec<u8> {
        let mut header: Header = *object::pod::from_bytes::<FileHeader32<_>>(&[0; 52]).unwrap().0;
        header.e_ident.magic = object::elf::ELFMAG;
        header.e_ident.class = object::elf::ELFCLASS32;
        header.e_ident.data = object::elf::ELFDATA2LSB;
        header.e_ident.version = 1;
        header.e_phoff = U32::new(LE, 52);
        header.e_phentsize = U16::new(LE, 32);
        header.e_phnum = U16::new(LE, segments.len() as u16);
        let mut bytes = [bytes_of(&header), bytes_of_slice(segments)].concat();
        bytes.resize(0x200, 0);
        bytes.extend_from_slice(body);
        bytes
    }

    /// The first bytes of a zImage of `length` bytes.
    fn body(length: u32) -> Vec<u8> {
        let mut body: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        body[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&MAGIC.to_le_bytes());
        body[END_AT..END_AT + 4].copy_from_slice(&length.to_le_bytes());
        body
    }

    #[test]
    fn segments_lie_as_in_memory() {
        let body = body(0x80);
        // In the file the second comes first in the list, and a gap of four bytes is between them in memory.
        let elf = file(&[segment(0x244, 0x4000_8044, 0x3c), segment(0x200, 0x4000_8000, 0x40)], &body);
        let image = flatten(&elf).unwrap();
        assert_eq!(image.len(), 0x80);
        assert_eq!(image[..0x40], body[..0x40]);
        assert_eq!(image[0x40..0x44], [0; 4]);
        assert_eq!(image[0x44..], body[0x44..]);
    }

    #[test]
    fn a_segment_far_away_is_refused() {
        let elf = file(&[segment(0x200, 0x4000_8000, 0x40), segment(0x240, 0x5000_0000, 0x40)], &body(0x80));
        assert!(flatten(&elf).unwrap_err().to_string().contains("does not follow"));
    }

    #[test]
    fn a_file_without_the_header_is_refused() {
        let mut body = body(0x80);
        body[END_AT] += 1;
        let error = |body: &[u8]| flatten(&file(&[segment(0x200, 0x4000_8000, 0x80)], body)).unwrap_err().to_string();
        assert!(error(&body).contains("another length"));
        body[MAGIC_AT] += 1;
        assert!(error(&body).contains("zImage's header"));
    }

    #[test]
    fn a_segment_past_the_end_is_an_error_not_a_panic() {
        let elf = file(&[segment(0x200, 0x4000_8000, 0x81)], &body(0x80));
        assert!(flatten(&elf).unwrap_err().to_string().contains("past the end"));
    }
}
