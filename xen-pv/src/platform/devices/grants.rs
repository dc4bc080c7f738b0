//! The guest's one grant table, for all its drivers.

use crate::grant_table::GrantTable;
use crate::xen::Xen;
use crate::{arch, memory};

/// Frames of the table, of 512 entries each: room for a network card's buffers, its rings, what a backend keeps from
/// former connections, and the reserved entries.
const LEAST_FRAMES: usize = 2;
/// Half of what Xen gives a domain by default.
const MOST_FRAMES: usize = 32;
/// A guest that serves channels grants their rings. There are entries for half of its pages: 32 rings of 256 KiB need a
/// guest of 17 MiB, 32 of 1 MiB one of 65 MiB. A frame is a page of Xen's, and on x86 one of the guest's: 1/1024 of its
/// memory.
const MEMORY_OF_A_FRAME: usize = 4 << 20;

/// How many frames a guest of so much memory has.
fn frames(total_bytes: usize) -> usize {
    if cfg!(feature = "vchan") {
        (total_bytes / MEMORY_OF_A_FRAME).clamp(LEAST_FRAMES, MOST_FRAMES)
    } else {
        LEAST_FRAMES
    }
}

/// The grant table. To be called once.
pub(super) fn table() -> Result<GrantTable<Xen>, &'static str> {
    let frames = frames(memory::figures().total_bytes);
    let (entries, count) =
        arch::map_grant_frames(frames, memory::allocate_run).ok_or("the hypervisor gives no grant table")?;
    // SAFETY: the frames are mapped for good, and this is the only table made of them.
    Ok(unsafe { GrantTable::new(Xen, entries, count) })
}
