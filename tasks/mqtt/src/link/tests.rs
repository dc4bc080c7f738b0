//! Tests of addresses and pauses.

use alloc::string::ToString;
use core::time::Duration;

use kernel::{Memory, Stop, System};

use super::{Address, jitter};

#[test]
fn an_address_is_a_host_with_or_without_a_port() {
    for (text, full) in [
        ("10.0.2.2", "10.0.2.2:1883"),
        ("10.0.2.2:18830", "10.0.2.2:18830"),
        ("broker.example", "broker.example:1883"),
        ("broker:1", "broker:1"),
    ] {
        assert_eq!(Address::parse(text).unwrap().to_string(), full);
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in ["", ":1883", "host:", "host:0", "host:65536", "host:x", "::1", "[::1]:1883", &"h".repeat(254)] {
        assert_eq!(Address::parse(text), None, "{text}");
    }
}

/// A system whose only service is its randomness: always the same bytes.
struct Random(u8);

impl System for Random {
    fn memory(&self) -> Memory {
        unimplemented!("not asked for")
    }

    fn random(&self, destination: &mut [u8]) {
        destination.fill(self.0);
    }

    fn unix_time(&self) -> Duration {
        unimplemented!("not asked for")
    }

    async fn stop_requested(&self) -> Stop {
        core::future::pending().await
    }
}

#[test]
fn a_pause_is_between_its_half_and_its_whole() {
    for pause_ms in [1, 2, 250, 30_000] {
        for byte in 0..=255 {
            let jittered = jitter(pause_ms, &Random(byte));
            assert!((pause_ms / 2..=pause_ms).contains(&jittered), "{pause_ms}: {jittered}");
        }
    }
}
