//! Brings up the network: grant table, card, stack.

use alloc::string::String;

use kernel::entropy::Generator;
use kernel::net::{Handle, Parameters, Stack};
use kernel::println;

use super::{BringUp, spawn};
use crate::grant_table::GrantTable;
use crate::netfront::{Buffers, netfront};
use crate::real::Xen;
use crate::{arch, memory};

/// The part of the memory, one in this many, that sockets may take for their buffers.
const SOCKET_SHARE: usize = 8;

/// Starts the card's driver and the stack. The interface may get its address much later.
pub(super) async fn start(platform: &BringUp, parameters: Parameters, random: &Generator) -> Result<Handle, String> {
    if !platform.store.list("device/vif").await.is_ok_and(|cards| !cards.is_empty()) {
        println!("network: no card; does the xl config have a line such as vif = [\"bridge=xenbr0\"]?");
    }
    let (entries, count) = arch::map_grant_frames().ok_or("the hypervisor gives no grant table")?;
    // SAFETY: the frames are mapped for good, and this is the only table made of them.
    let grants = unsafe { GrantTable::new(Xen, entries, count) };
    let total_bytes = memory::figures().total_bytes;
    let buffers = Buffers::for_memory(total_bytes);
    let (device, driver) = netfront(platform.events.clone(), grants, platform.store.clone(), buffers);
    spawn(platform.spawner, async move {
        let error = driver.run().await;
        println!("network: the driver ended: {error}");
    });
    let stack = Stack::new(device, parameters, random.next_u64()).with_buffer_budget(total_bytes / SOCKET_SHARE);
    let handle = stack.handle();
    spawn(platform.spawner, async move {
        stack.run().await;
    });
    Ok(handle)
}
