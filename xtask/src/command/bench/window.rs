//! What data costs while it flows.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use qemu_tests::Dom0;
use qemu_tests::protocol::{Flow, FlowResult};

use super::iperf::Direction;

/// Before and after the window, data flows for at least about this long.
const MARGIN_MS: u32 = 500;
/// Data flows when so much has moved: more than a conversation before it.
const BEGUN_BYTES: u64 = 200_000;
/// Headers of IP and TCP with time stamps, which are counted with each packet's bytes.
const HEADER_BYTES: u64 = 52;

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window(pub FlowResult);

impl Window {
    /// Data, without headers, in units of a million bytes.
    pub fn megabytes(&self) -> f64 {
        self.0.bytes.saturating_sub(self.0.packets * HEADER_BYTES) as f64 / 1e6
    }
}

/// Runs something that lets data flow for `flow`, and counts meanwhile.
///
/// # Errors
/// It fails, or no data flows.
pub fn during<T: Send>(
    dom0: &Dom0,
    domains: Vec<u16>,
    direction: Direction,
    flow: Duration,
    run: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Window)> {
    let flow_ms = u32::try_from(flow.as_millis()).unwrap_or(u32::MAX);
    let wanted = Flow {
        domains,
        to_guests: direction == Direction::Rx,
        begun_bytes: BEGUN_BYTES,
        settle_ms: MARGIN_MS,
        length_ms: flow_ms.saturating_sub(MARGIN_MS * 2).max(MARGIN_MS),
        patience_ms: 20_000,
    };
    thread::scope(|scope| {
        let watcher = scope.spawn(|| dom0.flow(&wanted));
        let outcome = run();
        let window = watcher.join().map_err(|_| anyhow!("the thread that counts panicked"));
        // Why no data flowed is in the run's own error.
        let outcome = outcome?;
        let window = Window(window??);
        ensure!(window.megabytes() > 0.0, "no data flowed in the window");
        Ok((outcome, window))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_no_data() {
        let window = |bytes, packets| Window(FlowResult { bytes, packets, ..FlowResult::default() });
        assert!((window(1_500_000, 1000).megabytes() - 1.448).abs() < 1e-9);
        assert!(window(40, 1).megabytes().abs() < 1e-9);
    }
}
