//! Brings up the network: grant table, card, stack.

use core::fmt::Write;

use alloc::string::{String, ToString};

use embassy_executor::Spawner;
use embassy_time::{Duration, with_timeout};
use kernel::net::{Card, Parameters, Runner, Stack};
use kernel::parameters::Parameters as CommandLine;

use crate::grant_table::GrantTable;
use crate::memory;
use crate::netfront::{Buffers, CounterReader, Dropped, Pacing, Setup, netfront};
use crate::platform::{Platform, spawn};
use crate::xen::Xen;

/// The part of the memory, one in this many, that sockets may take for their buffers: so much that with 32 MiB the
/// first connection, which may be one that only controls, leaves the second the buffers for a fast network.
const SOCKET_SHARE: usize = 4;

/// How long the end of a guest may be held up by peers that do not answer any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The network as the platform knows it.
pub(super) struct Interface {
    stack: Stack,
    card: CounterReader<Xen>,
    grants: GrantTable<Xen>,
}

/// Starts the card's driver and the stack. The interface may get its address much later.
pub(super) fn start(
    platform: &Platform,
    grants: &GrantTable<Xen>,
    spawner: Spawner,
    line: &mut CommandLine<'_>,
) -> Result<Interface, String> {
    let parameters = Parameters::read(line).map_err(|error| error.to_string())?;
    let Card { choice, own_cpu } = Card::read(line).map_err(|error| error.to_string())?;
    let store = &platform.toolstack.store;
    let total_bytes = memory::figures().total_bytes;
    let pacing = if own_cpu { Pacing::own_cpu() } else { Pacing::shared_cpu() };
    let buffers = Buffers::for_memory(total_bytes, &pacing);
    let setup = Setup { buffers, pacing, choice };
    let (device, driver) = netfront(platform.devices.events, grants.clone(), *store, setup);
    let card = device.counter_reader();
    spawn(spawner, async move {
        driver.run().await;
    });
    let mut seed = [0; 32];
    platform.generator().fill(&mut seed);
    let runner = Runner::new(device, parameters, &seed).with_buffer_budget(total_bytes / SOCKET_SHARE);
    let stack = runner.stack();
    spawn(spawner, async move {
        runner.run().await;
    });
    Ok(Interface { stack, card, grants: grants.clone() })
}

impl Interface {
    /// The stack, for the task.
    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Waits until what the task wrote to its connections has arrived, or too long.
    pub(super) async fn settle(&self) {
        // The only outcome that differs is a peer that does not answer.
        let _ = with_timeout(PATIENCE, self.stack.settled()).await;
    }

    /// Adds what the card, the stack and the grant table have counted.
    pub(super) fn count(&self, text: &mut String) {
        let Self { stack, card, grants } = self;
        let (card, stack) = (card.read(), stack.drops());
        let dropped = |reason| u64::from(card.dropped(reason));
        let counts: [(&str, u64); 21] = [
            ("received", card.received),
            ("sent", card.sent),
            ("refused", card.refused),
            ("failed", dropped(Dropped::Failed)),
            ("bounds", dropped(Dropped::Bounds)),
            ("too_long", dropped(Dropped::TooLong)),
            ("too_many_slots", dropped(Dropped::TooManySlots)),
            ("bad_extra", dropped(Dropped::BadExtra)),
            ("truncated", dropped(Dropped::Truncated)),
            ("checksum", dropped(Dropped::Checksum)),
            ("malformed", stack.malformed.into()),
            ("fragments", stack.fragments.into()),
            ("foreign", stack.foreign.into()),
            ("backlog_full", stack.backlog_full.into()),
            ("unproven", stack.unproven.into()),
            ("half_open", stack.half_open.into()),
            ("evicted", stack.evicted.into()),
            ("spurious_events", card.spurious_events),
            ("connections", card.connections.into()),
            ("broken", card.broken.into()),
            ("quarantined", grants.quarantined() as u64),
        ];
        for (name, count) in counts {
            // A string takes what it is given.
            let _ = write!(text, "{name}={count} ");
        }
    }
}
