//! What a guest learns from the device tree that xl makes for it on ARM.
//!
//! Source: `make_*_node` in Xen's `tools/libs/light/libxl_arm.c`; Devicetree Specification 0.4.

use core::ops::Range;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'t> {
    /// The first bank of memory: physical addresses.
    pub memory: Range<u64>,
    /// `extra` of the xl config.
    pub command_line: &'t [u8],
    /// Physical address from which on grant frames may be put.
    pub grant_window: usize,
    /// Rate of the generic timer in Hz, where the CPU's own register is wrong.
    pub timer_hz: Option<u32>,
    /// Random words.
    pub seed: Option<[u64; 4]>,
}

/// What a guest cannot run without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is no device tree, or a damaged one.
    Tree,
    /// It names no memory.
    Memory,
    /// It names no place for grant frames.
    GrantWindow,
}

/// Reads a device tree.
///
/// # Errors
/// What is missing in it.
pub fn read(tree: &[u8]) -> Result<Facts<'_>, Missing> {
    let tree = Fdt::new(tree).map_err(|_| Missing::Tree)?;
    let (start, size) = tree.find_node("/memory").and_then(first_region).ok_or(Missing::Memory)?;
    let memory = start..start.checked_add(size).ok_or(Missing::Memory)?;
    let (window, _) = tree.find_node("/hypervisor").and_then(first_region).ok_or(Missing::GrantWindow)?;
    let grant_window = usize::try_from(window).map_err(|_| Missing::GrantWindow)?;
    let property = |node: &str, name: &str| tree.find_node(node)?.property(name)?.value_as::<&[u8]>().ok();
    let command_line = property("/chosen", "bootargs").unwrap_or_default();
    let command_line = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
    let timer_hz = property("/timer", "clock-frequency").and_then(|value| Some(u32::from_be_bytes(*value.as_array()?)));
    let seed = property("/chosen", "rng-seed").and_then(|bytes| {
        let (words, _) = bytes.as_chunks::<8>();
        Some(words.first_chunk::<4>()?.map(u64::from_ne_bytes))
    });
    Ok(Facts { memory, command_line, grant_window, timer_hz, seed })
}

/// Address and size of the first entry of a node's `reg`.
fn first_region(node: FdtNode<'_>) -> Option<(u64, u64)> {
    let region = node.reg().ok()??.next()?;
    Some((region.address().ok()?, region.size().ok()?))
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
    use proptest::prelude::*;

    use super::{Facts, Missing, read};

    fn node(name: &str, properties: Vec<DeviceTreeProperty>) -> DeviceTreeNode {
        properties.into_iter().fold(DeviceTreeNode::builder(name).unwrap(), |node, one| node.property(one)).build()
    }

    fn property(name: &str, value: impl dtoolkit::ToPropertyValue) -> DeviceTreeProperty {
        DeviceTreeProperty::new(name, value).unwrap()
    }

    /// A tree as xl 4.17 makes it, without what nobody here reads.
    fn tree() -> DeviceTree {
        let mut tree = DeviceTree::new();
        let root = &mut tree.root;
        root.add_property(property("#address-cells", 2u32));
        root.add_property(property("#size-cells", 2u32));
        let seed: Vec<u8> = (0..128).collect();
        root.add_child(node("chosen", [property("bootargs", "ip=10.0.0.2/24 a=b"), property("rng-seed", seed)].into()));
        root.add_child(node("memory@40000000", [property("reg", [0u32, 0x4000_0000, 0, 0x40_0000])].into()));
        root.add_child(node("timer", [property("compatible", "arm,armv7-timer")].into()));
        root.add_child(node("hypervisor", [property("reg", [0u32, 0x3800_0000, 0, 0x100_0000])].into()));
        tree
    }

    #[test]
    fn what_xl_says_is_read() {
        let blob = tree().to_dtb();
        let Facts { memory, command_line, grant_window, timer_hz, seed } = read(&blob).unwrap();
        assert_eq!(memory, 0x4000_0000..0x4040_0000);
        assert_eq!(command_line, b"ip=10.0.0.2/24 a=b");
        assert_eq!(grant_window, 0x3800_0000);
        assert_eq!(timer_hz, None);
        assert_eq!(seed.unwrap()[0].to_ne_bytes(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_rate_of_a_timer_whose_register_is_wrong_is_read() {
        let mut tree = tree();
        tree.find_node_mut("/timer").unwrap().add_property(property("clock-frequency", 24_000_000u32));
        assert_eq!(read(&tree.to_dtb()).unwrap().timer_hz, Some(24_000_000));
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let mut tree = tree();
        tree.root.remove_child("chosen");
        tree.root.remove_child("timer");
        let blob = tree.to_dtb();
        let facts = read(&blob).unwrap();
        assert_eq!((facts.command_line, facts.timer_hz, facts.seed), (&b""[..], None, None));
    }

    #[test]
    fn what_a_guest_cannot_run_without_is_named() {
        let without = |name: &str| {
            let mut tree = tree();
            tree.root.remove_child(name);
            read(&tree.to_dtb()).unwrap_err()
        };
        assert_eq!(without("memory@40000000"), Missing::Memory);
        assert_eq!(without("hypervisor"), Missing::GrantWindow);
        assert_eq!(read(b"").unwrap_err(), Missing::Tree);
    }

    #[test]
    fn a_memory_that_ends_beyond_all_addresses_is_none() {
        let mut tree = tree();
        let memory = tree.find_node_mut("/memory@40000000").unwrap();
        memory.add_property(property("reg", [u32::MAX, 0, u32::MAX, u32::MAX]));
        assert_eq!(read(&tree.to_dtb()).unwrap_err(), Missing::Memory);
    }

    proptest! {
        /// Neither damage nor a lie about sizes makes reading it panic.
        #[test]
        fn a_damaged_tree_is_an_error_or_read(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            length in any::<prop::sample::Index>(),
        ) {
            let mut blob = tree().to_dtb();
            for (place, value) in changes {
                let place = place.index(blob.len());
                blob[place] = value;
            }
            let _ = read(&blob);
            let _ = read(&blob[..length.index(blob.len())]);
        }

        /// Any command line comes through.
        #[test]
        fn a_command_line_is_read_as_it_was_written(text in "[^\0]{0,1024}") {
            let mut tree = tree();
            tree.find_node_mut("/chosen").unwrap().add_property(property("bootargs", text.as_str()));
            let blob = tree.to_dtb();
            let line = String::from_utf8(read(&blob).unwrap().command_line.into()).unwrap();
            prop_assert_eq!(line, text.to_string());
        }
    }
}
