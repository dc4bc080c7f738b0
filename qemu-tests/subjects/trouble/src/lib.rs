//! Trouble: a subject for the scenarios. It makes the mistake that it is told to make; without one it reports what the
//! platform gives it.
//!
//! Before that it may say back lines that are typed on its console, and wait.

#![no_std]

extern crate alloc;

use core::fmt;
use core::future::pending;

use alloc::string::String;
use alloc::vec::Vec;
use embassy_time::{Duration, Instant, Timer};
use kernel::{Restored, System};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

mod faults;

/// What a step saves.
const STEP_BYTES: usize = 5000;

/// What the task is told. One parameter must be given, so that a scenario can leave it out.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub struct Parameters {
    /// The mistake to make.
    pub fault: Fault,
    /// How many lines of the console to say back before that; none if not given.
    pub lines: Option<u32>,
    /// How many seconds to wait before that; none if not given.
    pub wait_s: Option<u32>,
    /// How many bytes the report has of no meaning; none if not given.
    pub filler_bytes: Option<u32>,
}

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Fault {
    /// None: the task ends well.
    None,
    /// It returns an error.
    Error,
    /// It goes on when it is asked to end.
    Deaf,
    /// It prints without end.
    Flood,
    /// It panics.
    Panic,
    /// It saves a step more than the run before it and panics, and ends well after three.
    Steps,
    /// It writes through a null pointer.
    NullWrite,
    /// It writes to its own code.
    TextWrite,
    /// It writes to its own constants.
    ConstantWrite,
    /// It calls what lies on the heap.
    HeapExecute,
    /// It calls itself without end.
    StackOverflow,
    /// It calls a function whose variables are larger than the stack.
    LargeFrame,
    /// It allocates without end.
    HeapExhausted,
    /// It allocates more at once than there can be.
    HugeAllocation,
}

/// What the platform gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Report {
    /// The wall clock, in milliseconds since 1970.
    pub unix_time_ms: u64,
    /// How long the task ran, by the clock that timers use, in milliseconds.
    pub ran_ms: u64,
    /// Random words.
    pub random: [u64; 4],
    /// The low bytes of 0, 1, 2 and so on.
    pub filler: Vec<u8>,
}

/// The error that [`Fault::Error`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was told to fail")
    }
}

impl core::error::Error for Asked {}

/// Does what the parameters say.
///
/// # Errors
/// [`Asked`], when it is asked for.
pub async fn run(parameters: Parameters, system: &impl System) -> Result<Report, Asked> {
    let start = Instant::now();
    for number in 1..=parameters.lines.unwrap_or(0) {
        kernel::println!("trouble: waiting for line {number}");
        let line = read_line(system).await;
        kernel::println!("trouble: line {number} is \"{line}\"");
    }
    Timer::after(Duration::from_secs(parameters.wait_s.unwrap_or(0).into())).await;
    kernel::println!("trouble: {:?}", parameters.fault);
    match parameters.fault {
        Fault::None => {}
        Fault::Error => return Err(Asked),
        Fault::Deaf => pending().await,
        Fault::Steps => step(system).await,
        Fault::Flood => flood().await,
        fault => faults::make(fault),
    }
    let mut random = [0; 4];
    for word in &mut random {
        let mut bytes = [0; 8];
        system.random(&mut bytes);
        *word = u64::from_le_bytes(bytes);
    }
    let filler = (0..parameters.filler_bytes.unwrap_or(0)).map(|number| number as u8).collect();
    let unix_time_ms = system.unix_time().as_millis() as u64;
    Ok(Report { unix_time_ms, ran_ms: start.elapsed().as_millis(), random, filler })
}

/// Saves a step, of so many bytes that they need several nodes, and panics; returns after three.
async fn step(system: &impl System) {
    let mut steps = match system.restored().await {
        Restored::State(steps) => steps,
        Restored::Nothing => Vec::new(),
        Restored::Unkept => return kernel::println!("trouble: nobody keeps steps"),
    };
    let count = steps.len() / STEP_BYTES;
    kernel::println!("trouble: {count} steps");
    if count < 3 {
        steps.resize((count + 1) * STEP_BYTES, count as u8);
        match system.checkpoint(&steps).await {
            Ok(()) => faults::make(Fault::Panic),
            Err(error) => kernel::println!("trouble: {error}"),
        }
    }
}

/// Prints as fast as the console takes it.
async fn flood() {
    for number in 0u64.. {
        kernel::println!("trouble: the flood's line {number}");
        // The platform has other things to do, too.
        Timer::after(Duration::from_ticks(1)).await;
    }
}

/// The next line of the console, without its end.
async fn read_line(system: &impl System) -> String {
    let mut line = String::new();
    loop {
        let mut byte = [0];
        system.console_input(&mut byte).await;
        match byte[0] {
            b'\r' | b'\n' => return line,
            byte => line.push(char::from(byte)),
        }
    }
}
