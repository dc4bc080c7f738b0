//! What is counted while data flows: CPU time, bytes, packets and events between two moments well inside the flow.
//!
//! Counters are not read around a whole run of iperf3: its start costs as much CPU time as tens of megabytes do, and would be the same for
//! both sides.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use qemu_tests::Dom0;

use super::iperf::Direction;

/// Before and after the window, data flows for at least about this long.
const MARGIN: Duration = Duration::from_millis(500);
/// Data flows when so much has moved: more than a conversation before it.
const BEGUN_BYTES: f64 = 200_000.0;
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for data to flow.
const PATIENCE: Duration = Duration::from_secs(30);
/// Headers of IP and TCP with time stamps, which are counted with each packet's bytes.
const HEADER_BYTES: f64 = 52.0;

/// Differences of counters.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    /// CPU time of all guests.
    pub guests_ms: f64,
    /// CPU time of dom0.
    pub dom0_ms: f64,
    /// Data, without headers.
    pub megabytes: f64,
    /// Packets as netback counts them: a segment that a card would divide is one.
    pub packets: f64,
    /// Notifications of guests that reached netback.
    pub events: f64,
}

/// Runs something that lets data flow for `flow`, and counts meanwhile.
///
/// # Errors
/// It fails, or no data flows.
pub fn during<T: Send>(
    dom0: &Dom0,
    domains: &[u16],
    direction: Direction,
    flow: Duration,
    run: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Window)> {
    thread::scope(|scope| {
        let runner = scope.spawn(run);
        let window = watch(dom0, domains, direction, flow, || runner.is_finished());
        let outcome = runner.join().map_err(|_| anyhow!("the thread that moves data panicked"))??;
        Ok((outcome, window?))
    })
}

fn watch(
    dom0: &Dom0,
    domains: &[u16],
    direction: Direction,
    flow: Duration,
    ended: impl Fn() -> bool,
) -> Result<Window> {
    let at_first = bytes(dom0, domains, direction)?;
    let deadline = Instant::now() + PATIENCE;
    while bytes(dom0, domains, direction)? - at_first < BEGUN_BYTES {
        if ended() || Instant::now() > deadline {
            bail!("hardly any data flowed");
        }
        thread::sleep(LOOK);
    }
    thread::sleep(MARGIN);
    let before = counters(dom0, domains, direction)?;
    thread::sleep(flow.saturating_sub(LOOK + MARGIN * 2).max(MARGIN));
    let after = counters(dom0, domains, direction)?;
    Ok(between(&before, &after))
}

fn between(before: &Window, after: &Window) -> Window {
    Window {
        guests_ms: after.guests_ms - before.guests_ms,
        dom0_ms: after.dom0_ms - before.dom0_ms,
        megabytes: after.megabytes - before.megabytes,
        packets: after.packets - before.packets,
        events: after.events - before.events,
    }
}

/// The counters as they are now.
fn counters(dom0: &Dom0, domains: &[u16], direction: Direction) -> Result<Window> {
    let all = [&[0], domains].concat();
    let used = dom0.cpu_times(&all)?.used_ns;
    let (dom0_ns, guests_ns) = used.split_first().context("no CPU times")?;
    let packets = sum(dom0, domains, direction, "packets")?;
    let interrupts = dom0.read("/proc/interrupts")?;
    let interrupts = String::from_utf8_lossy(&interrupts);
    Ok(Window {
        guests_ms: guests_ns.iter().sum::<u64>() as f64 / 1e6,
        dom0_ms: *dom0_ns as f64 / 1e6,
        megabytes: (bytes(dom0, domains, direction)? - packets * HEADER_BYTES) / 1e6,
        packets,
        events: domains.iter().map(|domain| events(&interrupts, *domain)).sum::<u64>() as f64,
    })
}

fn bytes(dom0: &Dom0, domains: &[u16], direction: Direction) -> Result<f64> {
    sum(dom0, domains, direction, "bytes")
}

/// A counter of the guests' interfaces in dom0, whose directions are dom0's.
fn sum(dom0: &Dom0, domains: &[u16], direction: Direction, what: &str) -> Result<f64> {
    let dom0_direction = match direction {
        Direction::Rx => "tx",
        Direction::Tx => "rx",
    };
    let mut sum = 0.0;
    for domain in domains {
        let path = format!("/sys/class/net/vif{domain}.0/statistics/{dom0_direction}_{what}");
        let text = dom0.read(&path)?;
        let text = String::from_utf8_lossy(&text);
        sum += text.trim().parse::<f64>().with_context(|| format!("{path} is {text:?}"))?;
    }
    Ok(sum)
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
        let interrupts = "           CPU0\n 17:    1234  xen-dyn    -event     vif1.0-q0-tx\n 18:   766  xen-dyn -event vif1.0-q0-rx\n \
                          19:  5  xen-dyn -event vif10.0\n NMI: 0 Non-maskable interrupts\n";
        assert_eq!([1, 10, 2].map(|domain| events(interrupts, domain)), [2000, 5, 0]);
    }

    #[test]
    fn a_window_is_what_came_between_its_ends() {
        let (zero, one) = (Window::default(), Window { dom0_ms: 3.0, megabytes: 2.0, ..Window::default() });
        assert_eq!((between(&zero, &one), between(&one, &one)), (one, zero));
    }
}
