//! Both ends at the same time, sleeping by the rules: who misses an event does not come to the end.

use std::thread;

use super::{End, Pair, Port, stream};
use crate::{PIECE_BYTES, Pieces, Wait, Want};

const BYTES: usize = 1 << 20;

/// Waits, and says whether there is still something to wait for.
fn wait(end: &mut End, port: &Port, want: Want) -> bool {
    match end.prepare_wait(want).expect("whole") {
        Wait::Ready => true,
        Wait::Sleep => {
            port.wait();
            true
        }
        Wait::Closed => false,
    }
}

/// Writes all bytes, in pieces of different sizes, and closes.
fn write_all(mut end: End, port: &Port) {
    let mut written = 0;
    while written < BYTES {
        let count = (written * 31 % 5000 + 1).min(BYTES - written);
        match end.write(&stream(written, count)).expect("whole") {
            0 => assert!(wait(&mut end, port, Want::Room(1)), "the reader is gone"),
            count => written += count,
        }
    }
}

/// Reads to the end.
fn read_all(mut end: End, port: &Port) -> usize {
    let mut pieces = Pieces::new(PIECE_BYTES).expect("memory");
    let mut read = 0;
    loop {
        let held = pieces.fill(&mut end, 1).expect("whole");
        if held.is_empty() {
            if !wait(&mut end, port, Want::Data(1)) {
                return read;
            }
            continue;
        }
        assert!(held == stream(read, held.len()), "at {read}");
        read += held.len();
        let count = held.len();
        pieces.consume(count);
    }
}

#[test]
fn a_stream_arrives_whole_through_every_ring_in_both_directions() {
    for order in [10, 11, 12, 13, 16, 20] {
        for to_server in [false, true] {
            let other = if order == 11 { 12 } else { 11 };
            let (left, right) = if to_server { (order, other) } else { (other, order) };
            let Pair { server, client, server_port, client_port, .. } = Pair::new(left, right);
            let (writer, reader) = if to_server { (client, server) } else { (server, client) };
            let (writes_at, reads_at) = if to_server { (client_port, server_port) } else { (server_port, client_port) };
            let writing = thread::spawn(move || write_all(writer, &writes_at));
            assert_eq!(read_all(reader, &reads_at), BYTES, "order {order}");
            writing.join().expect("no fault");
        }
    }
}
