//! What the tasks that compute statistics of readings share: a sensor's name, a number as text, statistics.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod name;
pub mod number;
pub mod statistics;

pub use statistics::Statistics;
