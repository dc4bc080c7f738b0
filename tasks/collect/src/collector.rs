//! What the two connections share: the series, the summaries under way and the counts.
//!
//! The source side puts readings in and says when it is done; the cloud side takes summaries out. Both run in one
//! thread and borrow the state for no longer than a call. `state` is how the state outlasts the run.

mod state;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::convert::Infallible;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer};
use kernel::{Counts, println};
use mqtt::routes::{self, Routes};
use mqtt::{Publish, Reason, Sample, hash};
use readings::Item;

use crate::backlog::{Backlog, Next, Summary};
use crate::error::Error;
use crate::parameters::Settings;
use crate::report::Report;
use crate::said::{Said, Trouble};
use crate::summary;
use crate::window::{Sensor, Sensors, Taken, Window};

/// How often the counts are said.
const INTERVAL: Duration = Duration::from_secs(60);

/// A summary ready to be sent.
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: String,
}

/// What ended the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Enough readings, or the end-of-stream message.
    Complete,
    /// The platform asks to stop, and will not wait long.
    Stopped,
}

/// The state that both connections share.
pub(crate) struct Collector {
    state: Rc<Shared>,
    /// Raised when the cloud side has something to look at: a summary, or the end.
    news: Signal<NoopRawMutex, ()>,
    /// Raised at the end of the input, with what ended it.
    end: Signal<NoopRawMutex, End>,
}

struct State {
    sensors: Sensors,
    out: Out,
    window_s: u32,
    summaries: String,
    enough: Option<u32>,
    ended: bool,
    /// When the connection to the source began, in seconds since 1970.
    connected: f64,
    /// The second in which windows were last closed by the clock.
    looked_s: u64,
    refusal: Option<Reason>,
}

/// What readings and windows become.
struct Out {
    backlog: Backlog,
    /// All of the report but the sensors.
    counts: Report,
    said: Said,
}

/// The state, as the platform may look at it.
struct Shared(RefCell<State>);

impl Counts for Shared {
    fn write(&self, out: &mut String) {
        let state = self.0.borrow();
        state.counts().write(state.sensors.all().len(), state.out.backlog.len(), out);
    }
}

impl State {
    /// The counts, with what the queue has dropped.
    fn counts(&self) -> Report {
        Report { dropped: self.out.backlog.dropped(), ..self.out.counts.clone() }
    }
}

impl Out {
    /// Whether a trouble is to be said.
    fn begins(&mut self, trouble: Trouble) -> bool {
        self.said.begins(trouble)
    }

    /// Takes a closed window.
    fn close(&mut self, window: Window) {
        self.counts.windows += 1;
        if !self.backlog.push(window) && self.begins(Trouble::Dropped) {
            println!("collect: no room for more summaries: the oldest are dropped");
        }
    }

    /// Takes one record of a message.
    fn take(&mut self, item: Item<'_>, sensors: &mut Sensors, now: f64) {
        let reading = match item {
            Item::Reading(reading) => reading,
            Item::Other => return self.counts.not_numeric += 1,
            Item::Malformed => return self.counts.malformed += 1,
        };
        let name = reading.name;
        let taken = sensors.take(&reading, now, &mut |window| self.close(window));
        match taken {
            Taken::Counted => {}
            Taken::Late => {
                self.counts.late += 1;
                if self.begins(Trouble::Late) {
                    println!("collect: late: {name} at {} is of a window that is closed", reading.time);
                }
            }
            Taken::Ahead => {
                self.counts.ahead += 1;
                if self.begins(Trouble::Ahead) {
                    println!("collect: ahead: {name} at {} is in the future, where it is {now} here", reading.time);
                }
            }
            Taken::OverLimit => {
                self.counts.over_limit += 1;
                if self.begins(Trouble::OverLimit) {
                    println!(
                        "collect: over the limit: no room for {name}; parameter \"sensors\" says how many there may be"
                    );
                }
            }
            Taken::Unusable => return self.counts.malformed += 1,
        }
        self.counts.readings += 1;
    }
}

impl Collector {
    pub(crate) fn new(settings: &Settings) -> Self {
        let state = State {
            sensors: Sensors::new(settings.times, settings.sensors),
            out: Out {
                backlog: Backlog::new(settings.queue, settings.run),
                counts: Report::default(),
                said: Said::default(),
            },
            window_s: settings.times.window_s,
            summaries: settings.summaries.clone(),
            enough: settings.readings,
            ended: false,
            connected: 0.0,
            looked_s: 0,
            refusal: None,
        };
        Self { state: Rc::new(Shared(RefCell::new(state))), news: Signal::new(), end: Signal::new() }
    }

    /// The counts, for the platform to show.
    pub(crate) fn counts(&self) -> Rc<dyn Counts> {
        self.state.clone()
    }

    /// Says the counts again and again.
    pub(crate) async fn speak(&self) -> Infallible {
        loop {
            Timer::after(INTERVAL).await;
            let mut line = String::new();
            self.state.write(&mut line);
            println!("collect: {line}");
            self.state.0.borrow_mut().out.said.counted();
        }
    }

    /// Notes a connection to the source at this time in seconds since 1970; `again` when it is not the first.
    pub(crate) fn source_connected(&self, again: bool, now: f64) {
        let state = &mut *self.state.0.borrow_mut();
        state.out.counts.source_reconnects += u32::from(again);
        state.connected = now;
    }

    /// Notes a connection to the cloud.
    pub(crate) fn cloud_connected(&self, again: bool) {
        let out = &mut self.state.0.borrow_mut().out;
        out.counts.cloud_reconnects += u32::from(again);
        out.backlog.lost();
    }

    /// Takes a message. `now` is the time in seconds since 1970. Returns whether there have now been as many readings
    /// as were asked for.
    pub(crate) fn receive(&self, routes: &Routes, message: &Publish<'_>, now: f64) -> bool {
        let state = &mut *self.state.0.borrow_mut();
        let State { sensors, out, .. } = state;
        let (topic, payload) = (message.topic, message.payload);
        match routes.find(topic, message.subscriptions) {
            _ if message.retained => out.counts.retained += 1,
            routes::Taken::Copy => out.counts.copies += 1,
            routes::Taken::Own => out.counts.own += 1,
            routes::Taken::Unasked => {
                out.counts.unasked += 1;
                if out.begins(Trouble::Unasked) {
                    println!("collect: not asked for: a message on {}", Sample(topic.as_bytes()));
                }
            }
            routes::Taken::By(route) => {
                let (windows, malformed) = (out.counts.windows, out.counts.malformed);
                let read = route.read(topic, payload, now, &mut |item| out.take(item, sensors, now));
                out.counts.malformed += u64::from(read.is_err());
                if out.counts.malformed != malformed && out.said.is_first_of(hash(topic.as_bytes(), b"")) {
                    println!("collect: cannot be read, on {}: {}", Sample(topic.as_bytes()), Sample(payload));
                }
                if out.counts.windows != windows {
                    self.news.signal(());
                }
            }
        }
        state.enough.is_some_and(|enough| state.out.counts.readings >= enough.into())
    }

    /// Notes a message that has been taken before.
    pub(crate) fn repeated(&self) {
        self.state.0.borrow_mut().out.counts.duplicates += 1;
    }

    /// Notes a message that was too large to be looked at.
    pub(crate) fn passed(&self, topic: &str, length: usize) {
        let out = &mut self.state.0.borrow_mut().out;
        out.counts.too_large += 1;
        if out.begins(Trouble::TooLarge) {
            println!("collect: too large: a message of {length} bytes on {}", Sample(topic.as_bytes()));
        }
    }

    /// Notes a message that is not as MQTT has it.
    pub(crate) fn unreadable(&self, topic: &str) {
        let out = &mut self.state.0.borrow_mut().out;
        out.counts.malformed += 1;
        if out.said.is_first_of(hash(topic.as_bytes(), b"")) {
            println!("collect: cannot be read, on {}: a message that is not as MQTT has it", Sample(topic.as_bytes()));
        }
    }

    /// Notes that the source is there at this time: closes what is due by the clock.
    pub(crate) fn heard(&self, now: f64) {
        let State { sensors, out, connected, looked_s, .. } = &mut *self.state.0.borrow_mut();
        if core::mem::replace(looked_s, now as u64) == now as u64 {
            return;
        }
        let windows = out.counts.windows;
        sensors.close_due(now, *connected, &mut |window| out.close(window));
        if out.counts.windows != windows {
            self.news.signal(());
        }
    }

    /// Ends the input: closes the open windows.
    pub(crate) fn finish(&self, end: End) {
        let State { sensors, out, ended, .. } = &mut *self.state.0.borrow_mut();
        sensors.close_all(&mut |window| out.close(window));
        *ended = true;
        self.news.signal(());
        self.end.signal(end);
    }

    /// The oldest summary that can be sent now.
    pub(crate) fn next_summary(&self, now: Instant) -> Next {
        self.state.0.borrow().out.backlog.next(now)
    }

    /// A summary as it is sent.
    pub(crate) fn message(&self, summary: &Summary) -> Message {
        let state = self.state.0.borrow();
        let sensor = &state.sensors.all()[usize::from(summary.window.sensor)];
        let mut payload = String::new();
        summary::write(state.window_s, sensor, summary, &mut payload);
        Message { topic: format!("{}/{}", state.summaries, sensor.name), payload }
    }

    /// Notes that a summary is under way.
    pub(crate) fn mark_sent(&self, summary: &Summary) {
        self.state.0.borrow_mut().out.backlog.mark_sent(summary.number);
    }

    /// Gives up a summary that is larger than the cloud takes.
    pub(crate) fn give_up(&self, summary: &Summary, most_bytes: u32) {
        let state = &mut *self.state.0.borrow_mut();
        state.out.backlog.give_up(summary.number);
        state.refusal = Some(Reason::PACKET_TOO_LARGE);
        if state.out.begins(Trouble::Refused) {
            println!(
                "collect: the cloud broker takes {most_bytes} bytes at most, less than a summary has: it is dropped"
            );
        }
    }

    /// Notes the broker's answer to a summary.
    pub(crate) fn answered(&self, id: u16, refused: Option<Reason>, now: Instant) {
        let state = &mut *self.state.0.borrow_mut();
        let State { out, refusal, .. } = state;
        let Some(reason) = refused else {
            out.counts.published += u64::from(out.backlog.answered(id));
            return;
        };
        let again = reason.may_pass();
        let known = if again { out.backlog.refused(id, now) } else { out.backlog.give_up_answered(id) };
        out.counts.refused += u64::from(known);
        *refusal = Some(reason);
        if known && out.begins(Trouble::Refused) {
            let then = if again { "it is tried again" } else { "it is dropped" };
            println!("collect: the cloud broker refuses a summary: {reason}; {then}");
        }
    }

    /// Whether the input has ended and every summary has left.
    pub(crate) fn is_delivered(&self) -> bool {
        let state = self.state.0.borrow();
        state.ended && state.out.backlog.len() == 0
    }

    /// Resolves when there is something new for the cloud side.
    pub(crate) async fn news(&self) {
        self.news.wait().await;
    }

    /// Resolves when the input has ended, with what ended it.
    pub(crate) async fn ended(&self) -> End {
        self.end.wait().await
    }

    /// The report; what is still undelivered counts as dropped.
    ///
    /// # Errors
    /// [`Error::Undelivered`], after the counts have been said.
    pub(crate) fn outcome(&self) -> Result<Report, Error> {
        let state = self.state.0.borrow();
        let mut report = state.counts();
        report.dropped += state.out.backlog.len() as u64;
        if report.windows > 0 && report.published == 0 {
            let mut line = String::new();
            report.write(state.sensors.all().len(), 0, &mut line);
            println!("collect: {line}");
            return Err(Error::Undelivered(report.windows, state.refusal.map(|reason| reason.to_string())));
        }
        report.sensors = state.sensors.all().iter().map(Sensor::report).collect();
        Ok(report)
    }
}

#[cfg(test)]
mod tests;
