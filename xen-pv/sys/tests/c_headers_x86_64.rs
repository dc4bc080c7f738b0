//! Compares every type and constant of this crate with Xen's own C headers for x86_64, as the C compiler sees them.

use std::mem::offset_of;

use common::{Facts, compare};
use xen_sys::arch;
use xen_sys::shared_info::{SharedInfo, VcpuInfo};

mod common;

fn arch_facts(facts: &mut Facts) {
    shared_info_facts!(facts, SharedInfo, VcpuInfo);
    layout!(facts, "vcpu_info_t" => VcpuInfo { "evtchn_upcall_mask" => evtchn_upcall_mask });
    layout!(facts, "arch_vcpu_info_t" => arch::ArchVcpuInfo { "cr2" => cr2 });
    layout!(facts, "arch_shared_info_t" => arch::ArchSharedInfo {
        "max_pfn" => max_pfn, "pfn_to_mfn_frame_list_list" => pfn_to_mfn_frame_list_list, "nmi_reason" => nmi_reason,
        "p2m_cr3" => p2m_cr3, "p2m_vaddr" => p2m_vaddr, "p2m_generation" => p2m_generation,
    });
    layout!(facts, "start_info_t" => arch::StartInfo {
        "magic" => magic, "nr_pages" => nr_pages, "shared_info" => shared_info, "flags" => flags,
        "store_mfn" => store_mfn, "store_evtchn" => store_evtchn, "console.domU" => console, "pt_base" => pt_base,
        "nr_pt_frames" => nr_pt_frames, "mfn_list" => mfn_list, "mod_start" => mod_start, "mod_len" => mod_len,
        "cmd_line" => cmd_line, "first_p2m_pfn" => first_p2m_pfn, "nr_p2m_frames" => nr_p2m_frames,
    });
    facts.add("offsetof(start_info_t, console.domU.evtchn) - offsetof(start_info_t, console.domU.mfn)", {
        offset_of!(arch::StartInfoConsole, evtchn) - offset_of!(arch::StartInfoConsole, mfn)
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

#[test]
fn types_and_constants_are_those_of_xens_c_headers() {
    let mut facts = Facts::common();
    arch_facts(&mut facts);
    compare("xen_headers_x86_64", &facts, "");
}
