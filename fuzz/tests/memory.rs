//! How much memory input can make a guest use, as a counting allocator sees it.
//!
//! One test: what is counted is the whole process's.

use fuzz::mqtt::{self, length, packet};
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

    hostile_packets();

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

/// What a broker may say that is no MQTT, or too much of it. Both say it, each after it has let the client in.
fn hostile_packets() {
    // Four sensors and four summaries, as in the parameters of `fuzz::mqtt`.
    const BOUND: usize = CONNECTIONS_BYTES + 4 * SENSOR_BYTES + 4 * SUMMARY_BYTES;
    /// Just within the largest packet that the client has said it takes from the source.
    const LARGE: usize = 32_000;
    const MANY: u16 = 10_000;
    let text = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    // A message with these properties, which say that they are so many bytes.
    let message = |properties: &[u8], said: usize| {
        packet(0x32, &[&text(b"sensors/a"), &[0, 1][..], &length(said), properties].concat())
    };
    let user_properties = [&[0x26], &text(b"k")[..], &text(b"v")].concat().repeat(LARGE / 7);
    let topics = |first: u8| -> Vec<u8> {
        let topic = |number: u16| text(format!("sensors/{number:0100}").as_bytes());
        // Without QoS a message has no number.
        let id = |number: u16| if first & 6 == 0 { Vec::new() } else { number.to_be_bytes().to_vec() };
        let body = |number: u16| [&topic(number)[..], &id(number), &[0], b"[]"].concat();
        (1..=MANY).flat_map(|number| packet(first, &body(number))).collect()
    };
    // What it is, the bytes, and whether the client for sensors takes them to the end.
    let hostile: [(&str, Vec<u8>, bool); 17] = [
        ("the greatest length", [&[0x32, 0xff, 0xff, 0xff, 0x7f], &[b'x'; 100_000][..]].concat(), false),
        ("a length without an end", vec![0xff; 100_000], false),
        ("a packet above the limit", packet(0x32, &vec![0; 2 * LARGE]), false),
        ("many properties", message(&user_properties, user_properties.len()), true),
        ("properties that are fewer than they say", message(&user_properties, 2 * LARGE), false),
        ("properties that are more than they say", message(&user_properties, 7), true),
        ("a long property", message(&[&[0x26], &text(b"k")[..], &text(&[b'v'; LARGE])].concat(), LARGE + 6), true),
        ("a long topic", packet(0x32, &[&text(&[b't'; LARGE])[..], &[0, 1, 0]].concat()), true),
        ("a topic longer than its packet", packet(0x32, &[0xff; 1000]), false),
        ("many topics", topics(0x32), true),
        ("many repeats", topics(0x3a), true),
        ("many without acknowledgement", topics(0x30), true),
        ("many that want two acknowledgements", topics(0x34), false),
        ("many acknowledgements of nothing", (0..MANY).flat_map(|id| packet(0x40, &id.to_be_bytes())).collect(), false),
        (
            "a subscription that is granted a thousand times",
            packet(0x90, &[&[0, 1, 0], &[1; LARGE][..]].concat()),
            false,
        ),
        ("many answers to no question", [0xd0, 0].repeat(MANY.into()), false),
        (
            "a farewell with many properties",
            packet(0xe0, &[&[0], &length(LARGE)[..], &user_properties].concat()),
            false,
        ),
    ];
    for (what, bytes, legal) in hostile {
        let mut before = 0;
        let [unread, _] = mqtt::hear(&bytes, &bytes, || {
            before = ALLOCATED.current_usage();
            ALLOCATED.reset_peak_usage();
        });
        let peak = ALLOCATED.peak_usage() - before;
        assert!(peak <= BOUND, "{what}: {peak} of {BOUND} bytes");
        assert!(peak > LARGE, "{what}: {peak} bytes, less than the buffer for a packet");
        assert!(!legal || unread == 0, "{what}: {unread} bytes are unread");
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
