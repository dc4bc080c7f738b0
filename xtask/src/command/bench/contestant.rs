//! The two sides, and how each is started.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use qemu_tests::linux_guest;
use qemu_tests::{Bed, Guest, GuestSpec};

use super::Bench;
use crate::guest;
use crate::image::Image;
use crate::workspace::Task;

/// How long a guest may take until it serves.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Whose figure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Spore,
    /// The guest to compare with.
    Linux,
}

impl Side {
    /// Both, in the order of this round.
    pub const fn in_round(round: u32) -> [Side; 2] {
        if round.is_multiple_of(2) { [Side::Spore, Side::Linux] } else { [Side::Linux, Side::Spore] }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Spore => "Spore",
            Side::Linux => "Linux",
        })
    }
}

/// The addresses are outside of the range that QEMU's DHCP server hands out.
const fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, last)
}

/// Where a side serves iperf3's client; there may be several guests of a side.
pub const fn iperf_address(side: Side, number: u8) -> Ipv4Addr {
    match side {
        Side::Spore => address(50 + number),
        Side::Linux => address(80 + number),
    }
}

/// Where a side has its echo server, for one guest of each.
pub const fn echo_address(side: Side) -> Ipv4Addr {
    match side {
        Side::Spore => address(110),
        Side::Linux => iperf_address(Side::Linux, 0),
    }
}

/// A guest that serves iperf3's client.
pub fn iperf_spec(bench: &Bench<'_>, side: Side, number: u8) -> Result<GuestSpec> {
    let (name, address) = (format!("bench-{side}-{number}").to_lowercase(), iperf_address(side, number));
    match side {
        Side::Spore => task_spec(&bench.iperf, name, address),
        Side::Linux => Ok(bench.linux.spec(&name, address)),
    }
}

fn task_spec((task, image): &(Task, Image), name: String, address: Ipv4Addr) -> Result<GuestSpec> {
    let mut spec = guest::spec(task, image, None)?;
    spec.name = name;
    spec.extra = format!("ip={address}/24");
    Ok(spec)
}

/// What a side's guest prints when it serves.
pub const fn ready(side: Side) -> &'static str {
    match side {
        Side::Spore => ": listening on ",
        Side::Linux => linux_guest::READY,
    }
}

/// Starts a guest and waits until it serves.
pub fn start(bed: &Bed, side: Side, spec: &GuestSpec) -> Result<Guest> {
    let mut guest = bed.create(spec)?;
    guest.wait_for(ready(side), PATIENCE)?;
    guest.forget_image()?;
    Ok(guest)
}

/// Guests of both sides that run at the same time.
pub struct Pair {
    spore: Guest,
    linux: Guest,
    /// Held, not used: Linux's echo server is in the same guest as its iperf3.
    _echo: Guest,
}

impl Pair {
    pub fn start(bench: &Bench<'_>) -> Result<Self> {
        let iperf = |side| start(bench.bed, side, &iperf_spec(bench, side, 0)?);
        let echo = task_spec(&bench.echo, "bench-echo".to_owned(), echo_address(Side::Spore))?;
        Ok(Self {
            spore: iperf(Side::Spore)?,
            linux: iperf(Side::Linux)?,
            _echo: start(bench.bed, Side::Spore, &echo)?,
        })
    }

    /// The guest that serves iperf3's client.
    pub const fn iperf(&self, side: Side) -> &Guest {
        match side {
            Side::Spore => &self.spore,
            Side::Linux => &self.linux,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_guests_have_one_address() {
        let all: Vec<_> = [Side::Spore, Side::Linux]
            .into_iter()
            .flat_map(|side| (0..16).map(move |number| iperf_address(side, number)))
            .chain([echo_address(Side::Spore)])
            .collect();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(Side::in_round(1), [Side::Linux, Side::Spore]);
    }
}
