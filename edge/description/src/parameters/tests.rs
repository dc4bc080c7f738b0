//! What fits, what does not and how that is said, and that it is what the guest says.

use postcard_schema::Schema;
use serde::Deserialize;

use crate::Description;

#[derive(Schema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Parameters {
    port: Option<u16>,
    offset: Option<i8>,
    topics: Vec<String>,
    levels: Option<Vec<u8>>,
    mode: Mode,
    ratio: Option<f64>,
}

#[derive(Debug, PartialEq, Schema, Deserialize)]
enum Mode {
    Fast,
    Safe,
}

fn check(line: &str) -> Result<(), String> {
    let words: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(String::from).collect();
    let description = Description::of::<Parameters, ()>("adder");
    description.check(&words, true).map_err(|error| error.to_string())
}

#[test]
fn the_names_of_a_schema_are_kept_once_however_often_it_is_used() {
    let first = super::known(vec!["here", "once"]);
    assert_eq!(first, ["here", "once"]);
    assert!(std::ptr::eq(first, super::known(vec!["here", "once"])));
    assert_eq!(super::known(vec!["here"]), ["here"]);
}

fn first_line(line: &str) -> String {
    check(line).unwrap_err().lines().next().unwrap().to_owned()
}

#[test]
fn fitting_parameters_pass() {
    check("topics=a/b,c mode=Fast").unwrap();
    check("topics= mode=Safe port=65535 offset=-128 levels=0,255 ratio=1e-3 ip=10.0.0.2/24 dns=10.0.0.1").unwrap();
}

#[test]
fn an_unknown_key_is_named_and_the_known_ones_are_listed() {
    let error = check("topics=a mode=Fast prot=1").unwrap_err();
    let expected = "parameter \"prot\" is unknown\n\
        the task \"adder\" takes:\n    \
        port=<a whole number from 0 to 65535>, may be left out\n    \
        offset=<a whole number from -128 to 127>, may be left out\n    \
        topics=<text, or several with commas between>\n    \
        levels=<a whole number from 0 to 255, or several with commas between>, may be left out\n    \
        mode=<one of Fast, Safe>\n    \
        ratio=<a number>, may be left out\n    \
        ip=<dhcp, or an address with its prefix length such as 10.0.0.2/24>, may be left out\n    \
        gateway=<an address such as 10.0.0.1>, may be left out\n    \
        dns=<an address such as 10.0.0.1>, may be left out\n    \
        vif=<the number of a card, or its address such as 00:16:3e:01:02:03>, may be left out\n    \
        pacing=<on, or off on a CPU of its own>, may be left out";
    assert_eq!(error, expected);
}

#[test]
fn a_missing_key_is_named() {
    assert_eq!(first_line("topics=a"), "parameter \"mode\" is missing: add mode=...");
}

#[test]
fn a_malformed_value_is_named_with_what_would_be_right() {
    let base = "topics=a mode=Fast";
    for (word, error) in [
        ("port=65536", "parameter \"port\": \"65536\" is not a whole number from 0 to 65535"),
        ("port=-1", "parameter \"port\": \"-1\" is not a whole number from 0 to 65535"),
        ("offset=-129", "parameter \"offset\": \"-129\" is not a whole number from -128 to 127"),
        ("ratio=x", "parameter \"ratio\": \"x\" is not a number"),
        ("gateway=10.0.0", "parameter \"gateway\": \"10.0.0\" is not an address such as 10.0.0.1"),
        ("levels=1,x", "parameter \"levels\": \"1,x\" is not a whole number from 0 to 255"),
        ("gateway=0.0.0.0", "parameter \"gateway\": \"0.0.0.0\" is not an address such as 10.0.0.1"),
        ("pacing=no", "parameter \"pacing\": \"no\" is not on, or off on a CPU of its own"),
        ("ip=10.0.0.2/24 gateway=10.0.1.1", "parameter \"gateway\": 10.0.1.1 is not inside ip=10.0.0.2/24"),
    ] {
        assert_eq!(first_line(&format!("{base} {word}")), error);
    }
    assert_eq!(first_line("topics=a mode=Slow"), "parameter \"mode\": \"Slow\" is not one of Fast, Safe");
    let network = "dhcp, or an address with its prefix length such as 10.0.0.2/24";
    assert_eq!(first_line("ip=10.0.0.2/33"), format!("parameter \"ip\": \"10.0.0.2/33\" is not {network}"));
}

#[test]
fn a_word_without_a_value_and_a_repeated_key_are_refused() {
    assert_eq!(first_line("port"), "parameter \"port\": expected key=value");
    assert_eq!(first_line("port=1 port=2"), "parameter \"port\" is given twice");
}

#[test]
fn network_keys_are_unknown_to_a_task_without_a_network() {
    #[derive(Schema)]
    struct Nothing;
    let description = Description::of::<Nothing, ()>("hello");
    let error = description.check(&["ip=dhcp".into()], false).unwrap_err().to_string();
    assert_eq!(error, "parameter \"ip\" is unknown\nthe task \"hello\" takes:\n    (none)");
}

/// A parameter of each kind there is.
#[derive(Debug, PartialEq, Schema, Deserialize)]
struct Everything {
    u8: Option<u8>,
    u16: Option<u16>,
    u32: Option<u32>,
    u64: Option<u64>,
    u128: Option<u128>,
    i8: Option<i8>,
    i16: Option<i16>,
    i32: Option<i32>,
    i64: Option<i64>,
    i128: Option<i128>,
    f32: Option<f32>,
    f64: Option<f64>,
    bool: Option<bool>,
    char: Option<char>,
    text: Option<String>,
    mode: Option<Mode>,
    shape: Option<Figure>,
    newtype: Option<Level>,
    nested: Option<Option<u8>>,
    pair: Option<(u8, u8)>,
    unit: Option<()>,
    inner: Option<Inner>,
    numbers: Option<Vec<i16>>,
    modes: Option<Vec<Mode>>,
    texts: Option<Vec<String>>,
    address: Option<core::net::Ipv4Addr>,
    endpoint: Option<core::net::SocketAddr>,
    needed: u8,
}

#[derive(Debug, PartialEq, Schema, Deserialize)]
struct Level(u8);

#[derive(Debug, PartialEq, Schema, Deserialize)]
struct Inner {
    value: u8,
}

#[derive(Debug, PartialEq, Schema, Deserialize)]
#[allow(dead_code, reason = "only read")]
enum Figure {
    Point,
    Circle(u8),
    Box { side: u8 },
}

const KEYS: [&str; 33] = [
    "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64", "bool", "char", "text", "mode",
    "shape", "newtype", "nested", "pair", "unit", "inner", "numbers", "modes", "texts", "address", "endpoint",
    "needed", "ip", "gateway", "dns", "unknown", "",
];

const VALUES: [&str; 64] = [
    "",
    "0",
    "1",
    "-1",
    "+1",
    "00",
    "127",
    "128",
    "-128",
    "-129",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "1.5",
    "1e3",
    "-0.0",
    "inf",
    "nan",
    "1,2",
    "1,",
    ",1",
    "1,x",
    "-40000,1",
    "true",
    "false",
    "True",
    "x",
    "xy",
    "\u{e4}",
    "a=b",
    "Fast",
    "Safe",
    "fast",
    "Fast,Safe",
    "Fast,",
    "Point",
    "Circle",
    "Box",
    "10.0.0.2",
    "10.0.0.2/24",
    "10.0.0.2/0",
    "10.0.0.2/32",
    "10.0.0.2/33",
    "10.0.0.2/",
    "10.0.0",
    "0.0.0.0",
    "0.0.0.0/8",
    "255.255.255.255",
    "224.0.0.1/24",
    "127.0.0.1",
    "10.0.0.2:80",
    "[::1]:80",
    "dhcp",
];

/// Reads as xen-pv/src/platform.rs does.
fn guest_reads(line: &str) -> Option<Everything> {
    let read = || {
        let mut parameters = kernel::parameters::Parameters::parse(line)?;
        kernel::net::Parameters::read(&mut parameters)?;
        kernel::net::Card::read(&mut parameters)?;
        let read = parameters.read()?;
        parameters.finish().map(|()| read)
    };
    read().ok()
}

#[test]
fn what_is_accepted_before_a_boot_is_what_the_guest_accepts_and_means_the_same_in_postcard() {
    let description = Description::of::<Everything, ()>("everything");
    let encode = |line: &str| description.encode(&[line.to_owned()], true).ok();
    let mut accepted = 0;
    let pairs = KEYS.iter().flat_map(|key| VALUES.iter().map(move |value| format!("{key}={value}")));
    let pairs: Vec<String> = pairs.collect();
    // Each alone, and with the others that may make a difference.
    for other in ["", "needed=1", "needed=1 gateway=10.0.0.1", "needed=1 ip=10.9.0.1/16", "needed=1 ip=10.9.0.1/32"] {
        for pair in &pairs {
            let line = format!("{other} {pair}");
            let encoded = encode(&line);
            accepted += usize::from(encoded.is_some());
            let decoded = encoded.map(|bytes| postcard::from_bytes::<Everything>(&bytes).unwrap());
            // By their text: NaN is not equal to itself.
            assert_eq!(format!("{decoded:?}"), format!("{:?}", guest_reads(&line)), "{line}");
        }
    }
    assert!(accepted > 500, "{accepted} of {}", 5 * pairs.len());
    let list = description.encode(&["needed=1 numbers=-3,300 modes=Safe,Fast texts=a,,b".to_owned()], true);
    let read: Everything = postcard::from_bytes(&list.unwrap()).unwrap();
    assert_eq!((read.numbers, read.modes), (Some(vec![-3, 300]), Some(vec![Mode::Safe, Mode::Fast])));
    assert_eq!(read.texts.as_deref(), Some(["a", "", "b"].map(String::from).as_slice()));
    assert!(description.takes("numbers") && !description.takes("ip"));
}
