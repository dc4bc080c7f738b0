//! One test, from the client's cookie to its farewell.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::pending;
use core::pin::Pin;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{Read, Write};
use embedded_nal_async::UnconnectedUdp;
use futures_util::stream::{FuturesUnordered, StreamExt};
use kernel::System;
use kernel::net::TcpAccept;

use crate::failure::Failure;
use crate::protocol::{self, State, say};
use crate::results::{Outcome, Tally};
use crate::settings::Settings;
use crate::{tcp, udp};

/// How much longer than it said a client may take.
const GRACE: Duration = Duration::from_secs(60);

/// Something that goes on during a test. What it returns ends the test; nothing, if the test goes on without it.
type Activity<'a> = Pin<Box<dyn Future<Output = Option<Result<(), Failure>>> + 'a>>;

/// What tests need.
pub struct Session<'a, L, D, S> {
    /// For the client's connections.
    pub listener: &'a L,
    /// For its datagrams.
    pub datagrams: D,
    /// What is sent.
    pub block: Vec<u8>,
    /// Says when to end.
    pub system: &'a S,
}

impl<L: TcpAccept, D: UnconnectedUdp, S: System> Session<'_, L, D, S> {
    /// Serves the test of a client that has connected.
    pub async fn serve<C: Read + Write>(&mut self, control: &mut C) -> Result<Outcome, Failure> {
        let system = self.system;
        let ended = match select(self.converse(control), system.stop_requested()).await {
            Either::First(ended) => ended,
            Either::Second(_) => Err(Failure::Stopped),
        };
        if let Err(failure) = ended {
            // Who does not hear it is gone, which is no worse than what has happened.
            let _ = match failure.code() {
                Some(code) => protocol::say_error(control, code).await,
                None if failure == Failure::Stopped => say(control, State::ServerTerminate).await,
                None => Ok(()),
            };
        }
        ended
    }

    async fn converse<C: Read + Write>(&mut self, control: &mut C) -> Result<Outcome, Failure> {
        let cookie = protocol::cookie(control).await?;
        say(control, State::ParameterExchange).await?;
        let settings = Settings::read(&protocol::parameters(control).await?)?;
        if settings.udp {
            udp::discard_earlier(&mut self.datagrams).await?;
        }
        say(control, State::CreateStreams).await?;
        let outcome = match settings.udp {
            true => self.datagrams(control, &settings).await?,
            false => {
                let streams = tcp::accept(self.listener, &cookie, &settings).await?;
                self.streams(control, &settings, streams).await?
            }
        };
        say(control, State::ExchangeResults).await?;
        protocol::skip_results(control).await?;
        protocol::send_json(control, &outcome.json).await?;
        say(control, State::DisplayResults).await?;
        // A client that leaves without a farewell has its results all the same.
        let _ = protocol::in_time(protocol::hear(control)).await;
        Ok(outcome)
    }

    /// A test with TCP streams, which end with it.
    async fn streams<'l, C: Read + Write>(
        &self,
        control: &mut C,
        settings: &Settings,
        mut streams: Vec<L::Connection<'l>>,
    ) -> Result<Outcome, Failure>
    where
        L: 'l,
    {
        let tallies: Vec<Tally> = streams.iter().map(|_| Tally::default()).collect();
        let block = &self.block[..settings.block_bytes.min(self.block.len())];
        let activities = streams.iter_mut().zip(&tallies).enumerate().map(|(index, (stream, tally))| -> Activity<'_> {
            match index < settings.incoming {
                true => Box::pin(async move {
                    tcp::receive(stream, tally).await;
                    None
                }),
                false => Box::pin(async move {
                    tcp::send(stream, block, tally).await;
                    None
                }),
            }
        });
        let duration = run(control, self.listener, settings, &tallies, activities).await?;
        Ok(Outcome::new(settings, &tallies, duration))
    }

    /// A test with datagrams.
    async fn datagrams<C: Read + Write>(&mut self, control: &mut C, settings: &Settings) -> Result<Outcome, Failure> {
        let socket = &mut self.datagrams;
        let peers = udp::accept(socket, settings).await?;
        let tallies: Vec<Tally> = peers.iter().map(|_| Tally::default()).collect();
        let block = &mut self.block[..settings.block_bytes];
        let activity: Activity<'_> = match settings.outgoing {
            0 => Box::pin(async { Some(Err(udp::receive(socket, &peers, &tallies, settings).await)) }),
            _ => Box::pin(async { Some(Err(udp::send(socket, &peers, &tallies, settings, block).await)) }),
        };
        let duration = run(control, self.listener, settings, &tallies, [activity]).await?;
        Ok(Outcome::new(settings, &tallies, duration))
    }
}

/// Lets data flow until the client ends the test, and returns how long what counts of it took.
///
/// Only the activities that have something to do are polled.
async fn run<'a, L: TcpAccept, C: Read + Write>(
    control: &mut C,
    listener: &L,
    settings: &Settings,
    tallies: &[Tally],
    activities: impl IntoIterator<Item = Activity<'a>>,
) -> Result<Duration, Failure> {
    say(control, State::TestStart).await?;
    say(control, State::TestRunning).await?;
    let start = Cell::new(Instant::now());
    let restart = || {
        tallies.iter().for_each(Tally::omit);
        start.set(Instant::now());
    };
    let mut running = FuturesUnordered::<Activity<'_>>::new();
    for activity in activities {
        running.push(activity);
    }
    running.push(Box::pin(async { Some(ended(control).await) }));
    running.push(Box::pin(async {
        turn_away(listener).await;
        None
    }));
    if settings.omit_s > 0 {
        running.push(Box::pin(async {
            Timer::after(seconds(settings.omit_s)).await;
            restart();
            None
        }));
    }
    if settings.time_s > 0 {
        let limit = seconds(settings.time_s.saturating_add(settings.omit_s)) + GRACE;
        running.push(Box::pin(async move {
            Timer::after(limit).await;
            Some(Err(Failure::Late))
        }));
    }
    while let Some(ended) = running.next().await {
        if let Some(result) = ended {
            return result.map(|()| start.get().elapsed());
        }
    }
    // The client's end of the test is awaited in any case.
    pending().await
}

/// Waits until the client ends the test.
async fn ended(control: &mut impl Read) -> Result<(), Failure> {
    const TEST_END: u8 = State::TestEnd as u8;
    const CLIENT_TERMINATE: u8 = State::ClientTerminate as u8;
    match protocol::hear(control).await? {
        TEST_END => Ok(()),
        CLIENT_TERMINATE => Err(Failure::Interrupted),
        other => Err(Failure::Unexpected(other)),
    }
}

/// Tells others to come later, until no connection can be accepted.
async fn turn_away(listener: &impl TcpAccept) {
    while let Ok((_, mut connection)) = listener.accept().await {
        // Nothing of this test depends on whether the stranger hears it.
        let _ = say(&mut connection, State::AccessDenied).await;
    }
}

/// A duration that no client can make overflow.
fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(1 << 32))
}
