//! Source places of addresses on a guest's console.
//!
//! Images carry no panic messages and no file names: a crash names addresses (xen-pv/src/crash.rs), and the line that
//! belongs to each is in the ELF file's debug information.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use anyhow::{Context, Result};
use object::{File, Object, ObjectSection};

/// How the first line of a crash report begins, and the one with the address of the instruction, by CPU.
const CRASH: &str = "crash: ";
const INSTRUCTION: [&str; 2] = ["  rip ", "  pc "];

/// Places shown for one address, the functions that the compiler put within others included.
const LONGEST_CHAIN: usize = 8;

/// A line of the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, from the workspace's root if it lies there.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The debug information of an image.
pub struct Symbols<'e> {
    context: addr2line::Context<EndianSlice<'e, LittleEndian>>,
    /// Where the code is: debug information also speaks of functions that the linker left out, as if they were at 0.
    code: Range<u64>,
    /// The address last explained: a report may name it twice.
    last: Cell<u64>,
}

impl<'e> Symbols<'e> {
    /// Reads an image's ELF file.
    ///
    /// # Errors
    /// When it is none, or its debug information is damaged.
    pub fn new(elf: &'e [u8]) -> Result<Self> {
        let file: File<'e> = File::parse(elf).context("not an ELF file")?;
        let section = |id: SectionId| -> Result<_> {
            let bytes: &'e [u8] = match file.section_by_name(id.name()) {
                Some(section) => section.data()?,
                None => &[],
            };
            Ok(EndianSlice::new(bytes, LittleEndian))
        };
        let context = addr2line::Context::from_dwarf(Dwarf::load(section)?);
        let context = context.context("the debug information of the ELF file is damaged")?;
        let text = file.section_by_name(".text").context("the ELF file has no code")?;
        Ok(Self { context, code: text.address()..text.address() + text.size(), last: Cell::new(0) })
    }

    /// The places that a line of a crash report speaks of, innermost first; none for any other line.
    pub fn places(&self, line: &str) -> Vec<String> {
        let (report, most) =
            match (line.strip_prefix(CRASH), INSTRUCTION.iter().find_map(|start| line.strip_prefix(start))) {
                (Some(report), _) => (report, usize::MAX),
                // The other registers rarely hold an address in the code, and mean nothing when they do.
                (None, Some(registers)) => (registers, 1),
                (None, None) => return Vec::new(),
            };
        let words = report.split(|c: char| !c.is_ascii_alphanumeric());
        let addresses = words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).take(most);
        let explained =
            addresses.filter(|address| self.code.contains(address) && self.last.replace(*address) != *address);
        explained.flat_map(|address| self.place(address)).collect()
    }

    /// The lines of the source that an instruction belongs to: the one that it is written in, and those from which the
    /// compiler has called it without a call.
    pub fn lines(&self, address: u64) -> Vec<Place> {
        let mut places = Vec::new();
        let Ok(mut frames) = self.context.find_frames(address).skip_all_loads() else { return places };
        while let Ok(Some(frame)) = frames.next() {
            if let Some((Some(file), Some(line))) = frame.location.map(|at| (at.file, at.line)) {
                places.push(Place { file: file.to_owned(), line });
            }
        }
        places
    }

    /// One line for the address and each function around it, up to the first one of the workspace.
    fn place(&self, address: u64) -> Vec<String> {
        let mut places = Vec::new();
        let Ok(mut frames) = self.context.find_frames(address).skip_all_loads() else { return places };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.and_then(|name| name.raw_name().ok().map(|name| name.into_owned()));
            let function = function.map_or("?".into(), |name| format!("{:#}", rustc_demangle::demangle(&name)));
            let file = frame.location.as_ref().and_then(|at| at.file).unwrap_or("an unknown file");
            let line = frame.location.as_ref().and_then(|at| at.line).map_or(String::new(), |line| format!(":{line}"));
            let within = if places.is_empty() { format!("{address:#x} is") } else { "within".into() };
            places.push(format!("{within} {}{line} in {function}", shown(file)));
            if places.len() == LONGEST_CHAIN || !file.starts_with('/') {
                break;
            }
        }
        places
    }
}

/// A path without the machine's own part: where the standard library's source or cargo's registry lie.
fn shown(file: &str) -> &str {
    if let Some((_, library)) = file.split_once("/rust/library/") {
        return library;
    }
    let crates = file.split_once("/registry/src/").and_then(|(_, path)| path.split_once('/'));
    crates.map_or(file, |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::{Symbols, shown};

    #[test]
    fn only_a_crash_report_is_looked_at() {
        // The test program itself is an ELF file with debug information.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let symbols = Symbols::new(&own).unwrap();
        assert!(symbols.places("listening at 0x1000").is_empty());
        assert!(symbols.places("crash: page fault at address 0x0").is_empty());
        assert!(symbols.places("  rsp 0x1000").is_empty());
    }

    #[test]
    fn paths_are_shown_without_the_machines_own_part() {
        assert_eq!(shown("/home/u/.rustup/x/lib/rustlib/src/rust/library/core/src/a.rs"), "core/src/a.rs");
        assert_eq!(shown("/home/u/.cargo/registry/src/index-1/embassy-1.0/src/a.rs"), "embassy-1.0/src/a.rs");
        assert_eq!(shown("tasks/hello/src/lib.rs"), "tasks/hello/src/lib.rs");
    }

    #[test]
    fn a_file_that_is_no_elf_is_said_to_be_none() {
        assert_eq!(Symbols::new(b"hello").err().unwrap().to_string(), "not an ELF file");
    }

    #[test]
    fn an_address_in_the_code_has_its_function_and_line() {
        use object::{Object, ObjectSymbol};
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*own).unwrap();
        let symbols = Symbols::new(&own).unwrap();
        // Of this module's functions some come from elsewhere, such as those that drop their closures.
        let addresses = file.symbols().filter(|symbol| {
            let name = symbol.name().unwrap_or_default();
            name.contains("xtask") && name.contains("symbols") && name.contains("place") && symbol.size() > 0
        });
        let found = addresses.map(|symbol| symbol.address()).find_map(|address| {
            let places = symbols.places(&format!("crash: panic at {address:#x}"));
            places.iter().any(|place| place.contains("symbols.rs:")).then_some((address, places))
        });
        let (address, places) = found.expect("no function of this module has its lines");
        assert!(places[0].starts_with(&format!("{address:#x} is ")), "{places:?}");
        let again = symbols.places(&format!("  rip {address:#x} rsp {address:#x}"));
        assert!(again.is_empty(), "{again:?}");
    }
}
