//! What Xen's toolstack says to a guest on ARM: the device tree.

use xen_pv::device_tree;

/// Reads the bytes as a device tree.
pub fn run(bytes: &[u8]) {
    if let Ok(facts) = device_tree::read(bytes) {
        // What the boot relies on.
        assert!(facts.memory.start <= facts.memory.end);
        assert!(!facts.command_line.contains(&0));
    }
}
