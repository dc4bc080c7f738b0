//! Compares every type and constant of this crate with Xen's own C headers for ARM, as the C compiler sees them.
//!
//! Both sides are compiled for this machine: Xen's headers look at the compiler's macro for ARM, and what they define
//! for it has a width of its own in every field (no `long`, pointers as 64-bit handles), as has this crate. Of the
//! modules that differ between CPUs, this program has copies for ARM.

use std::mem::offset_of;

use common::{Facts, compare};
use shared_info::{SharedInfo, VcpuInfo};
use xen_sys::{context, domctl};

#[path = "../src/arch"]
mod arch {
    mod armv7;
    pub use armv7::*;
}
mod common;
#[path = "../src/shared_info.rs"]
mod shared_info;

fn arch_facts(facts: &mut Facts) {
    shared_info_facts!(facts, SharedInfo, VcpuInfo);
    constants!(facts,
        "XEN_LEGACY_MAX_VCPUS" => arch::LEGACY_MAX_VCPUS,
        "GUEST_RAM0_BASE" => arch::GUEST_RAM_BASE,
    );
}

/// What makes a guest.
fn builder_facts(facts: &mut Facts) {
    layout!(facts, "struct xen_domctl_createdomain" => domctl::CreateArm {
        "arch.gic_version" => gic_version, "arch.tee_type" => tee_type, "arch.nr_spis" => nr_spis,
        "arch.clock_frequency" => clock_frequency,
    });
    facts.add("sizeof(struct xen_domctl_getdomaininfo)", domctl::DOMAIN_INFO_STRIDE_ARM);
    layout!(facts, "vcpu_guest_core_regs_t" => context::ArmRegisters { "cpsr" => cpsr });
    for (field, offset) in [
        ("pc32", offset_of!(context::ArmRegisters, pc)),
        ("spsr_svc", offset_of!(context::ArmRegisters, spsr_svc)),
        ("spsr_fiq", offset_of!(context::ArmRegisters, spsr)),
        ("sp_el0", offset_of!(context::ArmRegisters, el0_el1)),
        ("r1_usr", offset_of!(context::ArmRegisters, general) + 8),
    ] {
        facts.add(format!("offsetof(vcpu_guest_core_regs_t, {field})"), offset);
    }
    layout!(facts, "vcpu_guest_context_t" => context::Arm {
        "flags" => flags, "user_regs" => user_regs, "sctlr" => sctlr,
    });
    facts.add("offsetof(vcpu_guest_context_t, ttbcr)", offset_of!(context::Arm, translation));
    constants!(facts,
        "VGCF_online" => context::ARM_ONLINE,
        "PSR_GUEST32_INIT" => context::ARM_PSR_INIT,
        "SCTLR_GUEST_INIT" => context::ARM_SCTLR_INIT,
        "XEN_DOMCTL_CONFIG_GIC_NATIVE" => domctl::CONFIG_GIC_NATIVE,
    );
}

#[test]
fn types_and_constants_are_those_of_xens_c_headers() {
    let mut facts = Facts::common();
    arch_facts(&mut facts);
    builder_facts(&mut facts);
    let arm = "#undef __x86_64__\n#undef __i386__\n#define __arm__ 1\n";
    compare("xen_headers_armv7", &facts, arm);
}
