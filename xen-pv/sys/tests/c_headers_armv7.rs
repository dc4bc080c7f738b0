//! Compares every type and constant of this crate with Xen's own C headers for ARM, as the C compiler sees them.
//!
//! Both sides are compiled for this machine: Xen's headers look at the compiler's macro for ARM, and what they define
//! for it has a width of its own in every field (no `long`, pointers as 64-bit handles), as has this crate. Of the
//! modules that differ between CPUs, this program has copies for ARM.

use common::{Facts, compare};
use shared_info::{SharedInfo, VcpuInfo};

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

#[test]
fn types_and_constants_are_those_of_xens_c_headers() {
    let mut facts = Facts::common();
    arch_facts(&mut facts);
    // The second macro uncovers where the toolstack puts a guest's memory.
    let arm = "#undef __x86_64__\n#undef __i386__\n#define __arm__ 1\n#define __XEN_TOOLS__ 1\n";
    compare("xen_headers_armv7", &facts, arm);
}
