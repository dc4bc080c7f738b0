//! What the bed reads from ELF files: the libraries that a program needs, the modules that a module needs, a kernel's
//! segments.

use anyhow::{Context, Result, bail};
use object::elf::{DT_NEEDED, FileHeader32, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, Object, ObjectSection};

/// What a program or library asks the dynamic loader for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The dynamic loader's path; libraries have none.
    pub loader: Option<String>,
    /// Names of libraries.
    pub libraries: Vec<String>,
}

/// Reads what a program or library needs; nothing for a static one.
///
/// # Errors
/// It is not an ELF file, or a broken one.
pub fn needs(file: &[u8]) -> Result<Needs> {
    match FileKind::parse(file)? {
        FileKind::Elf32 => needs_of::<FileHeader32<Endianness>>(file),
        FileKind::Elf64 => needs_of::<FileHeader64<Endianness>>(file),
        other => bail!("{other:?} instead of an ELF file"),
    }
}

fn needs_of<Elf: FileHeader<Endian = Endianness>>(file: &[u8]) -> Result<Needs> {
    let header = Elf::parse(file)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, file)? {
        if segment.p_type(endian) == PT_INTERP {
            let path = segment.data(endian, file).ok().context("the loader's name lies outside of the file")?;
            needs.loader = Some(String::from_utf8_lossy(path).trim_end_matches('\0').to_owned());
        }
    }
    let sections = header.sections(endian, file)?;
    if let Some((entries, strings)) = sections.dynamic(endian, file)? {
        let strings = sections.strings(endian, file, strings)?;
        for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
            needs.libraries.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
        }
    }
    Ok(needs)
}

/// Names of the modules that a Linux kernel module needs, from its `.modinfo` section.
///
/// # Errors
/// It is not an ELF file, or has no such section.
pub fn module_needs(file: &[u8]) -> Result<Vec<String>> {
    let object = object::File::parse(file)?;
    let section = object.section_by_name(".modinfo").context("a kernel module without .modinfo")?;
    let entries = section.data()?.split(|byte| *byte == 0);
    let depends =
        entries.filter_map(|entry| entry.strip_prefix(b"depends=")).flat_map(|names| names.split(|byte| *byte == b','));
    Ok(depends.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_its_loader_and_libraries() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&program).unwrap();
        assert!(needs.loader.unwrap().starts_with("/lib"));
        assert!(needs.libraries.iter().any(|library| library.starts_with("libc.so")), "{:?}", needs.libraries);
    }

    #[test]
    fn a_static_program_needs_nothing() {
        let image = crate::probe::image(crate::Arch::X86_64, b"", crate::ShutdownReason::PowerOff);
        assert_eq!(needs(&image).unwrap(), Needs::default());
        assert!(needs(b"#!/bin/sh\n").is_err());
    }
}
