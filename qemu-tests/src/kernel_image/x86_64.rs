//! The ELF file out of an x86 kernel image, without what only a debugger reads.
//!
//! Implements the parts of Linux's x86 boot protocol that say where the payload is (Documentation/arch/x86/boot.rst:
//! `setup_sects`, `payload_offset`, `payload_length`).

use super::{XZ_MAGIC, unpack};
use anyhow::{Context, Result, ensure};
use object::elf::{FileHeader64, PT_LOAD, PT_NOTE};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader, ProgramHeader};

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;
const ELF_HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;

/// The ELF file inside an x86 kernel image.
///
/// # Errors
/// It is no such image, or not one packed with xz.
pub fn vmlinux(image: &[u8]) -> Result<Vec<u8>> {
    let word = |at: usize| {
        image.get(at..at + 4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    let sectors = match image.get(0x1f1).context("too short for a kernel image")? {
        0 => 4,
        sectors => usize::from(*sectors),
    };
    let (offset, length) = word(0x248).zip(word(0x24c)).context("too short for a kernel image")?;
    let start = (sectors + 1) * SECTOR_BYTES + offset;
    let payload = image.get(start..start + length).context("the payload lies outside of the image")?;
    ensure!(payload.starts_with(XZ_MAGIC), "the kernel's payload is not packed with xz");
    unpack(payload)
}

/// Keeps of an ELF file what is loaded: no sections, and no zeros at the end of a segment, which its memory size
/// implies.
///
/// # Errors
/// It is not a little-endian 64-bit ELF file, or a broken one.
pub fn trim(file: &[u8]) -> Result<Vec<u8>> {
    let header = FileHeader64::<LittleEndian>::parse(file)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, file)?;
    let mut out = file.get(..ELF_HEADER_BYTES).context("no ELF header")?.to_vec();
    put(&mut out, 32, &(ELF_HEADER_BYTES as u64).to_le_bytes());
    // No sections: their offset, and the size, number and names' index of their headers.
    put(&mut out, 40, &[0; 8]);
    put(&mut out, 58, &[0; 6]);
    out.resize(PAGE_BYTES, 0);
    let mut loaded: Vec<(u64, u64, usize)> = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        let (kind, address) = (segment.p_type(endian), segment.p_vaddr(endian));
        let data = segment.data(endian, file).ok().context("a segment lies outside of the file")?;
        let (data, offset) = if kind == PT_LOAD {
            let notes = segments.iter().filter(|note| note.p_type(endian) == PT_NOTE);
            let notes_end = notes
                .filter_map(|note| (note.p_vaddr(endian) + note.p_filesz(endian)).checked_sub(address))
                .filter(|end| *end <= data.len() as u64)
                .max();
            // Zeros at the end of the notes are part of them.
            let end = data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let end = end.max(usize::try_from(notes_end.unwrap_or(0))?);
            out.resize(out.len().next_multiple_of(PAGE_BYTES), 0);
            let offset = out.len();
            out.extend_from_slice(&data[..end]);
            loaded.push((address, address + end as u64, offset));
            (&data[..end], offset)
        } else if kind == PT_NOTE {
            // Notes lie inside a loaded segment, and move with it.
            let within = loaded.iter().find(|(start, end, _)| *start <= address && address + data.len() as u64 <= *end);
            let (start, _, offset) = within.context("the notes are not loaded")?;
            (data, offset + (address - start) as usize)
        } else {
            (&data[..0], 0)
        };
        let at = ELF_HEADER_BYTES + number * PROGRAM_HEADER_BYTES;
        ensure!(at + PROGRAM_HEADER_BYTES <= PAGE_BYTES, "too many segments");
        let original = segment_bytes(file, header.e_phoff(endian), number)?;
        put(&mut out, at, original);
        put(&mut out, at + 8, &(offset as u64).to_le_bytes());
        put(&mut out, at + 32, &(data.len() as u64).to_le_bytes());
        // Segments lie at page boundaries now, not at the 2 MiB ones of the original.
        put(&mut out, at + 48, &(PAGE_BYTES as u64).to_le_bytes());
    }
    Ok(out)
}

fn segment_bytes(file: &[u8], table: u64, number: usize) -> Result<&[u8]> {
    let at = usize::try_from(table)? + number * PROGRAM_HEADER_BYTES;
    file.get(at..at + PROGRAM_HEADER_BYTES).context("the program headers lie outside of the file")
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSegment};

    #[test]
    fn trimming_keeps_what_is_loaded_and_where_the_notes_are() {
        let mut text = b"text".to_vec();
        text.resize(1000, 0);
        let image = crate::probe::image(crate::Arch::X86_64, &text, crate::ShutdownReason::Crash);
        let trimmed = trim(&image).unwrap();
        let loaded = |file: &[u8]| {
            let file = object::File::parse(file).unwrap();
            let segment = file.segments().next().unwrap();
            (segment.address(), segment.size(), segment.data().unwrap().to_vec())
        };
        let (before, after) = (loaded(&image), loaded(&trimmed));
        assert_eq!((before.0, before.1), (after.0, after.1));
        let (kept, cut) = before.2.split_at(after.2.len());
        assert_eq!(after.2, kept);
        assert!(cut.iter().all(|byte| *byte == 0));
        let header = FileHeader64::<LittleEndian>::parse(trimmed.as_slice()).unwrap();
        let notes = header.program_headers(LittleEndian, trimmed.as_slice()).unwrap()[1];
        assert!(notes.data(LittleEndian, trimmed.as_slice()).unwrap().ends_with(b"Xen\0generic\0"));
    }

    #[test]
    fn what_is_no_kernel_image_is_refused() {
        assert!(vmlinux(&[0; 100]).is_err());
        assert!(vmlinux(&[0; 4096]).unwrap_err().to_string().contains("xz"));
    }
}
