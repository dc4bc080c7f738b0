//! A paravirtualised guest for x86_64, as it lies in memory when it begins.
//!
//! From address 0 on, where addresses are pages of the guest's own: the image where its file says; behind it the list of
//! machine frames, the start info, the pages of xenstore and the console, the page tables, and a stack of one page. The
//! tables map all of that, and free memory up to a multiple of 4 MiB. It is the order of Xen's own builder, which the
//! guest relies on (`xen-pv/src/arch/x86_64/memory.rs`). Source: `xen/include/public/xen.h`, "Start of day structure".
//!
//! The file is a tenant's: nothing in it is believed before it was compared with what there is.

use std::mem::offset_of;

use object::elf::{FileHeader64, PF_X, PT_LOAD, PT_NOTE};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader, ProgramHeader};
use xen_sys::arch::LEGACY_MAX_VCPUS;
use xen_sys::context::{self, X86, X86_IN_KERNEL, X86_KERNEL_CS, X86_KERNEL_SS, X86_ONLINE};
use xen_sys::elf_note;
use xen_sys::shared_info::VcpuInfo;
use xen_sys::start_info::{StartInfo, StartInfoConsole};
use xen_sys::types::{PAGE_SIZE, Port};
use zerocopy::{FromZeros, IntoBytes};

use super::shape::{IMAGE_MAX, Rings};

/// The name that our own images give their operating system.
const GUEST_OS: &[u8] = b"Spore";
/// What the tables map is a multiple of this: two tables of the last level.
const MAPPED_STEP: usize = 4 << 20;
/// Room that is mapped behind everything, at least.
const MAPPED_ROOM: usize = 512 << 10;
/// Entries of a table.
const ENTRIES: usize = 512;
/// Levels of tables above the last one: one table of each maps a gibibyte, which no image comes near.
const UPPER_TABLES: usize = 3;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;

/// An image's file, judged.
#[derive(Debug)]
pub(super) struct Image<'f> {
    entry: u64,
    /// Address and bytes of each segment.
    segments: Vec<(usize, &'f [u8])>,
    /// Where the last one ends.
    end: usize,
}

impl<'f> Image<'f> {
    /// Reads a file. What is none of our images is not for this builder.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn read(file: &'f [u8]) -> Result<Self, &'static str> {
        let damaged = "its ELF file is damaged";
        let header = FileHeader64::<LittleEndian>::parse(file).map_err(|_| "it is no 64-bit ELF file")?;
        let endian = header.endian().map_err(|_| damaged)?;
        let all = header.program_headers(endian, file).map_err(|_| damaged)?;
        let mut image = Self { entry: header.e_entry(endian), segments: Vec::new(), end: 0 };
        let mut is_ours = false;
        let mut entry_is_code = false;
        for segment in all {
            let bytes = segment.data(endian, file).map_err(|()| damaged)?;
            match segment.p_type(endian) {
                PT_LOAD => {
                    let place = |value: u64| usize::try_from(value).map_err(|_| damaged);
                    let (start, size) = (place(segment.p_paddr(endian))?, place(segment.p_memsz(endian))?);
                    let end = start.checked_add(size.max(bytes.len())).ok_or(damaged)?;
                    let range = start as u64..end as u64;
                    entry_is_code |= segment.p_flags(endian) & PF_X != 0 && range.contains(&image.entry);
                    image.segments.push((start, bytes));
                    image.end = image.end.max(end);
                }
                PT_NOTE => {
                    let mut notes = segment.notes(endian, file).map_err(|_| damaged)?.ok_or(damaged)?;
                    while let Some(note) = notes.next().map_err(|_| damaged)? {
                        let is_name = note.name() == b"Xen" && note.n_type(endian) == elf_note::GUEST_OS;
                        is_ours |= is_name && note.desc().strip_suffix(b"\0") == Some(GUEST_OS);
                    }
                }
                _ => {}
            }
        }
        match (is_ours, entry_is_code, image.end) {
            (false, ..) => Err("its notes do not say that it is of Spore"),
            (_, false, _) => Err("its entry lies in no code"),
            (.., IMAGE_MAX..) => Err("it takes more than 16 MiB of memory"),
            _ => Ok(image),
        }
    }
}

/// Which page is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// The guest's memory.
    pages: usize,
    frame_list: usize,
    start_info: usize,
    pub(super) xenstore: usize,
    pub(super) console: usize,
    tables: usize,
    stack: usize,
    /// Pages that are mapped.
    mapped: usize,
}

impl Layout {
    /// That of an image in so many pages.
    ///
    /// # Errors
    /// They are too few.
    pub(super) fn new(image: &Image<'_>, pages: usize) -> Result<Self, String> {
        let most = pages.min(ENTRIES * ENTRIES);
        let too_small = |wanted: usize| {
            let (wanted, has) = ((wanted * PAGE_SIZE) >> 20, (pages * PAGE_SIZE) >> 20);
            format!("the image takes {wanted} MiB of memory, and the guest has {has}")
        };
        let frame_list = image.end.div_ceil(PAGE_SIZE);
        let start_info = frame_list + (pages * size_of::<u64>()).div_ceil(PAGE_SIZE);
        let tables = start_info + 3;
        // The tables map themselves, too.
        let mut mapped = 0;
        let mut stack = tables + UPPER_TABLES;
        while mapped * PAGE_SIZE < (stack + 1) * PAGE_SIZE + MAPPED_ROOM {
            mapped += MAPPED_STEP / PAGE_SIZE;
            stack = tables + UPPER_TABLES + mapped / ENTRIES;
        }
        if mapped > most {
            return Err(too_small(mapped));
        }
        Ok(Self {
            pages,
            frame_list,
            start_info,
            xenstore: start_info + 1,
            console: start_info + 2,
            tables,
            stack,
            mapped,
        })
    }

    /// The root of the page tables.
    pub(super) fn root(&self) -> usize {
        self.tables
    }

    /// What lies in the guest's first pages. `frames` are the machine frames of all of its pages, `shared_info` that of
    /// the page that Xen shares with it.
    pub(super) fn memory(
        &self,
        image: &Image<'_>,
        frames: &[u64],
        shared_info: u64,
        rings: Rings<Port>,
        command_line: &str,
    ) -> Vec<u8> {
        let mut memory = vec![0; (self.stack + 1) * PAGE_SIZE];
        for (start, bytes) in &image.segments {
            memory[*start..start + bytes.len()].copy_from_slice(bytes);
        }
        let mut put = |page: usize, bytes: &[u8]| {
            memory[page * PAGE_SIZE..page * PAGE_SIZE + bytes.len()].copy_from_slice(bytes);
        };
        put(self.frame_list, frames.as_bytes());
        put(self.start_info, self.start_info(frames, shared_info, rings, command_line).as_bytes());
        for (place, table) in self.tables(frames).chunks(ENTRIES).enumerate() {
            put(self.tables + place, table.as_bytes());
        }
        memory
    }

    fn start_info(&self, frames: &[u64], shared_info: u64, rings: Rings<Port>, command_line: &str) -> StartInfo {
        let mut info = StartInfo::new_zeroed();
        let magic = b"xen-3.0-x86_64";
        info.magic[..magic.len()].copy_from_slice(magic);
        info.nr_pages = self.pages as u64;
        info.shared_info = shared_info * PAGE_SIZE as u64;
        info.store_mfn = frames[self.xenstore];
        info.store_evtchn = rings.xenstore.0;
        info.console = StartInfoConsole { mfn: frames[self.console], evtchn: rings.console.0, pad: 0 };
        info.pt_base = address(self.tables);
        info.nr_pt_frames = (self.stack - self.tables) as u64;
        info.mfn_list = address(self.frame_list);
        // Zero-terminated, and shorter than its place.
        info.cmd_line[..command_line.len()].copy_from_slice(command_line.as_bytes());
        info
    }

    /// The page tables, one behind the other: one of each upper level, then those of the last one.
    fn tables(&self, frames: &[u64]) -> Vec<u64> {
        let upper = PRESENT | WRITABLE | USER | ACCESSED | DIRTY;
        let entry = |page: usize, flags: u64| (frames[page] * PAGE_SIZE as u64) | flags;
        let last = self.tables + UPPER_TABLES;
        let mut tables = vec![0; UPPER_TABLES * ENTRIES];
        tables[0] = entry(self.tables + 1, upper);
        tables[ENTRIES] = entry(self.tables + 2, upper);
        for place in 0..self.mapped / ENTRIES {
            tables[2 * ENTRIES + place] = entry(last + place, upper);
        }
        // Xen lets no page table be mapped writable.
        tables.extend((0..self.mapped).map(|page| {
            let is_table = (self.tables..self.stack).contains(&page);
            entry(page, PRESENT | ACCESSED | if is_table { 0 } else { WRITABLE })
        }));
        tables
    }

    /// The registers that the guest begins with.
    pub(super) fn registers(&self, image: &Image<'_>, frames: &[u64]) -> X86 {
        /// Interrupts are on, as Xen wants to have it; events are masked.
        const INTERRUPTS: u64 = 1 << 9;
        let mut registers = context::X86::new_zeroed();
        registers.flags = X86_IN_KERNEL | X86_ONLINE;
        registers.user_regs.rip = image.entry;
        registers.user_regs.rsp = address(self.stack + 1);
        registers.user_regs.rsi = address(self.start_info);
        registers.user_regs.rflags = INTERRUPTS;
        registers.user_regs.cs = X86_KERNEL_CS;
        registers.user_regs.ss = X86_KERNEL_SS;
        registers.kernel_ss = X86_KERNEL_SS.into();
        registers.kernel_sp = registers.user_regs.rsp;
        registers.ctrlreg[3] = frames[self.tables] * PAGE_SIZE as u64;
        // What the processor has after a reset.
        registers.debugreg[6] = 0xffff_0ff0;
        registers.debugreg[7] = 0x0000_0400;
        registers
    }
}

/// The page that Xen shares with a guest, as it is at first: events of its one CPU, and of those that it has not, are
/// masked.
pub(super) fn shared_info() -> Vec<u8> {
    let mut page = vec![0; LEGACY_MAX_VCPUS * size_of::<VcpuInfo>()];
    for cpu in page.chunks_exact_mut(size_of::<VcpuInfo>()) {
        cpu[offset_of!(VcpuInfo, evtchn_upcall_mask)] = 1;
    }
    page
}

fn address(page: usize) -> u64 {
    (page * PAGE_SIZE) as u64
}

#[cfg(test)]
mod tests {
    use xen_sys::start_info::StartInfo;
    use xen_sys::types::{PAGE_SIZE, Port};
    use zerocopy::FromBytes;

    use super::{ENTRIES, Image, Layout, PRESENT, WRITABLE};
    use crate::toolstack::direct::shape::Rings;

    const CODE_AT: u64 = 0x1000;

    /// An image with code at 0x1000, whose entry is its fourth byte, and with data and zeros behind it.
    fn file(system: &[u8; 5], entry: u64, memory_size: u64) -> Vec<u8> {
        let mut file = vec![0; 64 + 2 * 56];
        file[..20].copy_from_slice(&[127, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0]);
        file[24..32].copy_from_slice(&entry.to_le_bytes());
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[54..58].copy_from_slice(&[56, 0, 2, 0]);
        let body = [b"code".as_slice(), &[4, 0, 0, 0, 6, 0, 0, 0, 6, 0, 0, 0], b"Xen\0", system, &[0; 3]].concat();
        let start = file.len() as u64;
        let (note, size) = (start + 4, body.len() as u64);
        let segments = [[1, 5, start, CODE_AT, size, memory_size], [4, 4, note, CODE_AT + 4, size - 4, size - 4]];
        for (place, [kind, flags, offset, address, size, memory]) in segments.into_iter().enumerate() {
            let words = [kind | flags << 32, offset, address, address, size, memory, 1];
            let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
            file[64 + place * 56..64 + (place + 1) * 56].copy_from_slice(&bytes);
        }
        [file, body].concat()
    }

    fn frames(pages: usize) -> Vec<u64> {
        (0..pages as u64).map(|page| 0x10_0000 + page * 3).collect()
    }

    fn word(memory: &[u8], page: usize, place: usize) -> u64 {
        u64::read_from_bytes(&memory[page * PAGE_SIZE + place * 8..][..8]).unwrap()
    }

    #[test]
    fn everything_has_its_page_and_the_tables_lead_to_it() {
        let file = file(b"Spore", CODE_AT, 0x2345);
        let image = Image::read(&file).unwrap();
        let layout = Layout::new(&image, 1024).unwrap();
        // Image to 0x3345: pages 1 to 3; then two pages for 1,024 frames.
        let places = (layout.frame_list, layout.start_info, layout.xenstore, layout.console, layout.tables);
        assert_eq!(places, (4, 6, 7, 8, 9));
        // One table of each upper level and two of the last one; then the stack.
        assert_eq!((layout.stack, layout.mapped), (14, 1024));
        let frames = frames(1024);
        let rings = Rings { console: Port(2), xenstore: Port(1) };
        let memory = layout.memory(&image, &frames, 0x77, rings, "a=b");
        assert_eq!(memory.len(), 15 * PAGE_SIZE);
        assert_eq!(&memory[0x1000..0x1004], b"code");
        assert_eq!([word(&memory, 4, 0), word(&memory, 5, 511)], [frames[0], frames[1023]]);
        let (info, _) = StartInfo::read_from_prefix(&memory[6 * PAGE_SIZE..]).unwrap();
        assert_eq!((info.nr_pages, info.shared_info, info.mfn_list), (1024, 0x77_000, 0x4000));
        assert_eq!((info.store_mfn, info.store_evtchn), (frames[7], 1));
        assert_eq!((info.console.mfn, info.console.evtchn), (frames[8], 2));
        assert_eq!((info.pt_base, info.nr_pt_frames, &info.cmd_line[..4]), (0x9000, 5, b"a=b\0".as_slice()));
        // From the root to the entry of each page.
        for page in 0..1024 {
            let mut table = layout.root();
            for (depth, place) in [0, 0, page / ENTRIES].into_iter().enumerate() {
                let entry = word(&memory, table, place);
                table = frames.iter().position(|frame| *frame == entry >> 12).unwrap();
                assert!(entry & PRESENT != 0 && (9..14).contains(&table), "page {page}, depth {depth}: {entry:#x}");
            }
            let entry = word(&memory, table, page % ENTRIES);
            assert_eq!(entry >> 12, frames[page]);
            assert_eq!(entry & WRITABLE == 0, (9..14).contains(&page), "page {page}");
        }
        let registers = layout.registers(&image, &frames);
        assert_eq!(
            (registers.user_regs.rip, registers.user_regs.rsi, registers.user_regs.rsp),
            (0x1000, 0x6000, 0xf000)
        );
        assert_eq!(registers.ctrlreg[3], frames[9] << 12);
    }

    #[test]
    fn what_is_none_of_our_images_is_refused() {
        let refused = |file: &[u8]| Image::read(file).unwrap_err();
        assert_eq!(refused(b"MZ"), "it is no 64-bit ELF file");
        assert_eq!(refused(&file(b"Linux", CODE_AT, 0x100)), "its notes do not say that it is of Spore");
        assert_eq!(refused(&file(b"Spore", CODE_AT + 0x100, 0x100)), "its entry lies in no code");
        let whole = file(b"Spore", CODE_AT, 0x100);
        for length in 0..whole.len() {
            refused(&whole[..length]);
        }
        assert_eq!(refused(&file(b"Spore", CODE_AT, u64::MAX)), "its ELF file is damaged");
        for size in [16 << 20, 1 << 40, u64::MAX >> 1] {
            assert_eq!(refused(&file(b"Spore", CODE_AT, size)), "it takes more than 16 MiB of memory");
        }
    }

    #[test]
    fn an_image_that_does_not_fit_is_refused_with_the_numbers() {
        let refused = |size: u64, pages: usize| {
            let file = file(b"Spore", CODE_AT, size);
            Layout::new(&Image::read(&file).unwrap(), pages).unwrap_err()
        };
        assert_eq!(refused(0x2000, 512), "the image takes 4 MiB of memory, and the guest has 2");
        // Behind everything half a MiB is free.
        assert_eq!(refused(0x38_0000, 1024), "the image takes 8 MiB of memory, and the guest has 4");
    }
}
