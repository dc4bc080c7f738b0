//! What an image consists of: its sections, and which crate's code and data fill them.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use object::{File, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, elf};

use crate::terminal::bytes;

/// Sizes within an image, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Code.
    pub text: u64,
    /// Constants and notes.
    pub rodata: u64,
    /// Static data with a value.
    pub data: u64,
    /// Static data that starts as zero, the stack among it; not in the file.
    pub bss: u64,
    /// What each crate has in code, constants and data, largest first.
    pub crates: Vec<(String, u64)>,
    /// What each function and constant has, largest first.
    pub symbols: Vec<(String, u64)>,
}

impl Contents {
    /// Reads them from an ELF file with symbols.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let file = File::parse(bytes).context("not an ELF file")?;
        let mut contents = Self::default();
        let mut filled = Vec::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            let flag = |flag: u32| sh_flags & u64::from(flag) != 0;
            if !flag(elf::SHF_ALLOC) {
                continue;
            }
            let sum = match section.kind() {
                SectionKind::UninitializedData => &mut contents.bss,
                _ if flag(elf::SHF_EXECINSTR) => &mut contents.text,
                _ if flag(elf::SHF_WRITE) => &mut contents.data,
                _ => &mut contents.rodata,
            };
            *sum += section.size();
            if section.kind() != SectionKind::UninitializedData {
                filled.push(section.index());
            }
        }
        let mut symbols = BTreeMap::new();
        for symbol in file.symbols() {
            let inside = symbol.section_index().is_some_and(|index| filled.contains(&index));
            if inside && symbol.size() > 0 {
                // Several names may share one address, where the linker folded equal code.
                symbols.insert(symbol.address(), (symbol.name().unwrap_or("?").to_owned(), symbol.size()));
            }
        }
        contents.group(symbols.into_values());
        Ok(contents)
    }

    /// Sums up by crate.
    fn group(&mut self, symbols: impl Iterator<Item = (String, u64)>) {
        let mut crates = BTreeMap::<String, u64>::new();
        let mut named = 0;
        for (mangled, size) in symbols {
            let name = format!("{:#}", rustc_demangle::demangle(&mangled));
            *crates.entry(crate_of(&name)).or_default() += size;
            named += size;
            self.symbols.push((name, size));
        }
        let unnamed = (self.text + self.rodata + self.data).saturating_sub(named);
        self.crates =
            crates.into_iter().chain([("(strings and other unnamed constants)".to_owned(), unnamed)]).collect();
        self.crates.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        self.symbols.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    }

    /// The crates and the largest symbols, as a table.
    pub fn table(&self, symbols: usize) -> String {
        let mut table = String::new();
        let mut part = |title: &str, rows: &[(String, u64)]| {
            let _ = writeln!(table, "{:>9}  {title}", "bytes");
            for (name, size) in rows {
                let _ = writeln!(table, "{:>9}  {name}", bytes(*size));
            }
        };
        part("crate", &self.crates);
        part("largest functions and constants", &self.symbols[..symbols.min(self.symbols.len())]);
        table
    }
}

/// The crate in a demangled name: the first path segment, within any `<`, `&` and the like.
fn crate_of(name: &str) -> String {
    let start = name.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let path = start.strip_prefix("mut ").or_else(|| start.strip_prefix("dyn ")).unwrap_or(start);
    match path.split_once("::") {
        Some((first, _)) if first.chars().all(|c| c.is_alphanumeric() || c == '_') => first.to_owned(),
        _ => "(no crate)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, crate_of};

    #[test]
    fn a_name_tells_its_crate() {
        assert_eq!(crate_of("kernel::executor::run"), "kernel");
        assert_eq!(crate_of("<smoltcp::iface::Interface>::poll::<xen_pv::Netfront>"), "smoltcp");
        assert_eq!(crate_of("<&mut collect::Line as core::fmt::Write>::write_str"), "collect");
        assert_eq!(crate_of("<dyn core::any::Any>::type_id"), "core");
        assert_eq!(crate_of("memcpy"), "(no crate)");
    }

    #[test]
    fn crates_are_summed_and_the_largest_comes_first() {
        let mut contents = Contents { text: 100, rodata: 50, data: 10, ..Contents::default() };
        let symbols = [("_RNvCs1234_6kernel3run", 30), ("_RNvCs1234_6kernel4stop", 20), ("memcpy", 40)];
        contents.group(symbols.iter().map(|(name, size)| ((*name).to_owned(), *size)));
        let crates: Vec<_> = contents.crates.iter().map(|(name, size)| (name.as_str(), *size)).collect();
        assert_eq!(crates, [("(strings and other unnamed constants)", 70), ("kernel", 50), ("(no crate)", 40)]);
        assert_eq!(contents.symbols[0], ("memcpy".to_owned(), 40));
        let table = contents.table(1);
        assert!(table.contains("       40  memcpy") && !table.contains("kernel::stop"), "{table}");
    }

    #[test]
    fn a_file_that_is_no_elf_is_said_to_be_none() {
        assert_eq!(Contents::read(b"hello").unwrap_err().to_string(), "not an ELF file");
    }
}
