//! The guest's one grant table, for all its drivers.

use crate::grant_table::GrantTable;
use crate::xen::Xen;
use crate::{arch, memory};

/// The grant table. To be called once.
pub(super) fn table() -> Result<GrantTable<Xen>, &'static str> {
    let (entries, count) = arch::map_grant_frames(memory::allocate_run).ok_or("the hypervisor gives no grant table")?;
    // SAFETY: the frames are mapped for good, and this is the only table made of them.
    Ok(unsafe { GrantTable::new(Xen, entries, count) })
}
