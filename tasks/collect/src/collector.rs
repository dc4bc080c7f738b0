//! What the two connections share: the sensors, the summaries under way and the counts.
//!
//! The source side puts readings in and says when it is done; the cloud side takes summaries out. Both run in one
//! thread and borrow the state for no longer than a call.

use alloc::format;
use alloc::string::String;
use core::cell::RefCell;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use readings::{Item, senml};

use crate::outbox::{Outbox, Summary};
use crate::parameters::Settings;
use crate::repeats::Repeats;
use crate::report::Report;
use crate::summary::{self, Run};
use crate::window::{Sensor, Sensors, Taken};

/// A summary ready to be sent.
pub(crate) struct Message {
    pub(crate) summary: Summary,
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
    state: RefCell<State>,
    /// Raised when the cloud side has something to look at: a summary, or the end.
    news: Signal<NoopRawMutex, ()>,
    /// Raised at the end of the input, with what ended it.
    end: Signal<NoopRawMutex, End>,
}

struct State {
    sensors: Sensors,
    outbox: Outbox,
    repeats: Repeats,
    /// All of the report but the sensors.
    counts: Report,
    run: Run,
    summaries: String,
    enough: Option<u32>,
    ended: bool,
}

impl Collector {
    pub(crate) fn new(settings: &Settings) -> Self {
        let state = State {
            sensors: Sensors::new(settings.window_s, settings.sensors),
            outbox: Outbox::new(settings.queue),
            repeats: Repeats::new(),
            counts: Report::default(),
            run: Run { window_s: settings.window_s, number: settings.run },
            summaries: settings.summaries.clone(),
            enough: settings.readings,
            ended: false,
        };
        Self { state: RefCell::new(state), news: Signal::new(), end: Signal::new() }
    }

    /// Notes a connection to the source; `again` when it is not the first, `resumed` when the broker kept the session.
    pub(crate) fn source_connected(&self, again: bool, resumed: bool) {
        let state = &mut *self.state.borrow_mut();
        state.counts.source_reconnects += u32::from(again);
        if resumed {
            state.repeats.resumed();
        }
    }

    /// Notes a connection to the cloud.
    pub(crate) fn cloud_connected(&self, again: bool) {
        let state = &mut *self.state.borrow_mut();
        state.counts.cloud_reconnects += u32::from(again);
        state.outbox.lost();
    }

    /// Takes a message with readings. `now` is the time in seconds since 1970. Returns whether there have now been as
    /// many readings as were asked for.
    pub(crate) fn receive(&self, topic: &str, payload: &[u8], now: f64) -> bool {
        let state = &mut *self.state.borrow_mut();
        let State { sensors, outbox, counts, repeats, .. } = state;
        if repeats.is_repeat(topic, payload) {
            counts.duplicates += 1;
        } else {
            let (windows, readings) = (counts.windows, counts.readings);
            let expected = repeats.are_expected();
            let read = senml::read(payload, now, &mut |item| take(item, expected, sensors, outbox, counts));
            counts.malformed += u64::from(read.is_err());
            if counts.readings != readings {
                repeats.ended();
            }
            if counts.windows != windows {
                self.news.signal(());
            }
        }
        state.enough.is_some_and(|enough| state.counts.readings >= enough.into())
    }

    /// Ends the input: closes the open windows.
    pub(crate) fn finish(&self, end: End) {
        let State { sensors, outbox, counts, ended, .. } = &mut *self.state.borrow_mut();
        sensors.close_all(&mut |window| {
            counts.windows += 1;
            outbox.push(window);
        });
        *ended = true;
        self.news.signal(());
        self.end.signal(end);
    }

    /// The oldest summary that is not under way, if any.
    pub(crate) fn next_message(&self) -> Option<Message> {
        let state = self.state.borrow();
        let summary = state.outbox.next()?;
        let sensor = &state.sensors.all()[usize::from(summary.window.sensor)];
        let mut payload = String::new();
        summary::write(state.run, sensor, &summary, &mut payload);
        Some(Message { summary, topic: format!("{}/{}", state.summaries, sensor.name), payload })
    }

    /// Notes that a summary is under way.
    pub(crate) fn mark_sent(&self, summary: &Summary) {
        self.state.borrow_mut().outbox.mark_sent(summary.sequence);
    }

    /// Gives up a summary that cannot be sent.
    pub(crate) fn give_up(&self, summary: &Summary) {
        self.state.borrow_mut().outbox.give_up(summary.sequence);
    }

    /// Notes the broker's answer to a summary.
    pub(crate) fn answered(&self, id: u16, refused: bool) {
        let state = &mut *self.state.borrow_mut();
        if state.outbox.answered(id) {
            let count = if refused { &mut state.counts.dropped } else { &mut state.counts.published };
            *count += 1;
        }
    }

    /// Whether the input has ended and every summary has left.
    pub(crate) fn is_delivered(&self) -> bool {
        let state = self.state.borrow();
        state.ended && state.outbox.len() == 0
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
    pub(crate) fn into_report(self) -> Report {
        let State { sensors, outbox, mut counts, .. } = self.state.into_inner();
        counts.dropped += outbox.dropped() + outbox.len() as u64;
        counts.sensors = sensors.all().iter().map(Sensor::report).collect();
        counts
    }
}

/// Takes one record of a pack. `repeats` says that it may have been taken before.
fn take(item: Item<'_>, repeats: bool, sensors: &mut Sensors, outbox: &mut Outbox, counts: &mut Report) {
    let reading = match item {
        Item::Reading(reading) => reading,
        Item::Other => return counts.not_numeric += 1,
        Item::Malformed => return counts.malformed += 1,
    };
    match sensors.take(&reading, repeats) {
        Taken::Counted(closed) => {
            if let Some(window) = closed {
                counts.windows += 1;
                outbox.push(window);
            }
        }
        Taken::Late => counts.late += 1,
        Taken::OverLimit => counts.over_limit += 1,
        Taken::Repeated => return counts.duplicates += 1,
        Taken::Unusable => return counts.malformed += 1,
    }
    counts.readings += 1;
}

#[cfg(test)]
mod tests;
