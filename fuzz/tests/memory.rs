//! How much memory input can make a guest use, as a counting allocator sees it.
//!
//! One test: what is counted is the whole process's.

use fuzz::{frames, parameters, senml};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const SENSORS: u32 = 64;
const QUEUE: u32 = 128;

/// A message's buffer, in and out, for two connections; see `collect`'s `link` and `mqtt`.
const CONNECTIONS_BYTES: usize = 50_000;
/// As the parameters' documentation says, with a name of the greatest length and room for a table that grows by doubling.
const SENSOR_BYTES: usize = 2 * (300 + 128);
/// The same for a summary.
const SUMMARY_BYTES: usize = 2 * 100;

/// The largest value of a node in xenstore, which is larger than a command line.
const PARAMETERS_BYTES: usize = 4096;

/// The stack's budget for all sockets, where a platform names none, and room for the stack and for frames under way.
const NETWORK_BYTES: usize = (1024 + 256) * 1024;

/// The most that is allocated at once while something is done, beyond what was there before.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    work();
    ALLOCATED.peak_usage() - before
}

/// The most that `collect` allocates at once while it takes the packs.
fn peak(packs: &[Vec<u8>]) -> usize {
    let mut before = 0;
    let report = senml::take(packs, SENSORS, QUEUE, || {
        before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
    });
    let peak = ALLOCATED.peak_usage() - before;
    assert!(report.readings + report.malformed + report.over_limit + report.not_numeric > 0, "{report:?}");
    peak
}

/// Readings of so many sensors in turn, so many seconds apart.
fn readings(count: u32, sensors: u32, seconds: u32) -> Vec<Vec<u8>> {
    let reading = |number: u32| {
        let (name, time) = (format!("{:0128}", number % sensors), 1_700_000_000 + number * seconds);
        format!(r#"[{{"n":"{name}","t":{time},"v":{number}}}]"#).into_bytes()
    };
    (0..count).map(reading).collect()
}

#[test]
fn memory_is_bounded_whatever_is_sent() {
    let bound = CONNECTIONS_BYTES + SENSORS as usize * SENSOR_BYTES + QUEUE as usize * SUMMARY_BYTES;
    // All in one window: sensors cost memory, up to the limit; readings cost none.
    let [few, limit, above] = [8, SENSORS, 20 * SENSORS].map(|sensors| peak(&readings(5000, sensors, 0)));
    assert!(few < limit && limit <= bound && above <= bound, "{few}, {limit}, {above} of {bound} bytes");
    let more = peak(&readings(50_000, SENSORS, 0));
    assert!(more <= limit + 100, "ten times the readings take {more} bytes instead of {limit}");
    // Each in a window of its own, whose summary waits for the cloud.
    let windows = peak(&readings(20_000, SENSORS, 10));
    assert!(windows <= bound, "{windows} of {bound} bytes");

    let large = 30_000;
    let hostile: [Vec<u8>; 7] = [
        vec![b'['; large],
        br#"{"n":"#.repeat(large / 6),
        [br#"[{"n":""#, &vec![b'x'; large][..]].concat(),
        [br#"[{"bn":""#, &br#"\u0041"#.repeat(large / 6)[..], br#"","v":1}]"#].concat(),
        [br#"[{"n":"a","v":"#, &vec![b'9'; large][..], b"}]"].concat(),
        [b"[", &br#"{"n":"a","v":1},"#.repeat(large / 16)[..], br#"{"n":"b","v":2}]"#].concat(),
        [br#"[{"n":"a","v":1,"x":"#, &b"[".repeat(large / 2)[..], &b"]".repeat(large / 2), b"}]"].concat(),
    ];
    for (number, pack) in hostile.into_iter().enumerate() {
        let peak = peak(&vec![pack; 20]);
        assert!(peak <= bound, "hostile pack {number}: {peak} of {bound} bytes");
    }

    // What a guest is started with: lengths that are lies, many keys, many elements.
    for byte in [0, 1, 2, b' ', b'=', b'a', 0x7f, 0x80, 0xff] {
        let taken = peak_of(|| parameters::run(&[byte; PARAMETERS_BYTES]));
        assert!(taken <= 8 * PARAMETERS_BYTES, "parameters of bytes {byte}: {taken} bytes");
    }
    for seed in 0..4 {
        let noise = noise(50_000, seed);
        let taken = peak_of(|| frames::run(&noise));
        assert!(taken <= NETWORK_BYTES, "frames of seed {seed}: {taken} bytes");
    }
}

/// Bytes without a pattern.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}
