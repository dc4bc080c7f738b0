//! Which files may contain unsafe code, and why each must. A file that is not on the list must have none, and one that has
//! none any more leaves the list.

mod common;

use std::fs;
use std::path::Path;

use common::files;

const INVENTORY: [(&str, &str); 52] = [
    // The library OS.
    ("kernel/host/src/log.rs", "the symbols that defmt calls, on the developer's machine"),
    ("kernel/src/executor.rs", "embassy's raw executor, and the symbol that it calls"),
    ("kernel/src/heap.rs", "the global allocator"),
    // The ABI: hypercalls.
    ("xen-pv/sys/src/arch/armv7/hypercall.rs", "the hypercall instruction"),
    ("xen-pv/sys/src/arch/x86_64.rs", "the hypercall instruction"),
    ("xen-pv/sys/src/arch/x86_64/hypercall.rs", "the hypercall instruction"),
    // The processor and the boot.
    ("xen-pv/src/arch/armv7.rs", "entry from the hypervisor, processor registers"),
    ("xen-pv/src/arch/armv7/clock.rs", "the timer's registers"),
    ("xen-pv/src/arch/armv7/copy.rs", "copies memory"),
    ("xen-pv/src/arch/armv7/grant_frames.rs", "maps the grant table"),
    ("xen-pv/src/arch/armv7/memory.rs", "page tables"),
    ("xen-pv/src/arch/x86_64.rs", "entry from the hypervisor, the shared info page"),
    ("xen-pv/src/arch/x86_64/copy.rs", "copies and compares memory"),
    ("xen-pv/src/arch/x86_64/grant_frames.rs", "maps the grant table"),
    ("xen-pv/src/arch/x86_64/memory.rs", "page tables"),
    ("xen-pv/src/arch/x86_64/memory/window.rs", "page tables"),
    ("xen-pv/src/arch/x86_64/pvclock.rs", "time that the hypervisor writes meanwhile"),
    ("xen-pv/src/arch/x86_64/suspend.rs", "the start info, and the hypercall that ends the domain"),
    ("xen-pv/src/boot.rs", "the pages that the domain builder has made"),
    ("xen-pv/src/console/ring.rs", "a page for its tests"),
    ("xen-pv/src/entry/armv7.rs", "entry from the hypervisor, the device tree"),
    ("xen-pv/src/entry/armv7/traps.rs", "exception vectors"),
    ("xen-pv/src/entry/x86_64.rs", "entry from the hypervisor, the start info"),
    ("xen-pv/src/entry/x86_64/traps.rs", "the trap table and the frames that Xen pushes"),
    ("xen-pv/src/foreign.rs", "maps pages of other domains"),
    ("xen-pv/src/hypercall.rs", "hypercalls"),
    ("xen-pv/src/lib.rs", "the symbols by which a task's image is linked"),
    ("xen-pv/src/hypervisor.rs", "the promise of a page's frame number"),
    ("xen-pv/src/log.rs", "the symbols that defmt calls"),
    ("xen-pv/src/platform/devices/grants.rs", "takes over the mapped grant table, once"),
    ("xen-pv/src/single_cpu.rs", "statics of a guest that has one CPU and no interrupts"),
    ("xen-pv/src/wall_clock.rs", "time that the hypervisor writes meanwhile"),
    ("xen-pv/src/xen.rs", "the bits of events in the shared info page, and the hypercall that ends the domain"),
    // Memory, and what is shared with other domains.
    ("xen-pv/src/grant_table.rs", "the table's entries, and pages that may be in use by others"),
    ("xen-pv/src/grant_table/entry.rs", "the table's entries"),
    ("xen-pv/src/memory.rs", "pages"),
    ("xen-pv/src/memory/runs.rs", "runs of pages"),
    ("xen-pv/src/shared_page.rs", "volatile access to what others write"),
    // The edge.
    ("edge/privcmd/src/gate.rs", "hypercalls of dom0's, and pages of other domains"),
    ("edge/vchan/src/events.rs", "ioctl"),
    ("edge/vchan/src/memory.rs", "memory that other domains share, and ioctl"),
    // Tests only.
    ("xen-pv/src/shared_page/model.rs", "a page in which a model's two sides must not meet"),
    ("qemu-tests/peer/src/library.rs", "the functions of Xen's libxenvchan"),
    ("qemu-tests/agent/src/cpu_time.rs", "a hypercall of dom0's, and the page for its arguments"),
    ("qemu-tests/subjects/trouble/src/faults.rs", "the faults that a guest must report"),
    ("xen-pv/fake/src/hypervisor.rs", "the other end of grants"),
    ("xen-pv/fake/src/machine.rs", "the other end of xenstore's page"),
    ("xen-pv/fake/tests/connection.rs", "memory that was used before"),
    ("xen-pv/fake/tests/grants.rs", "an entry of the grant table behind its owner's back"),
    ("xen-pv/fake/tests/ring.rs", "both ends of a page"),
    ("xen-pv/fake/tests/ring_against_c.rs", "both ends of a page"),
    ("xen-pv/sys/tests/clobbers.rs", "hypercalls that are compiled and never made"),
];

/// Whether the keyword occurs, outside comments and strings. `unsafe_code` is a lint's name, not the keyword.
fn is_unsafe(source: &str) -> bool {
    source.lines().any(|line| {
        let mut in_string = false;
        let mut escaped = false;
        let code: String = line
            .chars()
            .filter(|letter| {
                let quote = *letter == '"' && !escaped;
                escaped = *letter == '\\' && !escaped;
                in_string ^= quote;
                !in_string
            })
            .collect();
        let code = code.split("//").next().unwrap_or_default();
        code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "unsafe")
    })
}

#[test]
fn unsafe_code_is_where_the_inventory_says_and_nowhere_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let files = files(root, |path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut found: Vec<String> = files
        .iter()
        .filter(|path| is_unsafe(&fs::read_to_string(path).expect("a readable file")))
        .map(|path| path.strip_prefix(root).expect("below the workspace").display().to_string())
        .collect();
    found.sort();
    let mut listed: Vec<_> = INVENTORY.iter().map(|(path, _)| (*path).to_owned()).collect();
    listed.sort();
    let new: Vec<_> = found.iter().filter(|path| !listed.contains(path)).collect();
    let gone: Vec<_> = listed.iter().filter(|path| !found.contains(path)).collect();
    assert!(new.is_empty(), "unsafe code in files that are not on the list: {new:#?}");
    assert!(gone.is_empty(), "files on the list without unsafe code, or that are not there: {gone:#?}");
}

#[test]
fn the_keyword_is_told_from_its_mentions() {
    // In two parts, so that this file has none itself.
    let keyword = concat!("un", "safe");
    for code in
        [format!("{keyword} {{"), format!("    {keyword} fn f() {{}} // why"), format!("f({keyword} {{ g() }})")]
    {
        assert!(is_unsafe(&code), "{code}");
    }
    for code in [
        format!("// {keyword}"),
        format!("#![forbid({keyword}_code)]"),
        format!("let a = \"{keyword}\";"),
        format!("let a = \"\\\"{keyword}\";"),
    ] {
        assert!(!is_unsafe(&code), "{code}");
    }
}
