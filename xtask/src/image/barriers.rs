//! Whether an ARM image has a barrier wherever the source asks for one.
//!
//! On ARM each CPU sees the writes of another in any order; `dmb` puts them in one. A fence that a refactoring or the
//! compiler has lost fails no test on x86, where most fences are no instruction, and hardly ever one in an emulator. So
//! the image itself is looked at: its debug information leads from each `dmb` to the lines of the source that it is for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{File, Object, ObjectSection};

use crate::symbols::{Place, Symbols};

/// `dmb` in Thumb, whose last four bits say how far it reaches. Source: ARM DDI 0406C, A8.8.43, encoding T1.
const DMB: [u16; 2] = [0xf3bf, 0x8f50];

/// Where the source is that shares memory with other CPUs, and within it what is not in an ARM guest: the other CPU's, and
/// models of the source that tests run.
const SOURCE: &str = "xen-pv/src";
const ELSEWHERE: [&str; 3] = ["x86_64", "model.rs", "tests.rs"];

/// Checks the images' ELF files, together: what one task does not use, another does.
///
/// # Errors
/// Lists the lines of the source without a barrier in any of them.
pub fn check(root: &Path, elfs: &[Vec<u8>]) -> Result<()> {
    let mut asked = Vec::new();
    asked_below(root, &root.join(SOURCE), &mut asked)?;
    ensure!(!asked.is_empty(), "nothing below {SOURCE} asks for a barrier: is that how it asks?");
    let mut there = BTreeSet::new();
    for elf in elfs {
        there.append(&mut barriers(elf)?);
    }
    let missing: Vec<_> = asked.iter().filter(|place| !there.contains(place)).map(Place::to_string).collect();
    ensure!(missing.is_empty(), "no image has a barrier for: {}", missing.join(", "));
    Ok(())
}

/// The lines below a folder that name an ordering stronger than none.
fn asked_below(root: &Path, folder: &Path, asked: &mut Vec<Place>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ELSEWHERE.iter().any(|elsewhere| name.starts_with(elsewhere)) {
            continue;
        }
        if path.is_dir() {
            asked_below(root, &path, asked)?;
        } else {
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let file = path.strip_prefix(root)?.display().to_string();
            asked.extend(asked_in(&text).into_iter().map(|line| Place { file: file.clone(), line }));
        }
    }
    Ok(())
}

/// The numbers of such lines in a file, without what comes last and is in no guest: the backend's half of a ring, and tests.
fn asked_in(text: &str) -> Vec<u32> {
    let last = ["pub struct BackRing", "#[cfg(test)]\nmod "];
    let end = last.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    let code = &text[..end];
    let asks = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        let strong = ["Acquire", "Release", "AcqRel", "SeqCst"];
        strong.iter().any(|ordering| code.contains(&format!("Ordering::{ordering}")))
            && !code.contains("compiler_fence")
    };
    (1..).zip(code.lines()).filter(|(_, line)| asks(line)).map(|(number, _)| number).collect()
}

/// The lines for which an image has a barrier: those that the instruction is written in, and all callers that the compiler
/// has put that code into.
fn barriers(elf: &[u8]) -> Result<BTreeSet<Place>> {
    let symbols = Symbols::new(elf)?;
    let file = File::parse(elf)?;
    let text = file.section_by_name(".text").context("the ELF file has no code")?;
    let halves: Vec<u16> = text.data()?.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect();
    let is_dmb = |halves: &[u16]| halves[0] == DMB[0] && halves[1] & 0xfff0 == DMB[1];
    let found = halves.windows(2).enumerate().filter(|(_, halves)| is_dmb(halves));
    Ok(found.flat_map(|(at, _)| symbols.lines(text.address() + 2 * at as u64)).collect())
}

#[cfg(test)]
mod tests {
    use super::asked_in;

    #[test]
    fn a_line_asks_when_its_code_names_a_strong_ordering() {
        let text = "fence(Ordering::Release);\n\
                    // fence(Ordering::Acquire);\n\
                    load(Ordering::Relaxed)\n\
                    memory.fence(Ordering::SeqCst); // why\n\
                    compiler_fence(Ordering::Acquire);\n\
                    #[cfg(test)]\n\
                    mod tests { fence(Ordering::Release); }\n";
        assert_eq!(asked_in(text), [1, 4]);
        assert_eq!(asked_in(&text.replace("memory.fence", "pub struct BackRing; fence")), [1]);
    }
}
