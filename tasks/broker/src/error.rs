//! Why a run fails.

use alloc::string::String;
use core::fmt;

use store::TooSmall;

/// Why a run fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A parameter cannot be used.
    Parameter {
        /// Its key.
        key: &'static str,
        /// What was given, or the part of it that is wrong.
        value: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two filters that a message may fit both, at a broker that cannot say for which of them it comes.
    Overlap(String, String),
    /// There is not enough memory.
    Store(TooSmall),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter { key, value, what } => write!(f, "parameter \"{key}\": \"{value}\": {what}"),
            Self::Overlap(one, other) => write!(
                f,
                "parameter \"topics\": \"{one}\" and \"{other}\" overlap, and this broker does not say for which of them a \
                 message comes: it would count twice"
            ),
            Self::Store(too_small) => write!(f, "parameters \"store_mib\" and \"sensors\": {too_small}"),
        }
    }
}

impl core::error::Error for Error {}
