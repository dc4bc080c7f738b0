//! The Linux guest that the benchmark compares with: no subject of ours, but what is compared must run.

use crate::support::PATIENCE;
use anyhow::Result;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::linux_guest::{self, LinuxGuest};
use qemu_tests::progress::Silence;
use qemu_tests::protocol::TcpRoundTrips;
use qemu_tests::verdict::Skip;
use qemu_tests::{Arch, check};
use std::net::{Ipv4Addr, SocketAddrV4};

/// All of this module's.
pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "linux: the guest to compare with answers, and its CPU time is counted", run: answers }];

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 60);

fn answers(context: &Context<'_>) -> Result<()> {
    if context.arch != Arch::X86_64 {
        return Err(Skip("its packages are for the benchmark only; one CPU's are enough".into()).into());
    }
    let linux = LinuxGuest::provide(context.arch, &mut Silence)?;
    let (mut guest, times) = context.bed.create_timed(&linux.spec("linux", ADDRESS), ADDRESS, PATIENCE)?;
    guest.wait_for(linux_guest::READY, PATIENCE)?;
    check!(times.script_us.is_some() && times.console_us.is_some() && times.answer_us.is_some(), "{times:?}");
    let wanted =
        TcpRoundTrips { address: SocketAddrV4::new(ADDRESS, 7), count: 10, size_bytes: 64, patience_ms: 10_000 };
    let domain = u16::try_from(guest.domain()?)?;
    let before = context.bed.cpu_times(&[0, domain])?;
    let round_trips = context.bed.tcp_round_trips(&wanted, PATIENCE)?;
    let after = context.bed.cpu_times(&[0, domain])?;
    check!(round_trips.len() == 10, "{round_trips:?}");
    let wall_ns = after.clock_ns - before.clock_ns;
    let used_ns: Vec<u64> = after.used_ns.iter().zip(&before.used_ns).map(|(after, before)| after - before).collect();
    check!(used_ns.iter().all(|used| (1..wall_ns).contains(used)), "{used_ns:?} of {wall_ns} ns");
    guest.destroy()
}
