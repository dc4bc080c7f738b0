//! TCP.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use embassy_futures::join::{join, join_array, join3};
use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_io_async::{Read, ReadExactError, Write};
use embedded_nal_async::TcpConnect;
use smoltcp::socket::Socket;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Ipv4Packet, TcpPacket};

use super::world::{A, B, World, at, dhcp, pattern, socket};
use crate::net::{Buffers, Error, Network, Parameters, Stack, TcpAccept, TcpConnection, TcpListen, TcpListener};
use crate::stream::ReadInPlace;

const PORT: u16 = 7;

async fn connect(handle: &Stack) -> Result<TcpConnection, Error> {
    handle.configured().await;
    TcpConnect::connect(handle, socket(B, PORT)).await
}

async fn listen(handle: &Stack, backlog: usize) -> TcpListener {
    handle.listen(PORT, backlog).await.expect("a free port")
}

async fn accept(listener: &TcpListener) -> TcpConnection {
    listener.accept().await.expect("a connection").1
}

/// A connection between the two stacks, its client's end first.
async fn pair(world: &World) -> (TcpConnection, TcpConnection) {
    let (a, b) = (world.a(), world.b());
    let listener = listen(&b, 1).await;
    let (client, server) = join(connect(&a), accept(&listener)).await;
    (client.expect("a connection"), server)
}

async fn read_to_end(connection: &mut TcpConnection) -> Result<Vec<u8>, Error> {
    let (mut all, mut chunk) = (Vec::new(), [0; 3000]);
    loop {
        match connection.read(&mut chunk).await? {
            0 => return Ok(all),
            length => all.extend_from_slice(&chunk[..length]),
        }
    }
}

/// Sends `data` over a connection.
async fn carry(from: &mut TcpConnection, to: &mut TcpConnection, data: &[u8]) {
    let mut received = vec![0; data.len()];
    let (written, read) = join(from.write_all(data), to.read_exact(&mut received)).await;
    written.expect("all written");
    read.expect("all read");
    assert!(received == data);
}

/// The TCP segment in a frame.
fn segment(frame: &[u8]) -> Option<TcpPacket<&[u8]>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let is_ip = ethernet.ethertype() == EthernetProtocol::Ipv4;
    let ip = Ipv4Packet::new_checked(is_ip.then(|| ethernet.payload())?).ok()?;
    TcpPacket::new_checked(ip.payload()).ok()
}

/// What `read` finds in each segment that the first stack sends from now on.
fn segments_sent<T: 'static>(world: &World, read: impl Fn(TcpPacket<&[u8]>) -> T + 'static) -> Rc<RefCell<Vec<T>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = seen.clone();
    world.wire.set(|wire| {
        wire.delivers = Box::new(move |side, frame| {
            sink.borrow_mut().extend(segment(frame).filter(|_| side == 0).map(&read));
            true
        });
    });
    seen
}

/// Sends back all that comes.
async fn echo(mut connection: TcpConnection) {
    let mut chunk = [0; 1000];
    while let Ok(length @ 1..) = connection.read(&mut chunk).await {
        connection.write_all(&chunk[..length]).await.expect("an open connection");
    }
}

/// Sends `data` to an echo, and returns what comes back.
async fn through_echo(handle: &Stack, data: &[u8]) -> Vec<u8> {
    let mut connection = connect(handle).await.expect("a connection");
    let mut returned = vec![0; data.len()];
    // Both directions at once, in turns: more data than all buffers together hold must not block.
    for (sent, received) in data.chunks(8000).zip(returned.chunks_mut(8000)) {
        connection.write_all(sent).await.expect("an open connection");
        connection.read_exact(received).await.expect("all bytes");
    }
    returned
}

#[test]
fn a_stream_arrives_unchanged_in_both_directions() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        let (up, down) = (pattern(300_000, 1), pattern(200_000, 2));
        carry(&mut client, &mut server, &up).await;
        carry(&mut server, &mut client, &down).await;
    });
}

#[test]
fn a_stream_leaves_in_whole_packets_wherever_its_buffer_begins_anew() {
    let world = World::two();
    // More than the sender's: its window cuts no packet.
    world.b().set_buffers(Buffers { receive: 256 * 1024, send: 64 * 1024 });
    let sizes = segments_sent(&world, |segment| segment.payload().len());
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        world.pause(Duration::from_secs(1)).await;
        sizes.borrow_mut().clear();
        // Nor does the congestion window, which grows with each of these when it is acknowledged.
        for _ in 0..100 {
            carry(&mut client, &mut server, &[0; 1460]).await;
            world.pause(Duration::from_micros(1)).await;
        }
        carry(&mut client, &mut server, &pattern(1460 * 1000, 1)).await;
    });
    let sizes: Vec<_> = sizes.borrow().iter().copied().filter(|size| *size > 0).collect();
    assert_eq!(sizes, [1460; 1100]);
}

#[test]
fn what_came_is_acknowledged_at_once() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        carry(&mut client, &mut server, &[0; 100]).await;
        world.pause(Duration::from_micros(1)).await;
        let unacknowledged = world.a().with(|state| match state.sockets.set.iter().next() {
            Some((_, Socket::Tcp(socket))) => socket.send_queue(),
            other => panic!("{other:?}"),
        });
        assert_eq!(unacknowledged, 0);
    });
}

#[test]
fn a_stream_can_be_taken_in_place_in_parts_to_its_end() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        let data = pattern(300_000, 1);
        let send = async {
            client.write_all(&data).await.expect("an open connection");
            drop(client);
        };
        let mut received = Vec::new();
        let receive = async {
            loop {
                // An odd part of what is there, so that every place of the ring is a beginning once.
                let part = |there: &[u8]| {
                    let part = there.len().min(4999);
                    received.extend_from_slice(&there[..part]);
                    (part, part)
                };
                if server.read_in_place(part).await.expect("an open connection") == 0 {
                    break;
                }
            }
        };
        join(send, receive).await;
        assert!(received == data);
        assert_eq!(server.read_in_place(|there| (9, there.len())).await, Ok(0), "the end stays the end");
    });
}

#[test]
fn what_is_not_taken_in_place_is_there_for_the_next_call() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        client.write_all(b"reading").await.expect("an open connection");
        assert_eq!(server.read_in_place(|there| (4, there.len())).await, Ok(7));
        let mut rest = [0; 3];
        server.read_exact(&mut rest).await.expect("the rest");
        assert_eq!(&rest, b"ing");
    });
}

#[test]
fn several_connections_are_served_at_once() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        let listener = listen(&b, 4).await;
        let data: Vec<Vec<u8>> = (0..8).map(|seed| pattern(20_000, seed)).collect();
        let server = join_array([(); 8].map(|()| async { echo(accept(&listener).await).await }));
        let clients = join_array(core::array::from_fn::<_, 8, _>(|i| through_echo(&a, &data[i])));
        let (returned, _) = join(clients, server).await;
        assert!(returned.iter().eq(data.iter()));
    });
}

#[test]
fn a_port_without_a_listener_refuses() {
    let world = World::two();
    let a = world.a();
    assert_eq!(world.run(connect(&a)).err(), Some(Error::Refused));
    world.run_for(Duration::from_millis(1));
    assert_eq!(world.sockets(&a), 0);
}

#[test]
fn a_host_that_is_not_there_times_out() {
    let world = World::two();
    let a = world.a();
    let start = world.now();
    let result = world.run(async {
        a.configured().await;
        TcpConnect::connect(&a, socket([10, 0, 0, 99].into(), PORT)).await
    });
    assert_eq!(result.err(), Some(Error::TimedOut));
    assert!(world.now() - start < Duration::from_secs(20));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.sockets(&a), 0);
}

#[test]
fn errors_say_what_is_missing() {
    let world = World::new(&[at(A), dhcp()]);
    let (a, b) = (world.a(), world.b());
    world.run(async {
        a.configured().await;
        assert_eq!(TcpConnect::connect(&a, socket([192, 0, 2, 1].into(), PORT)).await.err(), Some(Error::NoRoute));
        assert_eq!(TcpConnect::connect(&a, socket(B, 0)).await.err(), Some(Error::InvalidAddress));
        assert_eq!(TcpConnect::connect(&a, "[::1]:7".parse().expect("IPv6")).await.err(), Some(Error::Unsupported));
        assert_eq!(TcpConnect::connect(&b, socket(A, PORT)).await.err(), Some(Error::NoAddress));
        let _listener = listen(&a, 1).await;
        assert_eq!(a.listen(PORT, 1).await.err(), Some(Error::PortInUse));
        assert_eq!(a.listen(0, 1).await.err(), Some(Error::InvalidAddress));
    });
}

#[test]
fn nobody_is_there_behind_the_own_address_or_that_of_a_loop() {
    let world = World::new(&[Parameters { gateway: Some(B), ..at(A) }]);
    let a = world.a();
    world.run(async {
        a.configured().await;
        for address in [A, [127, 0, 0, 1].into()] {
            let error = TcpConnect::connect(&a, socket(address, PORT)).await.err();
            assert_eq!(error, Some(Error::NoRoute), "{address}");
        }
    });
}

#[test]
fn a_peer_that_sends_to_a_dropped_connection_gets_what_was_written_before() {
    let world = World::two();
    let data = pattern(30_000, 5);
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        client.write_all(b"nobody reads this").await.expect("room");
        world.pause(Duration::from_millis(10)).await;
        server.write_all(&data).await.expect("room");
        drop(server);
        client.write_all(b"nor this").await.expect("room");
        assert!(read_to_end(&mut client).await.expect("an orderly end") == data);
    });
}

#[test]
fn dropping_a_connection_delivers_what_was_written_and_frees_its_socket() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    let data = pattern(50_000, 3);
    // Until nobody is woken for anything else.
    world.run_for(Duration::from_secs(20));
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        client.write_all(&data).await.expect("room");
        drop(client);
        assert!(read_to_end(&mut server).await.expect("an orderly end") == data);
        drop(server);
        join(a.settled(), b.settled()).await;
    });
    world.run_for(Duration::from_secs(3));
    assert_eq!((world.sockets(&a), world.sockets(&b)), (0, 0));
}

#[test]
fn closing_connections_keep_their_room_until_others_want_it() {
    const BUDGET: usize = 200 * 1024;
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    a.with(|state| state.sockets.set_budget(BUDGET));
    b.set_buffers(Buffers { receive: 4096, send: 4096 });
    world.run(async {
        let listener = listen(&b, 1).await;
        let (mut own, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..12 {
            let (client, server) = join(connect(&a), accept(&listener)).await;
            own.push(client.expect("a connection"));
            peers.push(server);
        }
        // More than the peers take before they are read from.
        let data = pattern(BUDGET, 1);
        let mut written = Vec::new();
        for connection in &mut own {
            written.push(connection.write(&data).await.expect("an open connection"));
        }
        drop(own);
        world.pause(Duration::from_secs(1)).await;
        for (peer, length) in peers.iter_mut().zip(written) {
            assert!(read_to_end(peer).await.expect("no reset") == data[..length]);
        }
    });
    assert_eq!(a.drops().evicted, 0);
}

#[test]
fn the_end_of_a_guest_waits_for_its_own_data_but_not_for_its_peers() {
    let world = World::two();
    let a = world.a();
    let start = world.now();
    world.run(async {
        let (mut client, _server) = pair(&world).await;
        client.write_all(b"last words").await.expect("room");
        drop(client);
        assert!(matches!(select(a.settled(), core::future::ready(())).await, Either::Second(())));
        a.settled().await;
    });
    assert!(world.now() - start < Duration::from_secs(1));
}

#[test]
fn closing_one_direction_leaves_the_other_open() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        client.write_all(b"question").await.expect("room");
        client.close_write();
        assert_eq!(client.write(b"more").await, Err(Error::Closed));
        assert_eq!(read_to_end(&mut server).await.expect("an orderly end"), b"question");
        server.write_all(b"answer").await.expect("an open direction");
        drop(server);
        assert_eq!(read_to_end(&mut client).await.expect("an orderly end"), b"answer");
    });
}

#[test]
fn connections_that_nobody_accepts_are_reset_with_their_listener() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        let listener = listen(&b, 2).await;
        let mut client = connect(&a).await.expect("a connection");
        drop(listener);
        assert_eq!(client.read(&mut [0; 10]).await, Err(Error::Reset));
        assert_eq!(client.write(b"anybody?").await, Err(Error::Reset));
        assert_eq!(client.flush().await, Ok(()));
    });
    world.run_for(Duration::from_secs(3));
    assert_eq!((world.sockets(&a), world.sockets(&b)), (0, 0));
    world.run(async { drop(listen(&b, 1).await) });
}

#[test]
fn a_peer_that_goes_on_sending_to_a_dropped_connection_is_told() {
    let world = World::two();
    let b = world.b();
    world.run(async {
        let (mut client, server) = pair(&world).await;
        drop(server);
        let data = pattern(10_000, 4);
        let result = loop {
            if let Err(error) = client.write_all(&data).await {
                break error;
            }
        };
        assert_eq!(result, Error::Reset);
    });
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.sockets(&b), 0);
}

#[test]
fn a_dropped_attempt_to_connect_leaves_nothing() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.wire.set(|wire| wire.delivers = Box::new(|side, _| side != 1));
    world.run(async {
        let _listener = listen(&b, 1).await;
        a.configured().await;
        let mut attempt = Box::pin(connect(&a));
        // One poll starts it.
        assert!(matches!(select(&mut attempt, core::future::ready(())).await, Either::Second(())));
        drop(attempt);
    });
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.sockets(&a), 0);
}

/// The first packets of a guest are lost when its backend is not yet part of the bridge.
#[test]
fn a_lost_syn_is_repeated_after_a_second() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    let mut lost = false;
    world.wire.set(|wire| {
        wire.delivers = Box::new(move |side, frame| {
            let frame = EthernetFrame::new_checked(frame).expect("a frame");
            side != 0 || frame.ethertype() != EthernetProtocol::Ipv4 || core::mem::replace(&mut lost, true)
        });
    });
    world.run(async {
        let listener = listen(&b, 1).await;
        a.configured().await;
        let start = world.now();
        let (client, _) = join(connect(&a), accept(&listener)).await;
        client.expect("a connection");
        let time = world.now() - start;
        assert!((900..1500).contains(&time.as_millis()), "{time:?}");
    });
}

#[test]
fn a_full_backlog_is_silent_until_there_is_room() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    world.run(async {
        let listener = listen(&b, 2).await;
        let (one, two) = join(connect(&a), connect(&a)).await;
        let (mut one, two) = (one.expect("room for it"), two.expect("room for it"));
        let start = world.now();
        // The third waits, and gets its turn when one was accepted.
        let mut third = Box::pin(connect(&a));
        assert!(matches!(select(&mut third, world.pause(Duration::from_millis(500))).await, Either::Second(())));
        assert_eq!(b.drops().backlog_full, 1);
        let (third, mut server) = join(third, accept(&listener)).await;
        third.expect("room by now");
        assert!(world.now() - start < Duration::from_secs(2));
        one.write_all(b"first come").await.expect("an open connection");
        let mut greeting = [0; 10];
        server.read_exact(&mut greeting).await.expect("first served");
        assert_eq!(&greeting, b"first come");
        drop(two);
    });
}

#[test]
fn a_stream_survives_loss() {
    let world = World::two();
    let mut state = 1u32;
    world.wire.set(|wire| {
        wire.delivers = Box::new(move |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            !(state >> 16).is_multiple_of(20)
        });
    });
    let (a, b) = (world.a(), world.b());
    let data = pattern(400_000, 5);
    world.run(async {
        let listener = listen(&b, 1).await;
        let server = async { echo(accept(&listener).await).await };
        let (returned, ()) = join(through_echo(&a, &data), server).await;
        assert!(returned == data);
    });
}

#[test]
fn a_connection_survives_a_link_that_goes_and_comes() {
    let world = World::two();
    let data = pattern(30_000, 6);
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        world.wire.set(|wire| wire.up = false);
        client.write_all(&data).await.expect("room");
        let mut received = vec![0; data.len()];
        let back = async {
            world.pause(Duration::from_secs(15)).await;
            world.wire.set(|wire| wire.up = true);
        };
        let (result, ()) = join(server.read_exact(&mut received), back).await;
        result.expect("all bytes");
        assert!(received == data);
    });
}

#[test]
fn a_peer_that_is_gone_is_noticed() {
    let world = World::two();
    let (a, b) = (world.a(), world.b());
    let start = world.now();
    world.run(async {
        let (mut client, _server) = pair(&world).await;
        world.wire.set(|wire| wire.delivers = Box::new(|_, _| false));
        assert_eq!(client.read(&mut [0; 10]).await, Err(Error::Reset));
    });
    assert!(world.now() - start < Duration::from_secs(200));
    world.run_for(Duration::from_secs(300));
    assert_eq!((world.sockets(&a), world.sockets(&b)), (0, 0));
}

#[test]
fn a_connection_ends_when_its_address_is_no_longer_ours() {
    let world = World::two();
    let a = world.a();
    world.run(async {
        let (mut client, _server) = pair(&world).await;
        a.with(|state| {
            state.interface.update_ip_addrs(|addresses| addresses.clear());
            state.wake_poll_loop();
        });
        assert_eq!(client.read(&mut [0; 10]).await, Err(Error::Reset));
    });
}

#[test]
fn an_idle_connection_lives_on() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        world.pause(Duration::from_secs(900)).await;
        client.write_all(b"still there?").await.expect("an open connection");
        let mut received = [0; 12];
        server.read_exact(&mut received).await.expect("an open connection");
    });
}

#[test]
fn reading_is_cancel_safe() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        let mut buffer = [0; 4];
        for _ in 0..3 {
            let nothing = select(server.read(&mut buffer), core::future::ready(())).await;
            assert!(matches!(nothing, Either::Second(())));
        }
        client.write_all(b"data").await.expect("room");
        assert_eq!(server.read_exact(&mut buffer).await, Ok(()));
        drop(client);
        assert_eq!(server.read_exact(&mut buffer).await, Err(ReadExactError::UnexpectedEof));
    });
}

#[test]
fn small_messages_do_not_wait_for_acknowledgements() {
    let world = World::two();
    let start = world.now();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        let mut byte = [0];
        for _ in 0..20 {
            client.write_all(b"x").await.expect("room");
            client.flush().await.expect("an open connection");
            client.write_all(b"y").await.expect("room");
            server.read_exact(&mut byte).await.expect("a byte");
            server.read_exact(&mut byte).await.expect("a byte");
        }
    });
    assert!(world.now() - start < Duration::from_millis(300), "{:?}", world.now() - start);
}

/// The ports and first sequence numbers of calls by a stack with this seed.
fn calls(seed: u8) -> Vec<(u16, i32)> {
    let world = World::seeded(&[at(A), at(B)], seed);
    let seen = segments_sent(&world, |segment| (segment.src_port(), segment.seq_number().0));
    let a = world.a();
    let attempts = world.run(async { join3(connect(&a), connect(&a), connect(&a)).await });
    assert!(matches!(attempts, (Err(Error::Refused), Err(Error::Refused), Err(Error::Refused))));
    seen.take()
}

#[test]
fn ports_and_sequence_numbers_come_from_the_seed() {
    let (one, another) = (calls(1), calls(3));
    assert_eq!(one, calls(1));
    assert!(one.len() >= 3);
    let all = [one, another].concat();
    for (index, (port, number)) in all.iter().enumerate() {
        assert!(*port >= 49152);
        assert!(all[..index].iter().all(|earlier| earlier.0 != *port && earlier.1 != *number), "{all:?}");
    }
}

#[test]
fn a_reader_that_makes_room_is_heard_of_at_once() {
    let world = World::two();
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        // More than the receiver's buffer and window: the sender has to be told that there is room again.
        let data = pattern(300_000, 7);
        let send = async { client.write_all(&data).await.expect("an open connection") };
        let start = world.now();
        let receive = async {
            // The window is closed by now.
            world.pause(Duration::from_millis(100)).await;
            let mut received = vec![0; data.len()];
            server.read_exact(&mut received).await.expect("all bytes");
            assert!(received == data);
        };
        join(send, receive).await;
        // A probe of the closed window would come a second later at the earliest.
        assert!(world.now() - start < Duration::from_millis(500), "{:?}", world.now() - start);
    });
}

#[test]
fn a_new_connection_asks_nothing() {
    let world = World::two();
    let sent = segments_sent(&world, |segment| (segment.syn(), segment.payload().len()));
    world.run(async {
        let (_client, _server) = pair(&world).await;
        world.pause(Duration::from_secs(1)).await;
    });
    assert_eq!(*sent.borrow(), [(true, 0), (false, 0)]);
}

#[test]
fn an_answer_leaves_together_with_the_acknowledgement_of_what_it_answers() {
    let world = World::two();
    let sent = segments_sent(&world, |segment| (segment.payload().len(), segment.ack()));
    world.run(async {
        let (mut client, mut server) = pair(&world).await;
        world.pause(Duration::from_secs(1)).await;
        sent.borrow_mut().clear();
        let ask = async {
            server.write_all(b"question").await.expect("room");
            server.read_exact(&mut [0; 6]).await.expect("an answer");
        };
        let answer = async {
            client.read_exact(&mut [0; 8]).await.expect("a question");
            client.write_all(b"answer").await.expect("room");
        };
        join(ask, answer).await;
    });
    assert_eq!(*sent.borrow(), [(6, true)]);
}
