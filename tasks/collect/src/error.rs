//! Why a run fails.

use alloc::string::String;
use core::fmt;
use core::ops::RangeInclusive;

use mqtt::routes;

/// Why a run fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A broker's address is neither `host` nor `host:port`.
    Address(&'static str),
    /// A number is too small or too large.
    Range(&'static str, RangeInclusive<u32>),
    /// A text that MQTT does not allow there, or that is too long.
    Text(&'static str),
    /// A password without a user name.
    Login(&'static str),
    /// A filter or a template, and what is wrong with it.
    Topic(String, &'static str),
    /// There are no filters, or too many.
    Topics,
    /// A filter takes the task's own summaries from the broker that it publishes them to.
    Loop(String),
    /// Two filters that a message may fit both, at a broker that cannot say for which of them it comes.
    Overlap(String, String),
    /// Of so many summaries not one was delivered; with the last reason of the cloud's, if it gave one.
    Undelivered(u64, Option<String>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address(key) => write!(f, "parameter \"{key}\" is not host or host:port"),
            Error::Range(key, range) => {
                write!(f, "parameter \"{key}\" must be from {} to {}", range.start(), range.end())
            }
            Error::Text(key) => {
                write!(f, "parameter \"{key}\" is empty, too long, or has a wildcard where none may be")
            }
            Error::Login(key) => write!(f, "parameter \"{key}\" is missing: a password needs a user name"),
            Error::Topic(topic, what) => write!(f, "parameter \"topics\": \"{topic}\": {what}"),
            Error::Topics => write!(f, "parameter \"topics\" must have 1 to {} filters", routes::MOST),
            Error::Loop(topic) => write!(
                f,
                "parameter \"topics\": \"{topic}\" would take this task's own summaries, which go to the same broker"
            ),
            Error::Overlap(one, other) => write!(
                f,
                "parameter \"topics\": \"{one}\" and \"{other}\" overlap, and this broker does not say for \
                 which of them a message comes: it would count twice"
            ),
            Error::Undelivered(windows, None) => write!(f, "none of {windows} summaries was delivered"),
            Error::Undelivered(windows, Some(reason)) => {
                write!(f, "none of {windows} summaries was delivered; the cloud refuses them: {reason}")
            }
        }
    }
}

impl core::error::Error for Error {}
