//! Readings that come from elsewhere before those that the store holds: from a database of the past.
//!
//! They do not go through the store. Where they end is said sensor by sensor, when its turn comes: they are those from
//! before the oldest one that the store holds of the sensor; from there on the store's own follow, but for those that are not
//! after the last one from elsewhere. So none comes twice or is left out, as long as both have a reading under the same time.
//! Until then what the store holds of the sensor waits, and if the oldest of that leaves meanwhile, it is missing again.

use alloc::boxed::Box;
use alloc::vec::Vec;

use feed::{Encoder, Gap, Reading, Reason, SENSORS_MAX};

use super::{Delivery, Place, Stage, TURN};
use crate::sensor::Sensor;
use crate::series::Cursor;
use crate::store::Store;

/// How far a time may be from what it was where it comes from: a microsecond.
const ROUNDING_NS: i64 = 1000;

/// Times from the first up to and without the second, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from_ns: i64,
    /// The second.
    pub until_ns: i64,
}

/// Where the past is.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Whose turn it is.
    sensor: Option<Box<Sensor>>,
    /// What was asked for last.
    span: Option<Span>,
    /// All before this time is there.
    reached_ns: Option<i64>,
    /// The last reading that came.
    last_ns: Option<i64>,
    /// What has come and was not given.
    batch: Vec<Reading>,
    /// Readings that were wrong, and are not said yet.
    wrong: u64,
}

/// A sensor that has a place in the feed, and none in the store.
#[derive(Debug)]
pub(super) struct Unknown {
    place: usize,
    name: Box<str>,
    unit: Box<str>,
}

impl Delivery {
    /// Has the feed wait for readings from elsewhere, if its contract wants any of before its start: until
    /// [`Delivery::end_past`].
    pub fn await_past(&mut self) {
        if self.contract.wants_past() && self.stage == Stage::New {
            self.past = Some(Past::default());
        }
    }

    /// Whether the feed waits for readings from elsewhere.
    #[must_use]
    pub fn awaits_past(&self) -> bool {
        self.past.is_some()
    }

    /// Whether a sensor whose name begins so may be one of the task's.
    #[must_use]
    pub fn may_select(&self, prefix: &str) -> bool {
        self.contract.may_begin(prefix)
    }

    /// Gives the turn to a sensor; whether the task may have it. The one before has had its turn.
    pub fn begin_past(&mut self, store: &Store, described: &feed::Sensor<'_>) -> bool {
        self.release(store);
        let known = store.number(described.name, described.unit);
        let sensor = store.described(described);
        let selects = self.contract.selects(known.map_or(&sensor, |number| &store.sensors()[number as usize]));
        let Some(past) = self.past.as_mut().filter(|_| selects) else { return false };
        (past.sensor, past.span, past.reached_ns, past.last_ns) = (Some(Box::new(sensor)), None, None, None);
        true
    }

    /// What of the sensor whose turn it is neither has come nor is in the store, once the feed has begun.
    pub fn missing(&mut self, store: &Store) -> Option<Span> {
        let past = self.past.as_mut()?;
        let from_ns = self.from_ns?.max(past.reached_ns.unwrap_or(i64::MIN));
        let end_ns = self.until_ns.unwrap_or(self.opened_ns);
        let place = place_of(&self.places, &self.unknown, store, past.sensor.as_ref()?.key());
        let until_ns = match place.map(|place| &mut self.places[place]) {
            // It has had its turn, or did not need one.
            Some(place) if !place.waits => return None,
            Some(Place { sensor: Some(number), cursor, .. }) => {
                *cursor = store.since(*number, from_ns);
                if store.reaches_before(*number, cursor) {
                    return None;
                }
                let oldest = store.read(*number, &mut cursor.clone());
                oldest.map_or(end_ns, |oldest| oldest.time_ns.min(end_ns))
            }
            Some(_) | None => end_ns,
        };
        past.span = Some(Span { from_ns, until_ns }).filter(|_| from_ns < until_ns);
        past.span
    }

    /// Whether there is room for a reading from elsewhere.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.past.as_ref().is_some_and(|past| past.batch.len() < TURN)
    }

    /// Whether all that came from elsewhere is given.
    #[must_use]
    pub fn has_given(&self) -> bool {
        self.past.as_ref().is_none_or(|past| past.batch.is_empty())
    }

    /// Takes a reading of what [`Delivery::missing`] has said. What is not of it, not after the one before, or out of the
    /// sensor's range is counted as wrong; but what is next to it is passed over, as times were rounded on their way.
    pub fn take_past(&mut self, reading: Reading) {
        let Some(past) = self.past.as_mut() else { return };
        let Reading { time_ns, value } = reading;
        let Some(Span { from_ns, until_ns }) = past.span else { return };
        let is_missing = (from_ns..until_ns).contains(&time_ns);
        if !is_missing
            && (from_ns.saturating_sub(ROUNDING_NS)..=until_ns.saturating_add(ROUNDING_NS)).contains(&time_ns)
        {
            return;
        }
        let is_next = past.last_ns.is_none_or(|last_ns| last_ns < time_ns);
        let allowed = past.sensor.as_ref().is_some_and(|sensor| sensor.allows(value));
        if is_missing && is_next && allowed {
            past.batch.push(reading);
            past.last_ns = Some(time_ns);
            past.reached_ns = time_ns.checked_add(1);
        } else {
            past.wrong += 1;
        }
    }

    /// Notes that all of what was missing has come.
    pub fn past_came(&mut self) {
        if let Some(past) = &mut self.past {
            past.reached_ns = past.span.map(|span| span.until_ns).or(past.reached_ns);
        }
    }

    /// Ends the wait for readings from elsewhere, of which some may not have come.
    pub fn end_past(&mut self, complete: bool) {
        self.not_fetched |= self.past.take().is_some() && !complete;
    }

    /// Lets the store's readings of the sensor go on whose turn it was.
    fn release(&mut self, store: &Store) {
        let Some(sensor) = self.past.as_mut().and_then(|past| past.sensor.take()) else { return };
        if let Some(place) = place_of(&self.places, &self.unknown, store, sensor.key()) {
            self.places[place].waits = false;
        }
    }

    /// Gives a sensor that the store has come to know the place that it has already; whether it has one.
    pub(super) fn recognise(&mut self, store: &Store, number: u32) -> bool {
        let key = store.sensors()[number as usize].key();
        let Some(at) = self.unknown.iter().position(|unknown| (&*unknown.name, &*unknown.unit) == key) else {
            return false;
        };
        let place = &mut self.places[self.unknown.swap_remove(at).place];
        place.sensor = Some(number);
        place.cursor = store.since(number, self.from_ns.unwrap_or(i64::MIN));
        true
    }

    /// Gives what has come, and says what will not; whether some of it has to wait for the next second.
    pub(super) fn serve_past(&mut self, store: &Store, encoder: &mut Encoder, out: &mut Vec<u8>) -> bool {
        if core::mem::take(&mut self.not_fetched) {
            encoder.gap(&Gap { sensor: None, readings: 0, reason: Reason::NotFetched }, out);
        }
        let number = self.past_place(store, encoder, out);
        let Some(past) = self.past.as_mut() else { return false };
        let Some(number) = number else {
            if !past.batch.is_empty() || past.wrong > 0 {
                // There is no room for the sensor: no more of it is wanted.
                *past = Past::default();
            }
            return false;
        };
        let wrong = core::mem::take(&mut past.wrong);
        if wrong > 0 {
            encoder.gap(&Gap { sensor: Some(number), readings: wrong, reason: Reason::Invalid }, out);
        }
        let count = past.batch.len().min(self.second.1 as usize);
        if count > 0 {
            encoder.readings_of(number, &past.batch[..count], out);
            self.places[number].after_ns = Some(past.batch[count - 1].time_ns);
            past.batch.drain(..count);
            self.second.1 -= count as u32;
            self.given.readings += count as u64;
            self.given.fetched += count as u64;
        }
        !past.batch.is_empty()
    }

    /// The place of the sensor whose turn it is, which is described if it was not; none if it has nothing to say, or there is
    /// no room for it.
    fn past_place(&mut self, store: &Store, encoder: &mut Encoder, out: &mut Vec<u8>) -> Option<usize> {
        let past = self.past.as_mut().filter(|past| !past.batch.is_empty() || past.wrong > 0)?;
        let sensor = past.sensor.as_ref()?;
        let (name, unit) = sensor.key();
        if let Some(place) = place_of(&self.places, &self.unknown, store, (name, unit)) {
            return Some(place);
        }
        // One that the store knows and that has no place was counted when it was to be described.
        if store.number(name, unit).is_some() {
            return None;
        }
        if self.places.len() == SENSORS_MAX || encoder.sensor(&sensor.described(), out).is_err() {
            self.given.sensors_left_out += 1;
            return None;
        }
        let cursor = Cursor::beginning();
        let place =
            Place { sensor: None, cursor, live_from: 0, wrong: 0, after_ns: None, waits: true, complete: false };
        self.places.push(place);
        self.given.sensors += 1;
        let place = self.places.len() - 1;
        self.unknown.push(Unknown { place, name: name.into(), unit: unit.into() });
        Some(place)
    }
}

/// The place of a sensor, which the store may know or not.
fn place_of(places: &[Place], unknown: &[Unknown], store: &Store, key: (&str, &str)) -> Option<usize> {
    let number = store.number(key.0, key.1);
    let known = places.iter().position(|place| number.is_some() && place.sensor == number);
    known
        .or_else(|| unknown.iter().find(|unknown| (&*unknown.name, &*unknown.unit) == key).map(|unknown| unknown.place))
}
