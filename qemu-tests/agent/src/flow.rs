//! What guests cost while data flows: CPU time, packets and events between two moments well inside the flow.
//!
//! Not around the whole run of a client: its start costs as much CPU time as megabytes do, whatever guest it talks to.

use crate::cpu_time;
use crate::protocol::{Flow, FlowResult};
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// From one look whether data flows to the next.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until data flows, then looks twice.
///
/// # Errors
/// No data flows, there is no such domain, or it has no interface.
pub fn watch(wanted: &Flow) -> io::Result<FlowResult> {
    let deadline = Instant::now() + Duration::from_millis(wanted.patience_ms.into());
    let first = sum(wanted, "bytes")?;
    while sum(wanted, "bytes")? - first < wanted.begun_bytes {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no data flowed"));
        }
        thread::sleep(LOOK);
    }
    thread::sleep(Duration::from_millis(wanted.settle_ms.into()));
    let before = look(wanted)?;
    thread::sleep(Duration::from_millis(wanted.length_ms.into()));
    let after = look(wanted)?;
    Ok(FlowResult {
        guests_ns: after.guests_ns - before.guests_ns,
        dom0_ns: after.dom0_ns - before.dom0_ns,
        bytes: after.bytes - before.bytes,
        packets: after.packets - before.packets,
        events: after.events - before.events,
    })
}

/// The counters as they are now.
fn look(wanted: &Flow) -> io::Result<FlowResult> {
    let all = [&[0], wanted.domains.as_slice()].concat();
    let used = cpu_time::of(&all)?.used_ns;
    let interrupts = fs::read_to_string("/proc/interrupts")?;
    Ok(FlowResult {
        guests_ns: used[1..].iter().sum(),
        dom0_ns: used[0],
        bytes: sum(wanted, "bytes")?,
        packets: sum(wanted, "packets")?,
        events: wanted.domains.iter().map(|domain| events(&interrupts, *domain)).sum(),
    })
}

/// A counter of the guests' interfaces in dom0, whose directions are dom0's.
fn sum(wanted: &Flow, what: &str) -> io::Result<u64> {
    let direction = if wanted.to_guests { "tx" } else { "rx" };
    let one = |domain: &u16| {
        let path = format!("/sys/class/net/vif{domain}.0/statistics/{direction}_{what}");
        let text =
            fs::read_to_string(&path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        text.trim().parse::<u64>().map_err(io::Error::other)
    };
    wanted.domains.iter().map(one).sum()
}

/// The sum of all interrupts of a domain's first interface: "vif3.0", or "vif3.0-q0-tx" and "-rx". dom0 has one CPU.
fn events(interrupts: &str, domain: u16) -> u64 {
    let name = format!("vif{domain}.0");
    let counts = interrupts.lines().filter_map(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let rest = words.last()?.strip_prefix(&name)?;
        let count = words.get(1)?.parse::<u64>().ok()?;
        (rest.is_empty() || rest.starts_with('-')).then_some(count)
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_s_events_are_those_of_its_own_interface() {
        let interrupts = "           CPU0\n 17:    1234  xen-dyn    -event     vif1.0-q0-tx\n \
                          18:   766  xen-dyn -event vif1.0-q0-rx\n \
                          19:  5  xen-dyn -event vif10.0\n NMI: 0 Non-maskable interrupts\n";
        assert_eq!([1, 10, 2].map(|domain| events(interrupts, domain)), [2000, 5, 0]);
    }
}
