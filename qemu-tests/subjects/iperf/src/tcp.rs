//! TCP streams: what is done for each piece of data, and nothing else.

use alloc::vec::Vec;

use embassy_futures::yield_now;
use embedded_io_async::Write;
use kernel::net::TcpAccept;
use kernel::stream::ReadInPlace;

use crate::protocol::{self, Cookie, State};
use crate::results::Tally;
use crate::{failure::Failure, settings::Settings};

/// After so many bytes others get a turn, even if the stream could go on: more than a guest's buffers hold, so that
/// there it never happens.
const TURN_BYTES: usize = 1 << 20;

/// Accepts the streams of a test. Connections of others are told that a test is running.
pub async fn accept<'l, L: TcpAccept>(
    listener: &'l L,
    cookie: &Cookie,
    settings: &Settings,
) -> Result<Vec<L::Connection<'l>>, Failure> {
    let mut streams = Vec::new();
    while streams.len() < settings.incoming + settings.outgoing {
        let next = protocol::in_time(async { listener.accept().await.map_err(|_| Failure::Gone) });
        let (_, mut stream) = next.await?;
        match protocol::cookie(&mut stream).await {
            Ok(own) if own == *cookie => streams.push(stream),
            // Nothing of this test depends on whether the stranger hears it.
            _ => _ = protocol::say(&mut stream, State::AccessDenied).await,
        }
    }
    Ok(streams)
}

/// Takes what comes, where it lies, to the end of the stream.
pub async fn receive(stream: &mut impl ReadInPlace, tally: &Tally) {
    let mut turn = 0;
    while let Ok(length @ 1..) = stream.read_in_place(|data| (data.len(), data.len())).await {
        tally.add_bytes(length);
        take_turns(&mut turn, length).await;
    }
}

/// Writes a block again and again until nobody takes it any more.
pub async fn send(stream: &mut impl Write, block: &[u8], tally: &Tally) {
    let mut turn = 0;
    loop {
        // A block that is taken in parts is still one block.
        let mut rest = block;
        while !rest.is_empty() {
            let Ok(length @ 1..) = stream.write(rest).await else { return };
            tally.add_bytes(length);
            rest = &rest[length..];
        }
        take_turns(&mut turn, block.len()).await;
    }
}

async fn take_turns(turn: &mut usize, length: usize) {
    *turn += length;
    if *turn >= TURN_BYTES {
        *turn = 0;
        yield_now().await;
    }
}
