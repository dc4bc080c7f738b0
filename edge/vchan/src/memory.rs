//! Memory that this program shares with another domain: its own, granted (`/dev/xen/gntalloc`), or the other's, mapped
//! (`/dev/xen/gntdev`).
//!
//! It is only ever copied in and out, by volatile accesses; nothing refers to it.
//!
//! Source: `include/uapi/xen/gntalloc.h` and `gntdev.h` of Linux.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use channel::layout::PAGE_BYTES;
use channel::{Bytes, ControlPage};
use rustix::ioctl::{self, Direction, IoctlOutput, Opcode, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::Error;

const GNTALLOC: &str = "/dev/xen/gntalloc";
const GNTDEV: &str = "/dev/xen/gntdev";

/// `IOCTL_GNTALLOC_ALLOC_GREF`. The size in it is that of a structure with a list of one.
const GRANT: Opcode = opcode::from_components(Direction::None, b'G', 5, 24);
/// `IOCTL_GNTDEV_MAP_GRANT_REF`, likewise.
const MAP: Opcode = opcode::from_components(Direction::None, b'G', 0, 24);
/// `IOCTL_GNTALLOC_SET_UNMAP_NOTIFY`, and `IOCTL_GNTDEV_SET_UNMAP_NOTIFY`.
const NOTIFY: Opcode = opcode::from_components(Direction::None, b'G', 7, 16);

/// `GNTALLOC_FLAG_WRITABLE`.
const WRITABLE: u64 = 1;
/// `UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT`.
const CLEAR_AND_SEND: u64 = 3;

/// An operation on a structure of 64-bit words, with what it reads and writes.
struct Words<'a, const OPCODE: Opcode>(&'a mut [u64]);

// SAFETY: the opcodes that it is used with take a pointer to a structure of such words, and touch as many of them as the
// count in its first word says: no more than there are.
unsafe impl<const OPCODE: Opcode> ioctl::Ioctl for Words<'_, OPCODE> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Pages of memory, one behind the other. Dropping it ends that they are shared, as far as it is this side's to end.
#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    bytes: usize,
    path: &'static str,
    device: File,
    /// Where in the device's file the pages are.
    index: u64,
    references: Vec<u32>,
}

impl Memory {
    /// So many pages of ours that a domain may read and write.
    pub(crate) fn granted(domain: u16, pages: usize) -> Result<Self, Error> {
        let mut words = vec![0; 2 + pages.div_ceil(2)];
        words[0] = u64::from(domain) | WRITABLE << 16 | (pages as u64) << 32;
        let device = operate::<GRANT>(GNTALLOC, &mut words)?;
        let references = words[2..].iter().flat_map(|pair| [*pair as u32, (pair >> 32) as u32]).take(pages).collect();
        Self::of(GNTALLOC, device, words[1], references, true)
    }

    /// Pages that a domain has granted.
    pub(crate) fn mapped(domain: u16, references: &[u32], writable: bool) -> Result<Self, Error> {
        let mut words = vec![references.len() as u64, 0];
        words.extend(references.iter().map(|reference| u64::from(domain) | u64::from(*reference) << 32));
        let device = operate::<MAP>(GNTDEV, &mut words)?;
        Self::of(GNTDEV, device, words[1], references.to_vec(), writable)
    }

    fn of(path: &'static str, device: File, index: u64, references: Vec<u32>, writable: bool) -> Result<Self, Error> {
        let access = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let bytes = references.len() * PAGE_BYTES;
        // SAFETY: the kernel chooses the address, so no other memory is replaced.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, &device, index) };
        let start = start.map_err(|error| Error::device(path, error))?;
        let Some(start) = NonNull::new(start.cast()) else { unreachable!("nothing is mapped at 0") };
        Ok(Self { start, bytes, path, device, index, references })
    }

    /// By what the pages are granted.
    pub(crate) fn references(&self) -> &[u32] {
        &self.references
    }

    /// Has Linux clear a byte and send an event when the pages are unmapped, however this program ends.
    pub(crate) fn tell_when_gone(&self, offset: usize, port: u32) -> Result<(), Error> {
        let mut words = [self.index + offset as u64, CLEAR_AND_SEND | u64::from(port) << 32];
        // SAFETY: the structure has two words and no list.
        unsafe { ioctl::ioctl(&self.device, Words::<NOTIFY>(&mut words)) }
            .map_err(|error| Error::device(self.path, error))
    }

    /// The address of `size` bytes at `offset`.
    fn at(&self, offset: usize, size: usize) -> *mut u8 {
        assert!(offset <= self.bytes && size <= self.bytes - offset, "outside the shared memory");
        // SAFETY: the bytes lie inside the mapping, as was just checked.
        unsafe { self.start.as_ptr().add(offset) }
    }

    /// Copies a value out.
    fn load<T: Copy>(&self, offset: usize) -> T {
        let address = self.at(offset, size_of::<T>()).cast::<T>();
        assert!(address.is_aligned());
        // SAFETY: the memory is mapped; `T` is an integer here, of which any bits are one.
        unsafe { address.read_volatile() }
    }

    /// Copies a value in.
    fn store<T: Copy>(&self, offset: usize, value: T) {
        let address = self.at(offset, size_of::<T>()).cast::<T>();
        assert!(address.is_aligned());
        // SAFETY: the memory is mapped. What is mapped for reading is not written to: it would be a signal.
        unsafe { address.write_volatile(value) }
    }

    /// A byte that both sides change with atomic instructions only.
    fn atomic(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: the byte is mapped as long as it is borrowed; an atomic may be changed by others at any time.
        unsafe { AtomicU8::from_ptr(self.at(offset, 1)) }
    }
}

/// Opens a device and has it do an operation.
fn operate<const OPCODE: Opcode>(path: &'static str, words: &mut [u64]) -> Result<File, Error> {
    let device = OpenOptions::new().read(true).write(true).open(path).map_err(|error| Error::device(path, error))?;
    // SAFETY: the callers' structures are as long as their counts say.
    unsafe { ioctl::ioctl(&device, Words::<OPCODE>(words)) }.map_err(|error| Error::device(path, error))?;
    Ok(device)
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length, and nothing points into it any more.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

const WORD: usize = size_of::<usize>();

impl Bytes for Memory {
    fn read(&self, offset: usize, destination: &mut [u8]) {
        // Whole words where they lie in shared memory, so that most bytes cost an eighth of an access.
        let (first, rest) = destination.split_at_mut(destination.len().min(offset.wrapping_neg() % WORD));
        let (words, last) = rest.as_chunks_mut::<WORD>();
        let (middle, end) = (offset + first.len(), offset + first.len() + words.len() * WORD);
        first.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = self.load(at));
        for (word, at) in words.iter_mut().zip((middle..).step_by(WORD)) {
            *word = self.load::<usize>(at).to_ne_bytes();
        }
        last.iter_mut().zip(end..).for_each(|(byte, at)| *byte = self.load(at));
    }

    fn write(&self, offset: usize, source: &[u8]) {
        let (first, rest) = source.split_at(source.len().min(offset.wrapping_neg() % WORD));
        let (words, last) = rest.as_chunks::<WORD>();
        let (middle, end) = (offset + first.len(), offset + first.len() + words.len() * WORD);
        first.iter().zip(offset..).for_each(|(byte, at)| self.store(at, *byte));
        for (word, at) in words.iter().zip((middle..).step_by(WORD)) {
            self.store(at, usize::from_ne_bytes(*word));
        }
        last.iter().zip(end..).for_each(|(byte, at)| self.store(at, *byte));
    }
}

impl ControlPage for Memory {
    fn read_u8(&self, offset: usize) -> u8 {
        self.load(offset)
    }

    fn write_u8(&self, offset: usize, value: u8) {
        self.store(offset, value);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.atomic(offset).fetch_or(bits, Ordering::Relaxed);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.atomic(offset).fetch_and(!bits, Ordering::Relaxed)
    }

    fn read_u16(&self, offset: usize) -> u16 {
        self.load(offset)
    }

    fn write_u16(&self, offset: usize, value: u16) {
        self.store(offset, value);
    }

    fn read_u32(&self, offset: usize) -> u32 {
        self.load(offset)
    }

    fn write_u32(&self, offset: usize, value: u32) {
        self.store(offset, value);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use channel::Bytes;

    use super::{GRANT, MAP, Memory, NOTIFY};

    #[test]
    fn the_opcodes_are_those_of_the_headers() {
        // _IOC(_IOC_NONE, 'G', number, size) on x86 and ARM.
        assert_eq!([GRANT, MAP, NOTIFY], [0x0018_4705, 0x0018_4700, 0x0010_4707]);
    }

    /// A file's pages stand for shared ones.
    fn memory() -> Memory {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(8192).expect("two pages");
        let device = OpenOptions::new().read(true).write(true).open(file.path()).expect("the file");
        Memory::of("a file", device, 0, vec![1, 2], true).expect("a mapping")
    }

    #[test]
    fn bytes_are_copied_whatever_their_place_and_number() {
        let memory = memory();
        for start in 0..20 {
            for length in 0..40 {
                memory.write(0, &[0xaa; 100]);
                let bytes: Vec<u8> = (1..=length).collect();
                memory.write(start, &bytes);
                let (mut all, mut part) = ([0; 100], vec![0; length.into()]);
                memory.read(0, &mut all);
                memory.read(start, &mut part);
                let mut expected = [0xaa; 100];
                expected[start..start + bytes.len()].copy_from_slice(&bytes);
                assert_eq!((all, part), (expected, bytes), "{length} bytes at {start}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside the shared memory")]
    fn nothing_is_copied_from_beyond_the_end() {
        memory().read(8190, &mut [0; 3]);
    }
}
