//! The probe for ARM: an image as `xl` wants it there, a zImage (Documentation/arm/booting.rst of Linux), whose program
//! runs where it was loaded, with neither MMU nor caches.

use super::Fields;

/// The program; the fields follow it. The hypercall's number is in r12, its arguments are in r0 and r1
/// (xen/include/public/arch-arm.h).
const CODE: [u32; 46] = [
    0xe28f_40a0, // adr r4, parameter: the parameter
    0xe3a0_0001, // mov r0, #1: HVMOP_get_param
    0xe1a0_1004, // mov r1, r4
    0xe3a0_c022, // mov r12, #34: __HYPERVISOR_hvm_op
    0xe140_ea71, // hvc #0xea1
    0xe594_5008, // ldr r5, [r4, #8]: HVM_PARAM_CONSOLE_PFN
    0xe1a0_5605, // lsl r5, r5, #12: the console page
    0xe3a0_0012, // mov r0, #18: HVM_PARAM_CONSOLE_EVTCHN
    0xe584_0004, // str r0, [r4, #4]
    0xe3a0_0001, // mov r0, #1: HVMOP_get_param
    0xe1a0_1004, // mov r1, r4
    0xe3a0_c022, // mov r12, #34: __HYPERVISOR_hvm_op
    0xe140_ea71, // hvc #0xea1
    0xe594_0008, // ldr r0, [r4, #8]: the port
    0xe28f_b078, // adr r11, length: what follows the program
    0xe58b_0008, // str r0, [r11, #8]: port
    0xe28b_600c, // add r6, r11, #12: the text
    0xe59b_7000, // ldr r7, [r11]: length
    0xe285_8b01, // add r8, r5, #1024: xencons_interface.out
    0xe086_9007, // add r9, r6, r7: the text's end
    0xe156_0009, // copy: cmp r6, r9
    0x14d6_0001, // ldrbne r0, [r6], #1
    0x14c8_0001, // strbne r0, [r8], #1
    0x1aff_fffb, // bne copy
    0xf57f_f05f, // dmb sy: the text is there before
    0xe585_7c0c, // str r7, [r5, #3084]: xencons_interface.out_prod says so
    0xe3a0_0004, // mov r0, #4: EVTCHNOP_send
    0xe28b_1008, // add r1, r11, #8: port
    0xe3a0_c020, // mov r12, #32: __HYPERVISOR_event_channel_op
    0xe140_ea71, // hvc #0xea1
    0xe3a0_0000, // wait: mov r0, #0 (SCHEDOP_yield)
    0xe3a0_1000, // mov r1, #0
    0xe3a0_c01d, // mov r12, #29: __HYPERVISOR_sched_op
    0xe140_ea71, // hvc #0xea1
    0xe595_0c08, // ldr r0, [r5, #3080]: xencons_interface.out_cons
    0xe150_0007, // cmp r0, r7
    0x1aff_fff8, // bne wait
    0xe3a0_0002, // mov r0, #2: SCHEDOP_shutdown
    0xe28b_1004, // add r1, r11, #4: reason
    0xe3a0_c01d, // mov r12, #29: __HYPERVISOR_sched_op
    0xe140_ea71, // hvc #0xea1
    0xeaff_fffe, // stop: b stop
    0x0000_7ff0, // parameter: xen_hvm_param.domid, DOMID_SELF
    0x0000_0011, // index, HVM_PARAM_CONSOLE_PFN
    0,           // value, 64 bits
    0,
];

/// The zImage's header: a branch over it, no-operations, a magic number, start (anywhere) and end.
const HEADER_WORDS: usize = 12;
const BRANCH_OVER_HEADER: u32 = 0xea00_000a;
const NO_OPERATION: u32 = 0xe1a0_0000;
const MAGIC: u32 = 0x016f_2818;

pub(super) fn image(fields: &Fields<'_>) -> Vec<u8> {
    let fields = fields.bytes();
    let size = (HEADER_WORDS + CODE.len()) * 4 + fields.len();
    let header = [&[BRANCH_OVER_HEADER][..], &[NO_OPERATION; 8], &[MAGIC, 0, size as u32]].concat();
    let mut image: Vec<u8> = header.iter().chain(&CODE).flat_map(|word| word.to_le_bytes()).collect();
    image.extend(fields);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_its_magic_and_its_size_where_xl_looks() {
        let image = image(&Fields { text: b"hello\n", reason: crate::ShutdownReason::Crash });
        assert_eq!(image[0x24..0x28], MAGIC.to_le_bytes());
        assert_eq!(image[0x2c..0x30], (image.len() as u32).to_le_bytes());
        assert!(image.ends_with(b"\x06\0\0\0\x03\0\0\0\0\0\0\0hello\n"));
    }
}
