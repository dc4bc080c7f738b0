//! What one task gets: a place in each of its sensors' readings, and from there on bytes of a feed.

use alloc::vec::Vec;

use feed::{Encoder, Gap, Reading, Reason, SENSORS_MAX};

use crate::SECOND_NS;
use crate::contract::{Contract, Window};
use crate::series::Cursor;
use crate::store::Store;

use past::{Past, Unknown};

mod past;

pub use past::Span;

/// How many bytes are made at once, at most a turn of one sensor more.
const FILL_BYTES: usize = 32 * 1024;
/// How many readings a sensor may have before the others get their turn.
const TURN: usize = 256;

/// The feed of one task.
#[derive(Debug)]
pub struct Delivery {
    contract: Contract,
    /// None before the beginning and after the end.
    encoder: Option<Encoder>,
    stage: Stage,
    /// The times that are wanted, as far as they are bounded.
    from_ns: Option<i64>,
    until_ns: Option<i64>,
    /// The broker's clock when the feed began.
    opened_ns: i64,
    /// What comes from elsewhere before what the store holds; none where nothing does, or nothing more.
    past: Option<Past>,
    /// Readings that should have come from elsewhere will not, which is still to be said.
    not_fetched: bool,
    /// Sensors that the store did not know when they were described.
    unknown: Vec<Unknown>,
    places: Vec<Place>,
    /// How many of the store's sensors were looked at.
    seen: usize,
    /// Whose turn it is.
    turn: usize,
    /// A second of the clock, and how many readings may still be given in it.
    second: (i64, u32),
    batch: Vec<Reading>,
    given: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Open,
    Ended,
}

/// Where a task is in a sensor's readings.
#[derive(Debug)]
struct Place {
    /// None if the store does not know the sensor, or not yet.
    sensor: Option<u32>,
    cursor: Cursor,
    /// The number of the first reading that came after the feed was opened.
    live_from: u64,
    /// How many wrong readings of the sensor the task knows of.
    wrong: u64,
    /// The time of the last reading that came from elsewhere: those of the store go on behind it.
    after_ns: Option<i64>,
    /// What the store holds waits until that has come.
    waits: bool,
    /// There will be none before the window's end any more.
    complete: bool,
}

/// What a task got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Sensors that were described.
    pub sensors: u32,
    /// Sensors for which the feed had no room.
    pub sensors_left_out: u32,
    /// Readings.
    pub readings: u64,
    /// Of these, the ones that came from elsewhere, from before what the store held.
    pub fetched: u64,
    /// Readings that had left the store before the task took them.
    pub lost: u64,
    /// Readings that were more in a second than the task may have.
    pub too_many: u64,
}

/// How a feed goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more.
    More,
    /// There is nothing before the store has something new, or before this time of the clock.
    Wait(Option<i64>),
    /// The feed is complete.
    Ended,
}

/// What one turn of a sensor came to.
enum Turn {
    More,
    Nothing,
    /// The task may not have more in this second.
    Paused,
}

impl Delivery {
    /// The feed of a task with this contract, which begins when it is first asked for.
    #[must_use]
    pub fn new(contract: Contract) -> Self {
        Self {
            contract,
            encoder: None,
            stage: Stage::New,
            from_ns: None,
            until_ns: None,
            opened_ns: 0,
            past: None,
            not_fetched: false,
            unknown: Vec::new(),
            places: Vec::new(),
            seen: 0,
            turn: 0,
            second: (i64::MIN, 0),
            batch: Vec::new(),
            given: Given::default(),
        }
    }

    /// What the task got up to now.
    #[must_use]
    pub fn given(&self) -> Given {
        self.given
    }

    /// Appends what the task is to get next, at this time of the broker's clock.
    pub fn fill(&mut self, store: &Store, now_ns: i64, out: &mut Vec<u8>) -> Progress {
        let is_new = self.stage == Stage::New;
        if is_new {
            self.open(now_ns, out);
        }
        let Some(mut encoder) = self.encoder.take() else { return Progress::Ended };
        let second = now_ns.div_euclid(SECOND_NS);
        if self.second.0 != second {
            self.second = (second, self.contract.most_readings_per_second);
        }
        self.describe(store, is_new, &mut encoder, out);
        let (mut quiet, mut paused) = (0, self.serve_past(store, &mut encoder, out));
        while quiet < self.places.len() && out.len() < FILL_BYTES {
            self.turn = (self.turn + 1) % self.places.len();
            match self.serve(self.turn, store, &mut encoder, out) {
                Turn::More => quiet = 0,
                Turn::Nothing => quiet += 1,
                Turn::Paused => (quiet, paused) = (quiet + 1, true),
            }
        }
        let progress = if quiet < self.places.len() {
            Progress::More
        } else if paused {
            Progress::Wait(Some((second + 1) * SECOND_NS))
        } else if self.past.is_some() {
            Progress::Wait(None)
        } else if self.until_ns.is_some_and(|until_ns| until_ns <= now_ns) {
            self.stage = Stage::Ended;
            encoder.end(out);
            return Progress::Ended;
        } else {
            Progress::Wait(self.until_ns)
        };
        self.encoder = Some(encoder);
        progress
    }

    /// Begins the feed: now is known what "before now" is.
    fn open(&mut self, now_ns: i64, out: &mut Vec<u8>) {
        self.opened_ns = now_ns;
        (self.from_ns, self.until_ns) = match self.contract.window {
            Window::Live(0) => (None, None),
            Window::Live(past_ns) => (Some(now_ns.saturating_sub(past_ns)), None),
            Window::Last(past_ns) => (Some(now_ns.saturating_sub(past_ns)), Some(now_ns)),
            Window::Past(from_ns, until_ns) => (Some(from_ns), Some(until_ns)),
        };
        self.encoder = Some(Encoder::new(out));
        self.stage = Stage::Open;
    }

    /// Describes the sensors that are new, as far as the task may have them.
    fn describe(&mut self, store: &Store, is_new: bool, encoder: &mut Encoder, out: &mut Vec<u8>) {
        for (number, sensor) in store.sensors().iter().enumerate().skip(self.seen) {
            self.seen = number + 1;
            let number = number as u32;
            if !self.contract.selects(sensor) || self.recognise(store, number) {
                continue;
            }
            if self.places.len() == SENSORS_MAX || encoder.sensor(&sensor.described(), out).is_err() {
                self.given.sensors_left_out += 1;
                continue;
            }
            let cursor = match self.from_ns {
                Some(from_ns) => store.since(number, from_ns),
                None if is_new => store.end(number),
                None => Cursor::beginning(),
            };
            // What a sensor has said that came after the feed was opened is all live.
            let live_from = if is_new { sensor.series.next_number() } else { 0 };
            let wrong = if is_new { sensor.counts().wrong() } else { 0 };
            let waits = self.past.is_some() && !store.reaches_before(number, &cursor);
            let sensor = Some(number);
            self.places.push(Place { sensor, cursor, live_from, wrong, after_ns: None, waits, complete: false });
            self.given.sensors += 1;
        }
    }

    /// Gives a sensor its turn.
    fn serve(&mut self, number: usize, store: &Store, encoder: &mut Encoder, out: &mut Vec<u8>) -> Turn {
        let place = &mut self.places[number];
        let waits = place.waits && self.past.is_some();
        let Some(sensor) = place.sensor.filter(|_| !waits && !place.complete) else {
            return Turn::Nothing;
        };
        let mut gap = |readings, reason| {
            if readings > 0 {
                encoder.gap(&Gap { sensor: Some(number), readings, reason }, out);
            }
        };
        let was_live = place.cursor.number() >= place.live_from;
        let lost = store.skip_lost(sensor, &mut place.cursor);
        self.given.lost += lost;
        gap(lost, if was_live { Reason::NotTaken } else { Reason::NotKept });
        let wrong = store.sensors()[sensor as usize].counts().wrong();
        gap(wrong - core::mem::replace(&mut place.wrong, wrong), Reason::Invalid);
        let (mut too_many, mut turn) = (0, Turn::Nothing);
        self.batch.clear();
        while self.batch.len() + (too_many as usize) < TURN {
            // The past waits for its second; what is live would be old by then.
            let may_wait = place.cursor.number() < place.live_from;
            if self.second.1 == 0 && may_wait {
                turn = Turn::Paused;
                break;
            }
            let Some(reading) = store.read(sensor, &mut place.cursor) else { break };
            if self.until_ns.is_some_and(|until_ns| reading.time_ns >= until_ns) {
                place.complete = true;
                break;
            }
            turn = Turn::More;
            if place.after_ns.is_some_and(|after_ns| reading.time_ns <= after_ns) {
                continue;
            }
            if self.second.1 == 0 {
                too_many += 1;
                continue;
            }
            self.second.1 -= 1;
            self.batch.push(reading);
        }
        self.given.too_many += too_many;
        gap(too_many, Reason::Rate);
        if !self.batch.is_empty() {
            encoder.readings_of(number, &self.batch, out);
            self.given.readings += self.batch.len() as u64;
        }
        turn
    }
}
