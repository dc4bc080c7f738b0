//! Strips an image to what Xen's domain builder reads: ELF header, program headers, the segments' bytes.
//!
//! The builder copies each segment from its file offset and never maps the file, so segments need no page alignment
//! within the file; leaving it out saves up to 4 KiB a segment. The PT_NOTE segment lies inside a loaded one and keeps
//! pointing into it: without Xen's notes the builder takes the file for no kernel at all.

use anyhow::{Context, Result, bail, ensure};
use object::elf::{FileHeader64, PT_LOAD, PT_NOTE, ProgramHeader64};
use object::endian::{LittleEndian, U16, U64};
use object::pod::{bytes_of, bytes_of_slice};
use object::read::elf::FileHeader;

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;

const LE: LittleEndian = LittleEndian;

/// Segments start at multiples of this in the file; enough for any instruction the builder's memcpy may use.
const ALIGNMENT: usize = 16;

/// The stripped image of an ELF file.
///
/// # Errors
/// When it is no 64-bit little-endian ELF file or lacks the note segment.
pub fn strip(elf: &[u8]) -> Result<Vec<u8>> {
    let header = Header::parse(elf).context("not a 64-bit ELF file")?;
    let all = header.program_headers(LE, elf).context("its program headers are damaged")?;
    let loaded: Vec<Segment> = all.iter().filter(|s| s.p_type.get(LE) == PT_LOAD).copied().collect();
    let notes: Vec<Segment> = all.iter().filter(|s| s.p_type.get(LE) == PT_NOTE).copied().collect();
    ensure!(!notes.is_empty(), "it has no PT_NOTE segment, so Xen would not know it for a guest's kernel");

    let headers = size_of::<Header>() + (loaded.len() + notes.len()) * size_of::<Segment>();
    let mut body = Vec::new();
    let mut segments = Vec::new();
    for segment in &loaded {
        body.resize((headers + body.len()).next_multiple_of(ALIGNMENT) - headers, 0);
        let start = headers + body.len();
        body.extend_from_slice(file_bytes(elf, segment)?);
        segments.push(moved(segment, start as u64));
    }
    for note in &notes {
        let holder = loaded.iter().zip(&segments).find(|(old, _)| holds(old, note));
        let Some((old, new)) = holder else { bail!("its PT_NOTE segment lies outside the loaded segments") };
        let start = new.p_offset.get(LE) + (note.p_offset.get(LE) - old.p_offset.get(LE));
        segments.push(moved(note, start));
    }

    let mut stripped = *header;
    stripped.e_phoff = U64::new(LE, size_of::<Header>() as u64);
    stripped.e_phnum = U16::new(LE, segments.len() as u16);
    stripped.e_shoff = U64::new(LE, 0);
    stripped.e_shnum = U16::new(LE, 0);
    stripped.e_shstrndx = U16::new(LE, 0);
    Ok([bytes_of(&stripped), bytes_of_slice(&segments), &body].concat())
}

/// The segment's bytes in the file, without the zeros at its end: the builder clears what the file does not fill.
fn file_bytes<'e>(elf: &'e [u8], segment: &Segment) -> Result<&'e [u8]> {
    let start = segment.p_offset.get(LE) as usize;
    let end = start + segment.p_filesz.get(LE) as usize;
    elf.get(start..end).context("a segment reaches past the end of the file")
}

fn holds(outer: &Segment, inner: &Segment) -> bool {
    let range = |s: &Segment| (s.p_offset.get(LE), s.p_offset.get(LE) + s.p_filesz.get(LE));
    let ((outer_start, outer_end), (start, end)) = (range(outer), range(inner));
    outer_start <= start && end <= outer_end
}

fn moved(segment: &Segment, offset: u64) -> Segment {
    let mut segment = *segment;
    segment.p_offset = U64::new(LE, offset);
    // ELF wants offset and address to agree modulo the alignment; 1 means that none is asked for.
    segment.p_align = U64::new(LE, 1);
    segment
}

#[cfg(test)]
mod tests {
    use object::elf::{PF_R, PT_LOAD, PT_NOTE};
    use object::endian::{U16, U32, U64};
    use object::read::elf::{FileHeader, ProgramHeader};

    use super::{Header, LE, Segment, bytes_of, bytes_of_slice, strip};

    fn segment(kind: u32, offset: u64, file_size: u64, memory_size: u64) -> Segment {
        Segment {
            p_type: U32::new(LE, kind),
            p_flags: U32::new(LE, PF_R),
            p_offset: U64::new(LE, offset),
            p_vaddr: U64::new(LE, 0x10_0000 + offset),
            p_paddr: U64::new(LE, 0x10_0000 + offset),
            p_filesz: U64::new(LE, file_size),
            p_memsz: U64::new(LE, memory_size),
            p_align: U64::new(LE, 4096),
        }
    }

    /// An ELF file with these segments; the byte at offset n is n modulo 251.
    fn file(segments: &[Segment]) -> Vec<u8> {
        let mut header: Header = *object::pod::from_bytes(&[0; 64]).unwrap().0;
        header.e_ident.magic = object::elf::ELFMAG;
        header.e_ident.class = object::elf::ELFCLASS64;
        header.e_ident.data = object::elf::ELFDATA2LSB;
        header.e_ident.version = 1;
        header.e_phoff = U64::new(LE, 64);
        header.e_phentsize = U16::new(LE, 56);
        header.e_phnum = U16::new(LE, segments.len() as u16);
        let mut bytes = [bytes_of(&header), bytes_of_slice(segments)].concat();
        bytes.extend((bytes.len()..0x4000).map(|n| (n % 251) as u8));
        bytes
    }

    #[test]
    fn segments_move_together_and_the_notes_keep_their_place() {
        let text = segment(PT_LOAD, 0x1000, 0x123, 0x123);
        let data = segment(PT_LOAD, 0x2000, 0x40, 0x900);
        let note = segment(PT_NOTE, 0x2010, 0x20, 0x20);
        let elf = file(&[text, data, note]);
        let image = strip(&elf).unwrap();
        assert!(image.len() < 0x300, "{} bytes", image.len());

        let header = Header::parse(&*image).unwrap();
        assert_eq!(header.e_shnum.get(LE), 0);
        let segments = header.program_headers(LE, &*image).unwrap();
        assert_eq!(segments.len(), 3);
        for (old, new) in [text, data, note].iter().zip(segments) {
            assert_eq!(old.p_vaddr(LE), new.p_vaddr(LE));
            assert_eq!(old.p_memsz(LE), new.p_memsz(LE));
            assert_eq!(old.data(LE, &*elf).unwrap(), new.data(LE, &*image).unwrap());
        }
        let (data, note) = (&segments[1], &segments[2]);
        assert_eq!(note.p_offset(LE) - data.p_offset(LE), 0x10);
    }

    #[test]
    fn an_image_without_notes_is_refused() {
        let error = strip(&file(&[segment(PT_LOAD, 0x1000, 4, 4)])).unwrap_err();
        assert!(error.to_string().contains("no PT_NOTE segment"), "{error}");
    }

    #[test]
    fn a_segment_past_the_end_is_an_error_not_a_panic() {
        let elf = file(&[segment(PT_LOAD, 0x3fff, 4, 4), segment(PT_NOTE, 0x3fff, 1, 1)]);
        let error = strip(&elf).unwrap_err();
        assert!(error.to_string().contains("past the end"), "{error}");
    }
}
