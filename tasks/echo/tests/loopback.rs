//! The task on the developer's machine, over real sockets on its loopback.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::task::Poll;

use echo::{Parameters, Report, run};
use embedded_io_async::{Read, Write};
use embedded_nal_async::{ConnectedUdp, TcpConnect, UdpStack};
use futures_lite::future::{block_on, poll_fn, yield_now, zip};
use futures_util::future::join_all;
use host::HostNetwork;
use kernel::{Memory, Networked, Stop, System};

/// A machine that can be asked to end from within a test.
#[derive(Default)]
struct Machine {
    network: HostNetwork,
    stopped: Cell<bool>,
}

impl System for Machine {
    fn memory(&self) -> Memory {
        unreachable!("echo does not ask for it")
    }

    fn random(&self, _: &mut [u8]) {
        unreachable!("echo does not ask for it")
    }

    fn unix_time(&self) -> std::time::Duration {
        unreachable!("echo does not ask for it")
    }

    async fn stop_requested(&self) -> Stop {
        poll_fn(|context| match self.stopped.get() {
            true => Poll::Ready(Stop::PowerOff),
            false => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }
}

impl Networked for Machine {
    type Network = HostNetwork;

    fn network(&self) -> &HostNetwork {
        &self.network
    }
}

/// A port that nobody uses, and an address to reach it.
fn free_port() -> (u16, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    (address.port(), address)
}

/// Runs the task while `clients` does its work, then asks it to end, and returns its report.
fn serve<F: Future<Output = ()>>(connections: u16, clients: impl FnOnce(SocketAddr, HostNetwork) -> F) -> Report {
    let machine = Machine::default();
    let (port, address) = free_port();
    let parameters = Parameters { port: Some(port), connections: Some(connections) };
    let task = run(parameters, &machine);
    let work = async {
        // The task is polled first, and listens then.
        yield_now().await;
        clients(address, machine.network.clone()).await;
        machine.stopped.set(true);
    };
    block_on(zip(task, work)).0.expect("a report")
}

async fn echoed(network: &HostNetwork, address: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut connection = TcpConnect::connect(network, address).await.expect("a connection");
    let mut returned = vec![0; data.len()];
    for (sent, received) in data.chunks(50_000).zip(returned.chunks_mut(50_000)) {
        connection.write_all(sent).await.expect("an open connection");
        connection.read_exact(received).await.expect("all bytes");
    }
    returned
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251 + seed) as u8).collect()
}

#[test]
fn more_connections_than_are_served_at_once_all_get_their_bytes_back() {
    let report = serve(4, |address, network| async move {
        let clients = (0..20).map(|seed| {
            let network = &network;
            async move {
                let data = pattern(10_000 + seed, seed);
                assert!(echoed(network, address, &data).await == data);
            }
        });
        join_all(clients).await;
    });
    assert_eq!(report, Report { connections: 20, bytes: (0..20).map(|seed| 10_000 + seed).sum(), datagrams: 0 });
}

#[test]
fn a_long_stream_comes_back_byte_for_byte() {
    let data = pattern(3_000_000, 1);
    let report = serve(1, |address, network| {
        let data = &data;
        async move { assert!(echoed(&network, address, data).await == *data) }
    });
    assert_eq!(report, Report { connections: 1, bytes: 3_000_000, datagrams: 0 });
}

#[test]
fn datagrams_come_back_each_as_it_was() {
    let report = serve(1, |address, network| async move {
        let (_, mut socket) = UdpStack::connect(&network, address).await.expect("a socket");
        let mut buffer = [0; 2048];
        for length in [0, 1, 1472, 2048] {
            let data = pattern(length, length);
            socket.send(&data).await.expect("room");
            assert_eq!(socket.receive_into(&mut buffer).await.expect("an echo"), length);
            assert!(buffer[..length] == data);
        }
    });
    assert_eq!(report, Report { connections: 0, bytes: 0, datagrams: 4 });
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let machine = Machine::default();
    let error = block_on(run(Parameters { port: Some(port), connections: None }, &machine)).expect_err("no port");
    assert!(error.starts_with(&format!("no TCP on port {port}: Address already in use")), "{error}");
}

#[test]
fn a_peer_that_vanishes_is_no_reason_to_end() {
    let report = serve(1, |address, network| async move {
        for _ in 0..3 {
            let mut connection = TcpConnect::connect(&network, address).await.expect("a connection");
            connection.write_all(b"never read").await.expect("room");
            drop(connection);
        }
        assert_eq!(echoed(&network, address, b"alive").await, b"alive");
    });
    assert_eq!(report.connections, 4);
}
