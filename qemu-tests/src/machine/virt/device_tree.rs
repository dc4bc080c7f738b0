//! The device tree that Xen boots with: the one that QEMU makes for its board, and what to boot.
//!
//! Source: docs/misc/arm/device-tree/booting.txt in Xen's source.

use anyhow::{Context, Result, ensure};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, ToPropertyValue};

/// Devices that nothing in the bed uses. Xen maps each of them for dom0 (the window of the PCI bridge page by page),
/// and dom0 looks for what is behind them: a second of each boot.
const UNUSED: [&str; 7] = ["flash@", "fw-cfg@", "gpio-keys", "pcie@", "pl061@", "platform-bus@", "pmu"];
/// The board has 32 places for virtio devices, of which QEMU fills the last ones first.
const VIRTIO: &str = "virtio_mmio@";

/// Something in memory for Xen to boot.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// What it is, in Xen's words: "xen,linux-zimage" for every kernel, "xen,linux-initrd".
    pub kind: &'static str,
    /// Its physical address.
    pub address: u32,
    /// Its size.
    pub bytes: u64,
}

/// Makes the tree from the board's; `virtio` is the number of virtio devices that the machine has.
///
/// # Errors
/// QEMU's tree is not what it used to be.
pub fn for_xen(board: &[u8], virtio: usize, arguments: [(&str, &str); 2], modules: &[Module]) -> Result<Vec<u8>> {
    let board = Fdt::new(board).context("QEMU's device tree of the board is damaged")?;
    let mut tree = DeviceTree::from_fdt(&board);
    remove_unused(&mut tree.root, virtio)?;
    let chosen = tree.root.child_mut("chosen").context("the board's device tree has no node chosen")?;
    for cells in ["#address-cells", "#size-cells"] {
        chosen.add_property(property(cells, 2u32)?);
    }
    for (name, value) in arguments {
        chosen.add_property(property(name, value)?);
    }
    for Module { kind, address, bytes } in modules {
        let mut node = DeviceTreeNode::new(format!("module@{address:x}"))?;
        node.add_property(property("compatible", &[*kind, "xen,multiboot-module"][..])?);
        let [size_high, size_low] = [(bytes >> 32) as u32, *bytes as u32];
        node.add_property(property("reg", [0, *address, size_high, size_low])?);
        chosen.add_child(node);
    }
    Ok(tree.to_dtb())
}

fn remove_unused(root: &mut DeviceTreeNode, virtio: usize) -> Result<()> {
    let names: Vec<String> = root.children().map(|node| node.name().to_owned()).collect();
    let mut places: Vec<_> = names.iter().filter(|name| name.starts_with(VIRTIO)).collect();
    places.sort();
    ensure!(places.len() >= virtio, "the board has {} places for virtio devices instead of {virtio}", places.len());
    places.truncate(places.len() - virtio);
    let unused = names.iter().filter(|name| UNUSED.iter().any(|unused| name.starts_with(unused)));
    for name in unused.chain(places) {
        root.remove_child(name);
    }
    Ok(())
}

fn property(name: &str, value: impl ToPropertyValue) -> Result<DeviceTreeProperty> {
    Ok(DeviceTreeProperty::new(name, value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::Property;

    fn board() -> Vec<u8> {
        let mut tree = DeviceTree::new();
        for name in ["pl011@9000000", "pcie@10000000", "virtio_mmio@a000200", "virtio_mmio@a000000", "chosen"] {
            tree.root.add_child(DeviceTreeNode::new(name).unwrap());
        }
        tree.to_dtb()
    }

    #[test]
    fn the_tree_names_what_to_boot_and_has_no_device_that_nobody_uses() {
        let arguments = [("xen,xen-bootargs", "dom0_mem=256M"), ("xen,dom0-bootargs", "quiet")];
        let module = Module { kind: "xen,linux-initrd", address: 0x5000_0000, bytes: 0x1_0000_0002 };
        let tree = for_xen(&board(), 1, arguments, &[module]).unwrap();
        let tree = DeviceTree::from_fdt(&Fdt::new(&tree).unwrap());
        let names: Vec<_> = tree.root.children().map(|node| node.name().to_owned()).collect();
        assert_eq!(names, ["pl011@9000000", "virtio_mmio@a000200", "chosen"]);
        let value = |path, name| tree.find_node(path).unwrap().property(name).unwrap().value().to_vec();
        assert_eq!(value("/chosen", "xen,dom0-bootargs"), b"quiet\0");
        assert_eq!(value("/chosen/module@50000000", "compatible"), b"xen,linux-initrd\0xen,multiboot-module\0");
        let reg = [0, 0x5000_0000, 1, 2].map(u32::to_be_bytes).concat();
        assert_eq!(value("/chosen/module@50000000", "reg"), reg);
    }

    #[test]
    fn a_board_with_too_few_places_is_refused() {
        assert!(for_xen(&board(), 3, [("a", ""), ("b", "")], &[]).is_err());
    }
}
