//! The task on this machine, over its loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

use blocking::unblock;
use futures_lite::future::{block_on, or};
use host::Host;
use {crate}::{Parameters, run};

/// A port that nobody uses.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Connects as soon as the task listens, sends, and returns the answer.
fn answer(port: u16, sent: &[u8]) -> String {
    let mut stream = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => break stream,
            Err(_) => thread::yield_now(),
        }
    };
    stream.write_all(sent).expect("an open connection");
    stream.shutdown(Shutdown::Write).expect("an open connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn each_peer_is_told_how_much_it_sent() {
    let (system, port) = (Host::new().expect("a platform"), free_port());
    let task = async { panic!("the task ended: {:?}", run(Parameters { port }, &system).await) };
    let peers = unblock(move || [answer(port, b"four"), answer(port, &[0; 10_000])]);
    assert_eq!(block_on(or(peers, task)), ["4 bytes\n", "10000 bytes\n"]);
}
