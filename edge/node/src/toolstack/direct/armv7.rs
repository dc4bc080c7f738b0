//! A guest for ARMv7, as it lies in memory when it begins.
//!
//! The image is a zImage: its bytes lie 32 KiB above the beginning of memory, and it begins there. What the guest is told
//! stands in a device tree in its last pages, and in parameters (`super::build`). Source: `xen/include/public/arch-arm.h`;
//! Linux' `Documentation/arch/arm/booting.rst`.

use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use xen_sys::context::{ARM_ONLINE, ARM_PSR_INIT, ARM_SCTLR_INIT, Arm};
use xen_sys::types::PAGE_SIZE;
use zerocopy::FromZeros;

/// Where a guest's memory begins. Source: `GUEST_RAM0_BASE`.
pub(super) const MEMORY_BASE: usize = 0x4000_0000;
/// The most memory there. Source: `GUEST_RAM0_SIZE`.
const MEMORY_MAX: usize = 0xc000_0000;
/// The pages of console and xenstore, outside of memory. Source: `GUEST_MAGIC_BASE`.
pub(super) const RING_FRAMES: [u64; 2] = [0x39000, 0x39001];
/// Where grant frames may be put, and how much room there is. Source: `GUEST_GNTTAB_BASE`, `GUEST_GNTTAB_SIZE`.
const GRANT_WINDOW: [u32; 2] = [0x3800_0000, 0x0100_0000];
/// Interrupts of the timer and of events, private ones of each CPU. Source: `GUEST_TIMER_*_PPI`, `GUEST_EVTCHN_PPI`.
const TIMER_PPIS: [u32; 3] = [29, 30, 27];
const EVENT_PPI: u32 = 31;

/// Where the image lies, from the beginning of memory on.
const IMAGE_AT: usize = 32 << 10;
/// Where a zImage's magic number stands, the number, and where behind it beginning and end stand.
const MAGIC_AT: usize = 0x24;
const MAGIC: u32 = 0x016f_2818;
const START_AT: usize = 0x28;
const END_AT: usize = 0x2c;
/// Room for the device tree: it has some hundred bytes beside the command line.
const TREE_BYTES: usize = PAGE_SIZE;
/// Room that the image needs for what is not in its file: data and stack lie in the first megabyte.
const FIRST_BYTES: usize = 1 << 20;

/// Judges an image's file.
///
/// # Errors
/// It is no zImage, or does not fit.
pub(super) fn judge(file: &[u8], pages: usize) -> Result<(), String> {
    let word = |at: usize| file.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if word(MAGIC_AT) != Some(MAGIC) {
        return Err("it is no zImage".into());
    }
    if word(START_AT) != Some(0) || word(END_AT).map(|end| end as usize) != Some(file.len()) {
        return Err("its header names another length or place than it has".into());
    }
    if IMAGE_AT + file.len() > FIRST_BYTES {
        return Err(format!("it has {} bytes, more than the first MiB has room for", file.len()));
    }
    match pages * PAGE_SIZE {
        bytes if bytes < FIRST_BYTES + TREE_BYTES => Err("the guest has less than 2 MiB of memory".into()),
        bytes if bytes > MEMORY_MAX => Err("the guest has more than 3 GiB of memory".into()),
        _ => Ok(()),
    }
}

/// Where the image lies, as a page of the guest's memory.
pub(super) const fn image_page() -> usize {
    IMAGE_AT / PAGE_SIZE
}

/// Where the device tree lies.
pub(super) fn tree_page(pages: usize) -> usize {
    pages - TREE_BYTES / PAGE_SIZE
}

/// What the guest is told of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'f> {
    /// Its memory.
    pub(super) pages: usize,
    /// The task's parameters.
    pub(super) command_line: &'f str,
    /// Rate of the timer in Hz, where the CPU's own register is wrong; else 0.
    pub(super) timer_hz: u32,
    /// Random bytes.
    pub(super) seed: [u8; 32],
}

/// The device tree.
///
/// # Errors
/// The command line is too long for it.
pub(super) fn tree(facts: &Facts<'_>) -> Result<Vec<u8>, String> {
    let tree = tree_of(facts).map_err(|error| format!("the guest's device tree: {error}"))?.to_dtb();
    if tree.len() > TREE_BYTES {
        return Err(format!("the guest's device tree has {} bytes of at most {TREE_BYTES}", tree.len()));
    }
    Ok(tree)
}

fn tree_of(facts: &Facts<'_>) -> Result<DeviceTree, Box<dyn std::error::Error>> {
    /// A private interrupt that is active while its line is low, for the first CPU.
    const PRIVATE: u32 = 1;
    const LEVEL_LOW: u32 = 0x108;
    let interrupt = |ppi: u32| [PRIVATE, ppi - 16, LEVEL_LOW];
    let bytes = u32::try_from(facts.pages * PAGE_SIZE)?;
    let mut tree = DeviceTree::new();
    tree.root.add_property(property("#address-cells", 2u32)?);
    tree.root.add_property(property("#size-cells", 2u32)?);
    let mut chosen = DeviceTreeNode::new("chosen")?;
    chosen.add_property(property("bootargs", facts.command_line)?);
    chosen.add_property(property("rng-seed", &facts.seed[..])?);
    let mut memory = DeviceTreeNode::new(format!("memory@{MEMORY_BASE:x}"))?;
    memory.add_property(property("device_type", "memory")?);
    memory.add_property(property("reg", [0, MEMORY_BASE as u32, 0, bytes])?);
    let mut timer = DeviceTreeNode::new("timer")?;
    timer.add_property(property("compatible", "arm,armv7-timer")?);
    timer.add_property(property("interrupts", &TIMER_PPIS.map(interrupt).concat()[..])?);
    if facts.timer_hz != 0 {
        timer.add_property(property("clock-frequency", facts.timer_hz)?);
    }
    let mut hypervisor = DeviceTreeNode::new("hypervisor")?;
    hypervisor.add_property(property("compatible", &["xen,xen-4.17", "xen,xen"][..])?);
    hypervisor.add_property(property("reg", [0, GRANT_WINDOW[0], 0, GRANT_WINDOW[1]])?);
    hypervisor.add_property(property("interrupts", interrupt(EVENT_PPI))?);
    for node in [chosen, memory, timer, hypervisor] {
        tree.root.add_child(node);
    }
    Ok(tree)
}

fn property(name: &str, value: impl ToPropertyValue) -> Result<DeviceTreeProperty, Box<dyn std::error::Error>> {
    DeviceTreeProperty::new(name, value).map_err(|error| format!("{name}: {error}").into())
}

/// The registers that the guest begins with: the second says that there is a device tree, the third where.
pub(super) fn registers(pages: usize) -> Arm {
    let mut registers = Arm::new_zeroed();
    registers.flags = ARM_ONLINE;
    registers.user_regs.general[1] = u32::MAX.into();
    registers.user_regs.general[2] = (MEMORY_BASE + tree_page(pages) * PAGE_SIZE) as u64;
    registers.user_regs.pc = (MEMORY_BASE + IMAGE_AT) as u64;
    registers.user_regs.cpsr = ARM_PSR_INIT;
    registers.sctlr = ARM_SCTLR_INIT;
    registers
}

#[cfg(test)]
mod tests {
    use dtoolkit::fdt::Fdt;
    use dtoolkit::model::DeviceTree;
    use dtoolkit::{Node, Property};

    use super::{END_AT, Facts, MAGIC, MAGIC_AT, judge, registers, tree};

    fn file(length: u32) -> Vec<u8> {
        let mut file = vec![0; length as usize];
        file[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&MAGIC.to_le_bytes());
        file[END_AT..END_AT + 4].copy_from_slice(&length.to_le_bytes());
        file
    }

    #[test]
    fn what_is_no_image_of_ours_is_refused() {
        judge(&file(0x1000), 1024).unwrap();
        assert_eq!(judge(&[0; 8], 1024).unwrap_err(), "it is no zImage");
        assert!(judge(&[file(0x1000), vec![0]].concat(), 1024).unwrap_err().contains("another length"));
        assert!(judge(&file(1 << 20), 1024).unwrap_err().contains("more than the first MiB"));
        assert!(judge(&file(0x1000), 256).unwrap_err().contains("less than 2 MiB"));
        assert!(judge(&file(0x1000), 1 << 20).unwrap_err().contains("more than 3 GiB"));
    }

    #[test]
    fn the_guest_is_told_what_it_looks_for() {
        let facts = Facts { pages: 1024, command_line: "a=b", timer_hz: 0, seed: [7; 32] };
        let blob = tree(&facts).unwrap();
        let read = DeviceTree::from_fdt(&Fdt::new(&blob).unwrap());
        let value = |path, name| read.find_node(path).unwrap().property(name).map(|found| found.value().to_vec());
        let cells = |cells: &[u32]| Some(cells.iter().flat_map(|cell| cell.to_be_bytes()).collect::<Vec<u8>>());
        assert_eq!(value("/chosen", "bootargs"), Some(b"a=b\0".to_vec()));
        assert_eq!(value("/chosen", "rng-seed"), Some(vec![7; 32]));
        assert_eq!(value("/memory@40000000", "reg"), cells(&[0, 0x4000_0000, 0, 0x40_0000]));
        assert_eq!(value("/hypervisor", "reg"), cells(&[0, 0x3800_0000, 0, 0x100_0000]));
        assert_eq!(value("/timer", "clock-frequency"), None);
        let slow = tree(&Facts { timer_hz: 24_000_000, ..facts }).unwrap();
        let slow = DeviceTree::from_fdt(&Fdt::new(&slow).unwrap());
        let rate = slow.find_node("/timer").unwrap().property("clock-frequency").unwrap().value().to_vec();
        assert_eq!(Some(rate), cells(&[24_000_000]));
        // The last page of memory.
        assert_eq!(registers(1024).user_regs.general[2], 0x403f_f000);
        let longest = "x".repeat(crate::toolstack::COMMAND_LINE_MAX);
        tree(&Facts { command_line: &longest, ..facts }).unwrap();
    }
}
