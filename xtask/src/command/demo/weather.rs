//! The sensors of both demos: weather stations, their broker, and the cloud's.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use qemu_tests::broker::Broker;
use qemu_tests::replay::{Data, Expected, Message, Summaries};

use super::step;
use crate::demo;
use crate::terminal::bytes;

/// The task that reads them.
pub const TASK: &str = "collect";
/// This machine, as the bed's guests see it.
pub const THIS_MACHINE: &str = "10.0.2.2";
/// Its name at both brokers.
const CLIENT: &str = "collect-demo";
/// A window is a day.
const WINDOW_S: u32 = 86_400;

/// Five days of sensors that wait to be replayed, and what must come of them.
pub struct Weather {
    /// Where the sensors publish.
    pub local: Broker,
    /// Where summaries go.
    pub cloud: Broker,
    /// What the task must find.
    pub expected: Expected,
    messages: Vec<Message>,
    fast: bool,
}

impl Weather {
    /// Starts both brokers.
    pub fn start(fast: bool) -> Result<Self> {
        let (local, cloud) = (Broker::start("demo-local")?, Broker::start("demo-cloud")?);
        step(format_args!("the sensors' broker is mosquitto at 127.0.0.1:{}", local.port()));
        step(format_args!("\"the cloud\" is mosquitto at 127.0.0.1:{}", cloud.port()));
        let data = Data::committed();
        Ok(Self { local, cloud, expected: data.expected(WINDOW_S.into()), messages: data.messages(), fast })
    }

    /// What the task is told.
    pub fn parameters(&self) -> String {
        format!(
            "source={THIS_MACHINE}:{} cloud={THIS_MACHINE}:{} topics=sensors/+ window_s={WINDOW_S} readings={} \
             client={CLIENT}",
            self.local.port(),
            self.cloud.port(),
            self.expected.readings
        )
    }

    /// The summaries that arrive in the cloud.
    pub fn summaries(&self) -> Result<Summaries> {
        Summaries::subscribe(address(&self.cloud), "summaries/#")
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Waits until the task has subscribed, unless it is `over` before.
    pub fn wait_subscribed(&self, over: &AtomicBool) -> Result<()> {
        let subscribed = format!("Sending SUBACK to {CLIENT}");
        while !self.local.wait_log(&subscribed, demo::LOOK) {
            if over.load(Ordering::Relaxed) {
                bail!("the guest ended before it had subscribed to the sensors' topics");
            }
        }
        let readings: usize = self.messages.iter().map(|message| message.readings).sum();
        step(format_args!(
            "the guest has subscribed: replaying {} readings of {} hours",
            bytes(readings as u64),
            self.messages.len() / 3
        ));
        Ok(())
    }

    /// Publishes some of the messages, and tells of them.
    pub fn publish(&self, part: Range<usize>, over: &AtomicBool) -> Result<()> {
        let mut telling = demo::Telling::default();
        qemu_tests::replay::publish(address(&self.local), &self.messages[part], |_, message| {
            if !self.fast && !over.load(Ordering::Relaxed) {
                std::thread::sleep(demo::PACE);
            }
            if let Some(line) = telling.sent(message) {
                println!("{line}");
            }
        })?;
        println!("{}", telling.line());
        Ok(())
    }
}

fn address(broker: &Broker) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, broker.port()))
}

/// A thread's result; its panic goes on here.
pub fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
