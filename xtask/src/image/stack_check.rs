//! Makes each function of an x86_64 image begin with a call of the stack check (`xen-pv/src/entry/x86_64/stack_check.rs`).
//!
//! The compiler leaves `ENTRY` bytes that do nothing at the start of each function and lists their addresses in a
//! section; here they become `call __stack_check`.

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol};

/// What the compiler leaves: `nopl 8(%rax,%rax,1)`, five bytes long as a call is.
const ENTRY: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x08];

/// Opcode of a near call, whose operand is relative to the next instruction.
const CALL: u8 = 0xe8;

/// The section with the addresses, and the function to call.
const ENTRIES: &str = ".spore.function_entries";
const CHECK: &str = "__stack_check";

/// Where in the file a function begins, and what is to stand there.
struct Patch {
    offset: usize,
    call: [u8; 5],
}

/// Installs the check in an ELF file and returns in how many functions. A file without the list is left alone.
///
/// # Errors
/// When the list names an address that does not hold the bytes set aside.
pub fn install(elf: &mut [u8]) -> Result<usize> {
    let patches = patches(elf).context("installing the stack check")?;
    for patch in &patches {
        elf[patch.offset..patch.offset + ENTRY.len()].copy_from_slice(&patch.call);
    }
    Ok(patches.len())
}

fn patches(elf: &[u8]) -> Result<Vec<Patch>> {
    let file = object::File::parse(elf)?;
    let Some(list) = file.section_by_name(ENTRIES) else { return Ok(Vec::new()) };
    let check = file
        .symbols()
        .find(|symbol| symbol.name() == Ok(CHECK))
        .with_context(|| format!("the image has no function {CHECK}"))?
        .address();
    let text = file.section_by_name(".text").context("the image has no section .text")?;
    let (text_offset, _) = text.file_range().context("the section .text has no bytes")?;
    list.data()?
        .as_chunks::<8>()
        .0
        .iter()
        .map(|address| {
            let address = u64::from_le_bytes(*address);
            let function = text.data_range(address, ENTRY.len() as u64)?;
            ensure!(function == Some(&ENTRY), "no bytes are set aside at {address:#x}, but {function:x?}");
            let distance = check as i64 - (address as i64 + ENTRY.len() as i64);
            let mut call = [CALL; 5];
            call[1..].copy_from_slice(&i32::try_from(distance)?.to_le_bytes());
            Ok(Patch { offset: (text_offset + address - text.address()) as usize, call })
        })
        .collect()
}
