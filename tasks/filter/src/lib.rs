//! Computes statistics of readings in what an HTTP server has, of any length, while it arrives.
//!
//! The data's way: `client` fetches the content and hands it out where it lies in the connection's buffer, `content` undoes its compression, `input` reads it
//! as [`lines`] (a sensor's name, a comma, a number), as a table (`csv`) or as what devices send (`records`), and keeps
//! count, extremes, mean and variance of each sensor. Memory does not grow with the content.
//!
//! Read `client` first, then [`lines`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod client;
mod content;
mod csv;
mod error;
mod input;
mod parameters;
mod records;
mod report;

pub use error::{Error, Interruption, NotResumed};
pub use http1::head::Fault;
pub use parameters::{Decimal, Format, Parameters};
pub use report::Report;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use embassy_futures::select::{Either, select};
use kernel::{Failed, Networked};
use lines::tally::Sample;
use readings::{SensorReport, Statistics};

use client::{Transfer, fetch};
use input::{Found, Input};
use records::UNIT_MARK;

/// Fetches the URL and computes the statistics of what is there, until its end or until the platform asks to stop.
///
/// # Errors
/// The parameters cannot be used, there is no such content, or it is not what the parameters say. With the statistics of what was
/// read, if anything was: the content cannot be had to its end.
pub async fn run(parameters: Parameters, system: &impl Networked) -> Result<Report, Failed<Report, Error>> {
    let settings = parameters.settings()?;
    let mut input = Input::new(settings.format, system.unix_time().as_secs_f64(), settings.sensors);
    let mut transfer = Transfer::new();
    let mut take = |piece: &[u8]| input.push(piece);
    let fetched = select(fetch(settings.url, system, &mut transfer, &mut take), system.stop_requested()).await;
    let complete = matches!(fetched, Either::First(Ok(())));
    let ended = match fetched {
        Either::First(Ok(())) => input.end(),
        Either::First(error) => error,
        Either::Second(_) => Ok(()),
    };
    let found = input.found();
    let ended = ended.and_then(|()| readable(&found, &transfer));
    let report = report(found, &transfer, complete && ended.is_ok());
    match ended {
        Ok(()) => Ok(report),
        Err(error) => Err(Failed { report: (report.bytes > 0).then(|| Box::new(report)), error }),
    }
}

/// Whether anything in a content was a reading, if there was anything in it.
fn readable(found: &Found, transfer: &Transfer) -> Result<(), Error> {
    let unread = found.tally.malformed + found.not_numeric;
    if found.tally.readings > 0 || unread == 0 {
        return Ok(());
    }
    let sample = found.tally.sample.as_ref().map(shown);
    Err(Error::NoReadings { unread, sample, media_type: transfer.media_type.clone() })
}

/// A sample as a person reads it.
fn shown(sample: &Sample) -> String {
    format!("line {}: {}", sample.line, sample.text)
}

fn report(found: Found, transfer: &Transfer, complete: bool) -> Report {
    let tally = found.tally;
    let sample = tally.sample.as_ref().map(shown);
    if let Some(sample) = &sample {
        kernel::println!("filter: {} lines could not be read, the first of them {sample}", tally.malformed);
    }
    let (first_time, last_time) = found.times.unzip();
    Report {
        complete,
        bytes: transfer.bytes,
        resumed: transfer.resumed,
        readings: tally.readings,
        over_limit: tally.over_limit,
        malformed: tally.malformed,
        sample,
        missing: found.missing,
        not_numeric: found.not_numeric,
        first_time,
        last_time,
        elapsed_ms: transfer.start.elapsed().as_millis(),
        sensors: tally.sensors.into_statistics().map(sensor).collect(),
    }
}

/// A sensor's part of the report. Its key may have its unit in it.
fn sensor((key, statistics): (String, Statistics)) -> SensorReport {
    let (name, unit) = key.split_once(UNIT_MARK).unwrap_or((&key, ""));
    SensorReport::new(name.into(), unit.into(), &statistics)
}
