//! Compares every type and constant of this crate with Xen's own C headers for x86_64, as the C compiler sees them.

use std::mem::{offset_of, size_of};

use common::{Facts, compare};
use xen_sys::shared_info::{SharedInfo, VcpuInfo};
use xen_sys::start_info::{StartInfo, StartInfoConsole};
use xen_sys::{arch, context, domctl, mmuext};

mod common;

fn arch_facts(facts: &mut Facts) {
    shared_info_facts!(facts, SharedInfo, VcpuInfo);
    layout!(facts, "vcpu_info_t" => VcpuInfo { "evtchn_upcall_mask" => evtchn_upcall_mask });
    layout!(facts, "arch_vcpu_info_t" => arch::ArchVcpuInfo { "cr2" => cr2 });
    layout!(facts, "arch_shared_info_t" => arch::ArchSharedInfo {
        "max_pfn" => max_pfn, "pfn_to_mfn_frame_list_list" => pfn_to_mfn_frame_list_list, "nmi_reason" => nmi_reason,
        "p2m_cr3" => p2m_cr3, "p2m_vaddr" => p2m_vaddr, "p2m_generation" => p2m_generation,
    });
    layout!(facts, "trap_info_t" => arch::TrapInfo {
        "vector" => vector, "flags" => flags, "cs" => cs, "address" => address,
    });
    layout!(facts, "mmu_update_t" => arch::MmuUpdate { "ptr" => ptr, "val" => val });
    constants!(facts,
        "XEN_LEGACY_MAX_VCPUS" => arch::LEGACY_MAX_VCPUS,
        "FLAT_KERNEL_CS" => arch::FLAT_KERNEL_CS,
        "MMU_NORMAL_PT_UPDATE" => arch::MMU_NORMAL_PT_UPDATE,
        "UVMF_TLB_FLUSH" => arch::Translation::FlushAll as usize,
        "UVMF_INVLPG" => arch::Translation::Invalidate as usize,
    );
    facts.add("(long)HYPERVISOR_VIRT_START", arch::MACHINE_TO_PHYS as i64);
}

/// What makes a paravirtualised guest.
fn builder_facts(facts: &mut Facts) {
    layout!(facts, "start_info_t" => StartInfo {
        "magic" => magic, "nr_pages" => nr_pages, "shared_info" => shared_info, "flags" => flags,
        "store_mfn" => store_mfn, "store_evtchn" => store_evtchn, "console.domU" => console, "pt_base" => pt_base,
        "nr_pt_frames" => nr_pt_frames, "mfn_list" => mfn_list, "mod_start" => mod_start, "mod_len" => mod_len,
        "cmd_line" => cmd_line, "first_p2m_pfn" => first_p2m_pfn, "nr_p2m_frames" => nr_p2m_frames,
    });
    facts.add("offsetof(start_info_t, console.domU.evtchn) - offsetof(start_info_t, console.domU.mfn)", {
        offset_of!(StartInfoConsole, evtchn) - offset_of!(StartInfoConsole, mfn)
    });
    layout!(facts, "struct xen_domctl_createdomain" => domctl::CreateX86 {
        "arch.emulation_flags" => emulation_flags, "arch.misc_flags" => misc_flags,
    });
    facts.add("sizeof(struct xen_domctl_getdomaininfo)", domctl::DOMAIN_INFO_STRIDE_X86);
    layout!(facts, "struct mmuext_op" => mmuext::MmuextOp { "cmd" => cmd, "arg1.mfn" => mfn, "arg2" => second });
    layout!(facts, "struct cpu_user_regs" => context::X86Registers {
        "rsi" => rsi, "rdi" => rdi, "rip" => rip, "cs" => cs, "saved_upcall_mask" => saved_upcall_mask,
        "rflags" => rflags, "rsp" => rsp, "ss" => ss,
    });
    facts.add("offsetof(struct cpu_user_regs, es)", offset_of!(context::X86Registers, data_segments));
    layout!(facts, "vcpu_guest_context_t" => context::X86 {
        "fpu_ctxt" => fpu_ctxt, "flags" => flags, "user_regs" => user_regs, "trap_ctxt" => trap_ctxt,
        "kernel_ss" => kernel_ss, "kernel_sp" => kernel_sp, "ctrlreg" => ctrlreg, "debugreg" => debugreg,
        "vm_assist" => vm_assist,
    });
    for (field, offset) in [
        ("ldt_base", offset_of!(context::X86, ldt)),
        ("gdt_frames", offset_of!(context::X86, gdt)),
        ("event_callback_eip", offset_of!(context::X86, callbacks)),
        ("fs_base", offset_of!(context::X86, bases)),
    ] {
        facts.add(format!("offsetof(vcpu_guest_context_t, {field})"), offset);
    }
    facts.add("sizeof(struct vcpu_guest_context)", size_of::<context::X86>());
    constants!(facts,
        "VGCF_in_kernel" => context::X86_IN_KERNEL,
        "VGCF_online" => context::X86_ONLINE,
        "FLAT_KERNEL_SS" => context::X86_KERNEL_SS,
        "FLAT_KERNEL_CS" => context::X86_KERNEL_CS,
        "MMUEXT_PIN_L4_TABLE" => mmuext::MMUEXT_PIN_L4_TABLE,
    );
}

#[test]
fn types_and_constants_are_those_of_xens_c_headers() {
    let mut facts = Facts::common();
    arch_facts(&mut facts);
    builder_facts(&mut facts);
    compare("xen_headers_x86_64", &facts, "");
}
