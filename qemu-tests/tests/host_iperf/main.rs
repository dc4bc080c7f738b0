//! The subject `iperf` as a process, measured by Debian's own client of iperf3 over the loopback interface.
//!
//! What is asserted are counts and never rates: they depend on what else the machine does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::thread::JoinHandle;

use host::Host;
use iperf::{Parameters, Report};
use qemu_tests::host_tool;
use qemu_tests::progress::Lines;
use qemu_tests::setup::setup_host;
use serde_json::Value;

/// A server on a port of its own, for so many tests.
struct Server {
    port: u16,
    thread: JoinHandle<Result<Report, String>>,
}

impl Server {
    fn start(tests: u32) -> Self {
        setup_host(&mut Lines).unwrap();
        let port = free_port();
        let parameters = Parameters { port: Some(port), tests: Some(tests) };
        let thread = std::thread::spawn(move || async_io::block_on(iperf::run(parameters, &Host::new().unwrap())));
        // The client does not try again, a connection that only looks would be a test that fails, and a listener of
        // ours that finds the port taken would now and then take it from the server. So the kernel is asked.
        let line = format!(":{port:04X} 00000000:0000 0A");
        let listens = || std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&line);
        while !listens() {
            assert!(!thread.is_finished(), "the server ended: {:?}", thread.join());
            std::thread::yield_now();
        }
        Self { port, thread }
    }

    /// What the client says of a test with these options.
    fn measure(&self, options: &str) -> Value {
        let mut client = host_tool::command("/usr/bin/iperf3").unwrap();
        client.args(["-c", "127.0.0.1", "-p", &self.port.to_string(), "-J"]).args(options.split_whitespace());
        let output = client.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{options}: {text}"))
    }

    /// The end of what the client says, of a test that it is content with.
    fn result(&self, options: &str) -> Value {
        let mut said = self.measure(options);
        assert_eq!(said["error"], Value::Null, "{options}");
        said["end"].take()
    }

    fn report(self) -> Report {
        self.thread.join().unwrap().unwrap()
    }
}

/// A port that nobody uses, neither for TCP nor for UDP.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn tcp_towards_the_server_is_counted_to_the_byte() {
    let server = Server::start(2);
    for (options, streams) in [("-n 10M", 1), ("-n 10M -P 16 -l 1K", 16)] {
        let end = server.result(options);
        assert_eq!(end["streams"].as_array().unwrap().len(), streams);
        let (sent, received) = (number(&end["sum_sent"]["bytes"]), number(&end["sum_received"]["bytes"]));
        // What was under way at the end need not have arrived.
        assert!(sent >= 10 << 20 && received <= sent && received > 1 << 20, "{sent} sent, {received} received");
    }
    let report = server.report();
    assert_eq!((report.tests, report.failed, report.sent_bytes), (2, 0, 0));
}

#[test]
fn tcp_from_the_server_fills_every_stream() {
    let server = Server::start(3);
    for options in ["-R -n 10M", "-R -t 1 -P 16 -l 1K", "-R -t 2 -O 1 -P 2"] {
        let end = server.result(options);
        for stream in end["streams"].as_array().unwrap() {
            assert!(number(&stream["receiver"]["bytes"]) > 0, "{stream}");
            assert!(number(&stream["sender"]["bytes"]) > 0, "{stream}");
        }
    }
    let report = server.report();
    assert_eq!((report.tests, report.failed, report.received_bytes), (3, 0, 0));
    assert!(report.sent_bytes > 20 << 20);
}

#[test]
fn tcp_both_ways_at_once() {
    let server = Server::start(1);
    server.result("--bidir -t 1");
    let report = server.report();
    assert!(report.received_bytes > 0 && report.sent_bytes > 0, "{report:?}");
}

/// So many datagrams of this size fit into a socket's queue: none is lost, however long a receiver does not get the
/// CPU.
const FEW: &str = "-u -l 200 -n 25000";

#[test]
fn datagrams_at_a_rate_all_arrive_in_both_directions_and_no_faster() {
    let server = Server::start(4);
    for options in ["", "-R", "--udp-counters-64bit -P 3", "-R --udp-counters-64bit -P 3"] {
        let end = server.result(&format!("{FEW} -b 200K {options}"));
        let sum = &end["sum"];
        let streams = end["streams"].as_array().unwrap().len() as f64;
        assert!(number(&sum["packets"]) >= 120, "{options}: {sum}");
        assert_eq!(sum["lost_packets"], 0, "{options}: {sum}");
        // What is due after a pause comes at once: slower is no fault, faster is.
        assert!(sum["bits_per_second"].as_f64().unwrap() < 1.3 * 200_000.0 * streams, "{options}: {sum}");
        let (jitter_ms, seconds) = (sum["jitter_ms"].as_f64().unwrap(), sum["seconds"].as_f64().unwrap());
        assert!(jitter_ms < seconds * 1000.0, "{options}: {sum}");
    }
    assert_eq!(server.report().tests, 4);
}

#[test]
fn datagrams_without_a_rate_are_many_and_lost_ones_are_counted() {
    let server = Server::start(2);
    for options in ["-u -l 64 -b 0 -n 200K", "-u -l 1472 -b 0 -n 4M -R -P 2"] {
        let end = server.result(options);
        assert!(number(&end["sum"]["packets"]) > 1000, "{}", end["sum"]);
    }
    assert_eq!(server.report().failed, 0);
}

#[test]
fn datagrams_left_over_from_before_a_test_do_not_keep_it_from_beginning() {
    let server = Server::start(1);
    let stray = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // More than fit into the queue of a socket that nobody reads before a client comes.
    (0..10_000).for_each(|_| drop(stray.send_to(&[0; 64], (Ipv4Addr::LOCALHOST, server.port))));
    let end = server.result(&format!("{FEW} -b 0"));
    assert_eq!(end["sum"]["lost_packets"], 0, "{}", end["sum"]);
    assert_eq!(server.report().tests, 1);
}

#[test]
fn what_the_server_does_not_have_is_said_and_the_next_test_is_served() {
    let server = Server::start(3);
    for (options, error) in [("-P 17 -t 1", "number of parallel streams too large"), ("-u --bidir", "not implemented")]
    {
        let said = server.measure(options);
        assert!(said["error"].as_str().is_some_and(|text| text.contains(error)), "{said}");
    }
    server.result("-n 1M");
    let report = server.report();
    assert_eq!((report.tests, report.failed), (1, 2));
}

/// A client up to the point where data may flow: its control connection and its stream.
fn running_test(server: &Server) -> [TcpStream; 2] {
    let connect = || {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
        connection.write_all(&[b'c'; 37]).unwrap();
        connection
    };
    let hear = |mut control: &TcpStream| {
        let mut state = [0];
        control.read_exact(&mut state).unwrap();
        state[0]
    };
    let mut control = connect();
    assert_eq!(hear(&control), 9, "the exchange of parameters");
    let parameters = br#"{"tcp":true,"time":60}"#;
    control.write_all(&(parameters.len() as u32).to_be_bytes()).unwrap();
    control.write_all(parameters).unwrap();
    assert_eq!(hear(&control), 10, "the making of streams");
    let stream = connect();
    assert_eq!([hear(&control), hear(&control)], [1, 2], "the test's start");
    [control, stream]
}

#[test]
fn during_a_test_others_are_told_to_come_later() {
    let server = Server::start(2);
    let test = running_test(&server);
    for _ in 0..2 {
        let said = server.measure("-t 1");
        assert!(said["error"].as_str().is_some_and(|text| text.contains("busy")), "{said}");
    }
    drop(test);
    server.result("-n 1M");
    let report = server.report();
    assert_eq!((report.tests, report.failed), (1, 1), "a client that vanishes has failed");
}

#[test]
fn a_client_that_vanishes_at_any_step_is_no_reason_to_end() {
    let server = Server::start(4);
    for greeting in [0, 36, 37] {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
        connection.write_all(&[b'c'; 37][..greeting]).unwrap();
    }
    server.result("-n 1M");
    let report = server.report();
    assert_eq!((report.tests, report.failed), (1, 3));
}
