//! Two guests at work, to see what they outlive: `echo` under a TCP stream that does not end by itself, and `collect`
//! that is sent readings.

use crate::collect::{self, Bench};
use crate::echo::{self, SERVER, stop};
use crate::support::{PATIENCE, wait_until};
use ::echo::Report;
use anyhow::{Context as _, Result};
use qemu_tests::harness::Context;
use qemu_tests::protocol::{TcpStream, TcpStreamResult};
use qemu_tests::replay::{Data, Message};
use qemu_tests::{Dom0, Guest, check};
use std::net::Ipv4Addr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest time without progress of the stream. TCP doubles its pauses: one that begins just before a long interruption
/// ends may take as long again.
const STALL_MS: u32 = 120_000;
/// For the whole of a stream.
const LONG: Duration = Duration::from_secs(1200);

/// A TCP stream to `echo` and back that lasts until [`Stream::finish`].
pub struct Stream {
    dom0: Dom0,
    running: JoinHandle<Result<TcpStreamResult>>,
}

impl Stream {
    /// Begins it, and waits until bytes come back.
    pub fn start(context: &Context<'_>, guest: &Guest) -> Result<Self> {
        let dom0 = (**context.bed).clone();
        let wanted = TcpStream { address: SERVER, size_bytes: None, seed: 5, patience_ms: STALL_MS };
        let running = {
            let dom0 = dom0.clone();
            thread::spawn(move || dom0.tcp_stream(&wanted, LONG))
        };
        let stream = Self { dom0, running };
        stream.moves(guest)?;
        Ok(stream)
    }

    /// Waits until more of it has come back.
    pub fn moves(&self, guest: &Guest) -> Result<()> {
        const SOME_BYTES: u64 = 500_000;
        let counter = format!("/sys/class/net/vif{}.0/statistics/rx_bytes", guest.domain()?);
        let bytes = || -> Result<u64> { Ok(self.dom0.must(&format!("cat {counter}"))?.trim().parse()?) };
        let before = bytes()?;
        wait_until("more of the stream has come back", || {
            check!(!self.running.is_finished(), "the stream has ended");
            Ok((bytes()? > before + SOME_BYTES).then_some(()))
        })
    }

    /// Ends it, checks that nothing of it is missing or wrong, and returns how much it was.
    pub fn finish(self) -> Result<u64> {
        self.dom0.end_streams()?;
        let result = self.running.join().ok().context("the thread panicked")??;
        check!(result.error.is_none() && result.received_bytes == result.sent_bytes, "{result:?}");
        Ok(result.received_bytes)
    }
}

/// Both guests and what they are busy with.
pub struct Load {
    pub echo: Guest,
    pub collect: Guest,
    stream: Stream,
    bench: Bench,
    data: Data,
    messages: Vec<Message>,
    published: usize,
}

impl Load {
    /// Starts both, and waits until both have something done.
    pub fn start(context: &Context<'_>) -> Result<Self> {
        let echo = echo::start(context)?;
        let bench = Bench::new()?;
        let collect = bench.start(context)?;
        let data = Data::committed();
        let (stream, messages) = (Stream::start(context, &echo)?, data.messages());
        let mut load = Self { echo, collect, stream, bench, data, messages, published: 0 };
        load.moves()?;
        Ok(load)
    }

    /// The guests, with their addresses.
    pub fn guests(&self) -> [(&Guest, Ipv4Addr); 2] {
        [(&self.echo, echo::ADDRESS), (&self.collect, collect::ADDRESS)]
    }

    /// Gives `collect` more readings without a wait for it.
    pub fn publish(&mut self, most: usize) -> Result<()> {
        let end = self.messages.len().min(self.published + most);
        self.bench.publish(&self.messages[self.published..end])?;
        self.published = end;
        Ok(())
    }

    /// Waits until both guests have gone on: more of the stream has come back, and `collect` has taken what was
    /// published.
    pub fn moves(&mut self) -> Result<()> {
        const SOME: usize = 10;
        self.stream.moves(&self.echo)?;
        self.publish(SOME)?;
        let taken = format!("Received PUBACK from guest (Mid: {}", self.published);
        if !self.bench.source.wait_log(&taken, PATIENCE) {
            return Err(self.collect.complaint("it takes no more readings"));
        }
        Ok(())
    }

    /// Ends all, and checks that the stream came back whole and that every reading counts exactly once.
    pub fn finish(mut self) -> Result<()> {
        let bytes = self.stream.finish()?;
        stop(self.echo, &Report { connections: 1, bytes, datagrams: 0 })?;
        self.bench.publish(&self.messages[self.published..])?;
        self.published = self.messages.len();
        self.bench.finish(self.collect, &self.data)?;
        Ok(())
    }
}
