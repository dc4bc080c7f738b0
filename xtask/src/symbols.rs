//! Source places of addresses on a guest's console.
//!
//! Images carry no panic messages and no file names: a crash names addresses (xen-pv/src/crash.rs), and the line that
//! belongs to each is in the ELF file's debug information.

use std::ops::Range;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use anyhow::{Context, Result};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};

/// How lines of a crash report begin.
const CRASH: &str = "crash: ";

/// The debug information of an image.
pub struct Symbols<'e> {
    context: addr2line::Context<EndianSlice<'e, LittleEndian>>,
    /// Where the code is: debug information also speaks of functions that the linker left out, as if they were at 0.
    code: Range<u64>,
}

impl<'e> Symbols<'e> {
    /// Reads an image's ELF file.
    ///
    /// # Errors
    /// When it is none, or its debug information is damaged.
    pub fn new(elf: &'e [u8]) -> Result<Self> {
        let file: ElfFile64<'e> = ElfFile64::parse(elf).context("not a 64-bit ELF file")?;
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
        Ok(Self { context, code: text.address()..text.address() + text.size() })
    }

    /// The places that a console line speaks of: one line for each address in a crash report's first line, and for each
    /// function that the compiler put there within another.
    pub fn places(&self, line: &str) -> Vec<String> {
        let Some(report) = line.strip_prefix(CRASH) else { return Vec::new() };
        let words = report.split(|c: char| !c.is_ascii_alphanumeric());
        let addresses = words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        addresses.filter(|address| self.code.contains(address)).flat_map(|address| self.place(address)).collect()
    }

    /// The innermost place first; none for an address outside the code.
    fn place(&self, address: u64) -> Vec<String> {
        let mut places = Vec::new();
        let Ok(mut frames) = self.context.find_frames(address).skip_all_loads() else { return places };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.and_then(|name| name.raw_name().ok().map(|name| name.into_owned()));
            let function = function.map_or("?".into(), |name| format!("{:#}", rustc_demangle::demangle(&name)));
            let within = if places.is_empty() { format!("{address:#x} is") } else { "within".into() };
            let location = frame.location.and_then(|at| Some(format!("{}:{}", at.file?, at.line?)));
            places.push(format!("{within} {function} at {}", location.unwrap_or("an unknown line".into())));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::Symbols;

    #[test]
    fn only_a_crash_report_is_looked_at() {
        // The test program itself is an ELF file with debug information.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let symbols = Symbols::new(&own).unwrap();
        assert!(symbols.places("listening at 0x1000").is_empty());
        assert!(symbols.places("crash: page fault at address 0x0").is_empty());
    }

    #[test]
    fn a_file_that_is_no_elf_is_said_to_be_none() {
        assert_eq!(Symbols::new(b"hello").err().unwrap().to_string(), "not a 64-bit ELF file");
    }

    #[test]
    fn an_address_in_the_code_has_its_function_and_line() {
        use object::{Object, ObjectSymbol};
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*own).unwrap();
        let known = file.symbols().find(|symbol| {
            let name = symbol.name().unwrap_or_default();
            name.contains("xtask") && name.contains("symbols") && name.contains("place") && symbol.size() > 0
        });
        let address = known.unwrap().address();
        let places = Symbols::new(&own).unwrap().places(&format!("crash: panic at {address:#x}"));
        assert!(places[0].starts_with(&format!("{address:#x} is ")), "{places:?}");
        assert!(places.iter().any(|place| place.contains("symbols.rs:")), "{places:?}");
    }
}
