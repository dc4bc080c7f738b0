//! How many hypercalls a guest makes while something runs in dom0.
//!
//! Xen's release build counts none, but on x86 it can write each into its trace buffers, which `xentrace` reads. A record does not say
//! whose hypercall it is: between two changes of the CPU's domain they all belong to one. The bed has one CPU, so there is one buffer and
//! its records are in order.

use anyhow::{Result, bail, ensure};
use qemu_tests::Dom0;

use crate::arch::Arch;

/// What `xentrace` leaves in dom0.
const FILE: &str = "/tmp/hypercalls.trace";
/// Classes `TRC_SCHED` and `TRC_PV`, and of both the first subclass: `TRC_SCHED_MIN` and `TRC_PV_ENTRY` (Xen's public/trace.h).
const MASK: u32 = 0x0022_1000;
/// `TRC_LOST_RECORDS`: Xen wrote faster than `xentrace` read.
const LOST_RECORDS: u32 = 0x0001_f001;
/// `TRC_SCHED_RUNSTATE_CHANGE`, without the old and the new state, which are in its bits 4 to 11.
const RUNSTATE_CHANGE: u32 = 0x0002_1001;
const STATES: u32 = 0x0000_0ff0;
/// The new state alone; `RUNSTATE_running` is 0.
const NEW_STATE: u32 = 0x0000_00f0;
/// `TRC_PV_HYPERCALL_V2`.
const HYPERCALL: u32 = 0x0020_100d;

/// Whether Xen traces hypercalls there.
pub fn are_traced(arch: Arch) -> bool {
    arch == Arch::X86_64
}

/// A script that runs a command while hypercalls are traced, and ends as the command does.
///
/// `xentrace` says nothing when it has begun: what it is awaited for is the first record.
pub fn traced(command: &str) -> String {
    format!(
        "rm -f {FILE}; xentrace -D -e {MASK:#x} {FILE} >{FILE}.log 2>&1 & trace=$!
         until [ -s {FILE} ]; do kill -0 $trace || {{ cat {FILE}.log >&2; exit 1; }}; sleep 0.05; done
         {command}; status=$?
         kill $trace && wait $trace || {{ cat {FILE}.log >&2; exit 1; }}
         exit $status"
    )
}

/// The number of hypercalls that one domain made while the last script of [`traced`] ran.
///
/// # Errors
/// There is no trace, it is cut off, or Xen lost a part of it.
pub fn of(dom0: &Dom0, domain: u16) -> Result<u64> {
    let trace = dom0.read(FILE)?;
    dom0.must(&format!("rm {FILE}"))?;
    count(&trace, domain)
}

fn count(trace: &[u8], domain: u16) -> Result<u64> {
    let (words, []) = trace.as_chunks::<4>() else { bail!("a trace of {} bytes is cut off", trace.len()) };
    let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
    let (mut running, mut count) = (None, 0);
    while let Some(header) = words.next() {
        // `struct t_rec`: number of the event, of words of data, and whether there is a time of two words.
        let (event, data, time) = (header & 0x0fff_ffff, (header >> 28 & 7) as usize, (header >> 31) as usize * 2);
        let record: Vec<u32> = words.by_ref().take(time + data).collect();
        ensure!(record.len() == time + data, "the last record of the trace is cut off");
        ensure!(event != LOST_RECORDS, "Xen traced faster than dom0 read");
        match (event, record.get(time)) {
            // The domain is in the upper half of the first word, its CPU in the lower one.
            (event, Some(vcpu)) if event & !STATES == RUNSTATE_CHANGE && event & NEW_STATE == 0 => {
                running = Some(vcpu >> 16);
            }
            (HYPERCALL, _) if running == Some(domain.into()) => count += 1,
            _ => {}
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a time.
    fn record(event: u32, data: &[u32]) -> Vec<u8> {
        let header = event | (data.len() as u32) << 28 | 1 << 31;
        [header, 1, 2].iter().chain(data).flat_map(|word| word.to_le_bytes()).collect()
    }

    /// A domain's first virtual CPU changes from one state to another.
    fn change(domain: u32, old: u32, new: u32) -> Vec<u8> {
        record(RUNSTATE_CHANGE | old << 8 | new << 4, &[domain << 16])
    }

    #[test]
    fn hypercalls_are_those_of_the_domain_that_runs() {
        let call = || record(HYPERCALL, &[29]);
        let trap = || record(0x0020_1003, &[14, 0]);
        // Which CPU's records follow, without a time.
        let cpu = [0x0001_f003 | 2_u32 << 28, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let trace = [
            cpu,
            call(), // nobody knows whose
            change(0, 0, 1),
            change(3, 2, 0),
            call(),
            trap(),
            call(),
            change(3, 0, 2),
            change(0, 1, 0),
            call(),
            change(3, 2, 1),
            call(),
        ];
        let trace = trace.concat();
        assert_eq!([0, 3, 4].map(|domain| count(&trace, domain).unwrap()), [2, 2, 0]);
    }

    #[test]
    fn a_trace_with_a_hole_is_no_trace() {
        let whole = [change(1, 1, 0), record(HYPERCALL, &[29])].concat();
        assert_eq!(count(&whole, 1).unwrap(), 1);
        assert!(count(&whole[..whole.len() - 1], 1).is_err());
        assert!(count(&whole[..whole.len() - 4], 1).is_err());
        assert!(count(&[whole, record(LOST_RECORDS, &[1, 0, 0, 0])].concat(), 1).is_err());
    }
}
