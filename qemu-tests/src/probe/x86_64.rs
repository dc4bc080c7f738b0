//! The probe for x86: an ELF file of one segment and the two notes without which Xen finds no loader (public/elfnote.h:
//! XEN_VERSION, LOADER).

use super::Fields;

/// Where the segment lies, in physical and virtual memory alike.
const BASE: u64 = 0x10_0000;
const ELF_HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: u64 = 56;

/// The program, position independent; the fields follow it.
const CODE: [u8; 124] = [
    0x48, 0x8b, 0x5e,
    0x48, //                                              mov rbx, [rsi+72]: start_info.console.domU.mfn
    0x44, 0x8b, 0x66,
    0x50, //                                              mov r12d, [rsi+80]: start_info.console.domU.evtchn
    0x48, 0xba, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0xff,
    0xff, //          movabs rdx, 0xffff800000000000: Xen's table of mfn to pfn
    0x48, 0x8b, 0x1c, 0xda, //                                              mov rbx, [rdx+rbx*8]
    0x48, 0xc1, 0xe3, 0x0c, //                                              shl rbx, 12: the console page
    0x48, 0x8d, 0x35, 0x67, 0x00, 0x00, 0x00, //                            lea rsi, [text]
    0x48, 0x8d, 0xbb, 0x00, 0x04, 0x00,
    0x00, //                            lea rdi, [rbx+1024]: xencons_interface.out
    0x8b, 0x0d, 0x4e, 0x00, 0x00, 0x00, //                                  mov ecx, [length]
    0x89, 0xcd, //                                                          mov ebp, ecx
    0xfc, //                                                                cld
    0xf3, 0xa4, //                                                          rep movsb
    0x89, 0xab, 0x0c, 0x0c, 0x00,
    0x00, //                                  mov [rbx+3084], ebp: xencons_interface.out_prod
    0x44, 0x89, 0x25, 0x44, 0x00, 0x00, 0x00, //                            mov [port], r12d
    0xb8, 0x20, 0x00, 0x00, 0x00, //                                        mov eax, 32: event_channel_op
    0xbf, 0x04, 0x00, 0x00, 0x00, //                                        mov edi, 4: EVTCHNOP_send
    0x48, 0x8d, 0x35, 0x33, 0x00, 0x00, 0x00, //                            lea rsi, [port]
    0x0f, 0x05, //                                                          syscall
    0xb8, 0x1d, 0x00, 0x00, 0x00, //                                  wait: mov eax, 29: sched_op
    0x31, 0xff, //                                                          xor edi, edi: SCHEDOP_yield
    0x31, 0xf6, //                                                          xor esi, esi
    0x0f, 0x05, //                                                          syscall
    0x39, 0xab, 0x08, 0x0c, 0x00,
    0x00, //                                  cmp [rbx+3080], ebp: xencons_interface.out_cons
    0x75, 0xed, //                                                          jne wait
    0xb8, 0x1d, 0x00, 0x00, 0x00, //                                        mov eax, 29: sched_op
    0xbf, 0x02, 0x00, 0x00, 0x00, //                                        mov edi, 2: SCHEDOP_shutdown
    0x48, 0x8d, 0x35, 0x09, 0x00, 0x00, 0x00, //                            lea rsi, [reason]
    0x0f, 0x05, //                                                          syscall
    0x0f, 0x0b, 0x90, //                                                    ud2, and one byte of padding
];

pub(super) fn image(fields: &Fields<'_>) -> Vec<u8> {
    let mut segment = CODE.to_vec();
    segment.extend(fields.bytes());
    segment.resize(segment.len().next_multiple_of(4), 0);
    let notes_at = segment.len() as u64;
    segment.extend(note(5, b"xen-3.0\0"));
    segment.extend(note(8, b"generic\0"));

    let start = ELF_HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
    let size = segment.len() as u64;
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // e_type ET_EXEC, e_machine EM_X86_64, e_version, e_entry, e_phoff, no sections.
    image.extend([2u16.to_le_bytes(), 62u16.to_le_bytes()].concat());
    image.extend(1u32.to_le_bytes());
    image.extend([BASE, ELF_HEADER_BYTES, 0].map(u64::to_le_bytes).concat());
    image.extend(0u32.to_le_bytes());
    image.extend([ELF_HEADER_BYTES as u16, PROGRAM_HEADER_BYTES as u16, 2, 0, 0, 0].map(u16::to_le_bytes).concat());
    image.extend(program_header(1, 7, start, BASE, size));
    image.extend(program_header(4, 4, start + notes_at, BASE + notes_at, size - notes_at));
    image.extend(segment);
    image
}

/// A segment of a kind (1: loaded, 4: notes) with flags (4 read, 2 write, 1 execute).
fn program_header(kind: u32, flags: u32, offset: u64, address: u64, size: u64) -> Vec<u8> {
    let mut header = [kind, flags].map(u32::to_le_bytes).concat();
    header.extend([offset, address, address, size, size, 4].map(u64::to_le_bytes).concat());
    header
}

fn note(kind: u32, value: &[u8]) -> Vec<u8> {
    let mut note = [4, value.len() as u32, kind].map(u32::to_le_bytes).concat();
    note.extend(b"Xen\0");
    note.extend(value);
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSegment};

    #[test]
    fn the_image_is_an_elf_file_with_its_code_and_notes() {
        let image = image(&Fields { text: b"hello\n", reason: crate::ShutdownReason::Crash });
        let elf = object::File::parse(image.as_slice()).unwrap();
        assert_eq!((elf.entry(), elf.segments().count()), (BASE, 1));
        let segment = elf.segments().next().unwrap();
        let data = segment.data().unwrap();
        assert!(data.starts_with(&CODE) && data[CODE.len()..].starts_with(b"\x06\0\0\0\x03\0\0\0\0\0\0\0hello\n"));
        assert!(data.ends_with(b"Xen\0generic\0"));
    }
}
