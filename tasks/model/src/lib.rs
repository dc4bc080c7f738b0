//! A trained model, evaluated at each reading: a linear regression, or a decision tree as scikit-learn has it.
//!
//! Its inputs are sensors, by their names. As soon as each of them has a value, each new reading of one gives a prediction
//! from the newest values of all.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod error;
mod predictor;

use alloc::string::String;
use alloc::vec::Vec;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use kernel::Fed;
use kernel::feed::{Item, Reading};
use kernel::nodes::MAX_BYTES;
use postcard_schema::Schema;
use predictor::Predictor;
use readings::{Room, Statistics, number};
use serde::{Deserialize, Serialize};

pub use error::Error;

/// What a flag has of the report.
const FLAG_BYTES: usize = 10 + 8;
/// What else the report has, beside the names of inputs.
const HEAD_BYTES: usize = 10 * 10 + 4 * 8;

/// What the task is told: the inputs, and either `coefficients` or a tree.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The names of the sensors that are the model's inputs, in its order.
    pub inputs: Vec<String>,
    /// Of a regression: a number for each input. The prediction is the sum of their products, and the intercept.
    pub coefficients: Option<Vec<f64>>,
    /// Of a regression; 0 when left out.
    pub intercept: Option<f64>,
    /// Of a tree, for each node: which input is looked at, from 0. What it is of a leaf is of no consequence.
    pub feature: Option<Vec<i32>>,
    /// Of a tree, for each node: where its input is not above this, the left child is next.
    pub threshold: Option<Vec<f64>>,
    /// Of a tree, for each node: its left child, which comes after it; -1 for a leaf.
    pub left: Option<Vec<i32>>,
    /// Of a tree, for each node: its right child, which comes after it; -1 for a leaf.
    pub right: Option<Vec<i32>>,
    /// Of a tree, for each node: the prediction, if it is a leaf.
    pub value: Option<Vec<f64>>,
    /// Predictions above this are flagged; none when left out.
    pub flag_above: Option<f64>,
}

/// What the feed had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// All readings.
    pub readings: u64,
    /// Of those of inputs, values that are infinite, not a number or beyond 1e30, which are not used.
    pub implausible: u64,
    /// Readings of inputs that are older than one of the same input before them, which are not used either.
    pub late: u64,
    /// Readings of inputs that gave no prediction, because another input had no value.
    pub incomplete: u64,
    /// Readings that the feed left out, as far as it knows.
    pub left_out: u64,
    /// Whether the task was asked to end before the feed ended.
    pub stopped: bool,
    /// The predictions, if there are any.
    pub predictions: Option<Predictions>,
    /// How many predictions are above the value from which they are flagged.
    pub flagged: u64,
    /// The first of them, as many as find room in the report.
    pub flags: Vec<Flag>,
    /// Inputs that the feed does not have.
    pub missing: Vec<String>,
}

/// All predictions of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Predictions {
    /// How many.
    pub count: u64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// Their mean.
    pub mean: f64,
    /// The newest.
    pub last: f64,
}

/// A prediction that is flagged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Flag {
    /// The time of the reading that gave it, in nanoseconds since 1970.
    pub time_ns: i64,
    /// The prediction.
    pub prediction: f64,
}

/// The inputs, and what has become of them.
struct Evaluation {
    predictor: Predictor,
    flag_above: f64,
    /// Each input's newest time, and its newest value if that is known.
    newest: Vec<(i64, Option<f64>)>,
    statistics: Option<(Statistics, f64)>,
    room: Room,
    report: Report,
}

/// The task.
///
/// # Errors
/// The parameters are wrong, or the feed is.
pub async fn run(parameters: Parameters, system: &impl Fed) -> Result<Report, Error> {
    let inputs = parameters.inputs.clone();
    let mut evaluation = Evaluation::new(parameters)?;
    let mut feed = system.feed().await?;
    let mut stop = pin!(system.stop_requested());
    // Which input each sensor is, if any.
    let mut sensors: Vec<Option<usize>> = Vec::new();
    loop {
        let item = match select(&mut stop, feed.next()).await {
            Either::First(_) => {
                evaluation.report.stopped = true;
                break;
            }
            Either::Second(item) => item?,
        };
        match item {
            Some(Item::Sensor(new)) => {
                let input = inputs.iter().position(|input| input == new.name);
                if let Some(input) = input.filter(|input| sensors.contains(&Some(*input))) {
                    return Err(Error::Ambiguous(inputs[input].clone()));
                }
                sensors.push(input);
            }
            Some(Item::Readings(sensor, readings)) => {
                if let Some(input) = sensors[sensor] {
                    readings.iter().for_each(|reading| evaluation.take(input, reading));
                }
            }
            Some(Item::Gap(gap)) => {
                evaluation.report.left_out = evaluation.report.left_out.saturating_add(gap.readings);
                evaluation.forget(|input| gap.sensor.is_none_or(|sensor| sensors[sensor] == Some(input)));
            }
            None => break,
        }
    }
    let missing = inputs.into_iter().enumerate().filter(|(input, _)| !sensors.contains(&Some(*input)));
    Ok(evaluation.report(feed.readings(), missing.map(|(_, name)| name).collect()))
}

impl Evaluation {
    fn new(parameters: Parameters) -> Result<Self, Error> {
        let inputs = &parameters.inputs;
        let mut room = Room::new(MAX_BYTES - HEAD_BYTES);
        // All of them may be missing.
        if !inputs.iter().all(|input| room.take(&[input], 0)) || inputs.is_empty() {
            return Err(Error::Inputs);
        }
        if let Some((_, twice)) = inputs.iter().enumerate().find(|(at, input)| inputs[..*at].contains(*input)) {
            return Err(Error::Ambiguous(twice.clone()));
        }
        let flag_above = parameters.flag_above.unwrap_or(f64::INFINITY);
        if flag_above.is_nan() {
            return Err(Error::Number("flag_above"));
        }
        let newest = inputs.iter().map(|_| (i64::MIN, None)).collect();
        let predictor = Predictor::new(parameters)?;
        Ok(Self { predictor, flag_above, newest, statistics: None, room, report: Report::default() })
    }

    /// Takes a reading of an input.
    fn take(&mut self, input: usize, Reading { time_ns, value }: Reading) {
        if !number::is_plausible(value) {
            self.report.implausible += 1;
            return;
        }
        if time_ns < self.newest[input].0 {
            self.report.late += 1;
            return;
        }
        self.newest[input] = (time_ns, Some(value));
        let Some(prediction) = self.predictor.predict(|input| self.newest[input].1) else {
            self.report.incomplete += 1;
            return;
        };
        match &mut self.statistics {
            Some((statistics, last)) => {
                statistics.push(prediction);
                *last = prediction;
            }
            None => self.statistics = Some((Statistics::of(prediction), prediction)),
        }
        if prediction > self.flag_above {
            self.report.flagged += 1;
            if self.room.take(&[], FLAG_BYTES) {
                self.report.flags.push(Flag { time_ns, prediction });
            }
        }
    }

    /// What an input was before a gap is not what it is.
    fn forget(&mut self, is_concerned: impl Fn(usize) -> bool) {
        for (input, (_, value)) in self.newest.iter_mut().enumerate() {
            if is_concerned(input) {
                *value = None;
            }
        }
    }

    fn report(self, readings: u64, missing: Vec<String>) -> Report {
        let predictions = self.statistics.map(|(statistics, last)| Predictions {
            count: statistics.count(),
            minimum: statistics.minimum(),
            maximum: statistics.maximum(),
            mean: statistics.mean(),
            last,
        });
        Report { readings, predictions, missing, ..self.report }
    }
}
