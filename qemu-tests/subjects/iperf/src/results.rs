//! What is counted during a test, and what of it is told.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt::{self, Write};

use embassy_time::Duration;

use crate::settings::Settings;

/// What one stream has counted.
#[derive(Default)]
pub struct Tally {
    bytes: Cell<u64>,
    numbers: Cell<Numbers>,
}

/// What the numbers and times of datagrams say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Numbers {
    /// The highest number so far: as many datagrams were sent.
    highest: u64,
    /// How many of these did not come.
    lost: u64,
    /// RFC 3550's estimate of how much the time on the way varies.
    jitter_us: f64,
    /// The last datagram's time on the way, off by the constant difference of two clocks; none came yet without it.
    transit_us: Option<i64>,
}

impl Tally {
    /// Counts bytes.
    pub fn add_bytes(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    /// Counts a datagram that was sent.
    pub fn left(&self) {
        let numbers = self.numbers.get();
        self.numbers.set(Numbers { highest: numbers.highest + 1, ..numbers });
    }

    /// Counts a datagram that has arrived.
    pub fn arrived(&self, number: u64, sent_us: u64, now_us: u64) {
        self.numbers.set(self.numbers.get().with(number, sent_us, now_us));
    }

    /// Begins anew, except for the numbers of datagrams.
    pub fn omit(&self) {
        self.bytes.set(0);
        self.numbers.set(Numbers { jitter_us: 0.0, ..self.numbers.get() });
    }
}

impl Numbers {
    fn with(mut self, number: u64, sent_us: u64, now_us: u64) -> Self {
        if number > self.highest {
            self.lost = self.lost.saturating_add(number - self.highest - 1);
            self.highest = number;
        } else {
            // It was counted as lost when a later one overtook it.
            self.lost = self.lost.saturating_sub(1);
        }
        let transit_us = now_us.wrapping_sub(sent_us) as i64;
        let change_us = transit_us.wrapping_sub(self.transit_us.unwrap_or(transit_us)).unsigned_abs();
        self.jitter_us += (change_us as f64 - self.jitter_us) / 16.0;
        self.transit_us = Some(transit_us);
        self
    }
}

/// What a test came to.
pub struct Outcome {
    udp: bool,
    streams: usize,
    block_bytes: usize,
    duration: Duration,
    /// Bytes that came from the client.
    pub received_bytes: u64,
    /// Bytes that went to it.
    pub sent_bytes: u64,
    /// The same for the client, stream by stream.
    pub json: String,
}

impl Outcome {
    /// Of the tallies, those of incoming streams first.
    pub fn new(settings: &Settings, tallies: &[Tally], duration: Duration) -> Self {
        let (incoming, outgoing) = tallies.split_at(settings.incoming);
        let sum = |tallies: &[Tally]| tallies.iter().map(|tally| tally.bytes.get()).sum();
        Self {
            udp: settings.udp,
            streams: tallies.len(),
            block_bytes: settings.block_bytes,
            duration,
            received_bytes: sum(incoming),
            sent_bytes: sum(outgoing),
            json: json(settings, tallies, duration),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { streams, block_bytes, received_bytes, sent_bytes, .. } = self;
        let protocol = if self.udp { "UDP" } else { "TCP" };
        let ms = self.duration.as_millis();
        write!(f, "{protocol}, streams {streams}, blocks of {block_bytes}: {received_bytes} bytes received, ")?;
        write!(f, "{sent_bytes} sent in {ms} ms")
    }
}

/// The JSON that iperf3's client expects. A guest does not count its own CPU time; Xen does.
fn json(settings: &Settings, tallies: &[Tally], duration: Duration) -> String {
    // Nobody here counts repeated segments.
    let retransmits = if settings.outgoing > 0 { 0 } else { -1 };
    let mut text = String::new();
    let seconds = duration.as_micros() as f64 / 1e6;
    let streams: Vec<_> = tallies.iter().enumerate().map(|(index, tally)| stream(index, tally, seconds)).collect();
    text.push_str(r#"{"cpu_util_total":0,"cpu_util_user":0,"cpu_util_system":0,"#);
    // Writing to a string does not fail.
    let _ = write!(text, r#""sender_has_retransmits":{retransmits},"streams":[{}]}}"#, streams.join(","));
    text
}

fn stream(index: usize, tally: &Tally, seconds: f64) -> String {
    // iperf3 numbers streams 1, 3, 4, 5 and so on.
    let id = if index == 0 { 1 } else { index + 2 };
    let Numbers { highest, lost, jitter_us, .. } = tally.numbers.get();
    let (mut jitter, mut end) = (zmij::Buffer::new(), zmij::Buffer::new());
    let (jitter, end) = (jitter.format(jitter_us / 1e6), end.format(seconds));
    let bytes = tally.bytes.get();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(text, r#"{{"id":{id},"bytes":{bytes},"retransmits":-1,"jitter":{jitter},"#);
    let _ = write!(text, r#""errors":{lost},"packets":{highest},"start_time":0,"end_time":{end}}}"#);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(numbers: &[u64]) -> Numbers {
        let tally = Tally::default();
        numbers.iter().for_each(|number| tally.arrived(*number, 0, 0));
        tally.numbers.get()
    }

    #[test]
    fn gaps_are_losses_until_they_are_filled() {
        let lost = |numbers: &[u64]| arrived(numbers).lost;
        assert_eq!(lost(&[1, 2, 3]), 0);
        assert_eq!(lost(&[3]), 2);
        assert_eq!(lost(&[1, 4, 2]), 1);
        assert_eq!(lost(&[1, 1, 1]), 0);
        assert_eq!(arrived(&[u64::MAX, 0, u64::MAX]).highest, u64::MAX);
    }

    #[test]
    fn jitter_is_the_smoothed_change_of_the_time_on_the_way() {
        let tally = Tally::default();
        // The first says nothing, whatever the difference of the clocks.
        tally.arrived(1, 5_000_000, 100);
        assert_eq!(tally.numbers.get().jitter_us, 0.0);
        tally.arrived(2, 5_001_000, 1100);
        assert_eq!(tally.numbers.get().jitter_us, 0.0);
        tally.arrived(3, 5_002_000, 2260);
        assert_eq!(tally.numbers.get().jitter_us, 10.0);
    }

    #[test]
    fn the_results_are_json_with_a_stream_each() {
        let settings = Settings::read(br#"{"udp":true,"parallel":3}"#).expect("settings");
        let tallies: [Tally; 3] = Default::default();
        tallies[2].add_bytes(700);
        tallies[2].arrived(9, 0, 0);
        let outcome = Outcome::new(&settings, &tallies, Duration::from_millis(1500));
        let json: serde_json::Value = serde_json::from_str(&outcome.json).expect("JSON");
        assert_eq!(json["sender_has_retransmits"], -1);
        let ids: Vec<_> = json["streams"].as_array().expect("streams").iter().map(|stream| &stream["id"]).collect();
        assert_eq!(ids, [1, 3, 4]);
        let last = &json["streams"][2];
        assert_eq!((&last["bytes"], &last["errors"], &last["packets"]), (&700.into(), &8.into(), &9.into()));
        assert_eq!(last["end_time"], 1.5);
        assert_eq!((outcome.received_bytes, outcome.sent_bytes), (700, 0));
    }

    #[test]
    fn what_is_omitted_does_not_count_but_its_numbers_go_on() {
        let tally = Tally::default();
        tally.add_bytes(5);
        tally.arrived(3, 0, 0);
        tally.omit();
        tally.add_bytes(7);
        tally.arrived(4, 0, 0);
        assert_eq!((tally.bytes.get(), tally.numbers.get().lost), (7, 2));
    }
}
