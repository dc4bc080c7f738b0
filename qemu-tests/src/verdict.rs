//! How a scenario ends, and whose fault it is.
//!
//! An error that a scenario returns is the test's or the bed's own, unless it says otherwise: [`Failure`] blames the
//! subject, [`Skip`] means that the scenario cannot run here.

use std::fmt;

/// The end of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The subject did what it should.
    Pass,
    /// The scenario does not apply here.
    Skip(String),
    /// The test or the bed is at fault.
    Error(String),
    /// The subject is at fault.
    Failure(String),
}

/// An error that blames the subject of the test.
#[derive(Debug)]
pub struct Failure(pub String);

/// An error that means: this scenario cannot run here.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
impl std::error::Error for Skip {}

impl From<anyhow::Result<()>> for Verdict {
    fn from(outcome: anyhow::Result<()>) -> Self {
        match outcome {
            Ok(()) => Verdict::Pass,
            Err(error) if error.downcast_ref::<Skip>().is_some() => Verdict::Skip(format!("{error:#}")),
            Err(error) if error.downcast_ref::<Failure>().is_some() => Verdict::Failure(format!("{error:#}")),
            Err(error) => Verdict::Error(format!("{error:#}")),
        }
    }
}

/// Returns a [`Failure`] with a message in the words of `format!` unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::verdict::Failure(format!($($message)+)).into());
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn checked(value: u32) -> anyhow::Result<()> {
        check!(value == 3, "{value} is not three");
        Ok(())
    }

    #[test]
    fn the_kind_of_an_error_decides_whose_fault_it_is() {
        assert_eq!(Verdict::from(checked(3)), Verdict::Pass);
        assert_eq!(Verdict::from(checked(4).context("counting")), Verdict::Failure("counting: 4 is not three".into()));
        assert_eq!(Verdict::from(Err(Skip("no root".into()).into())), Verdict::Skip("no root".into()));
        assert_eq!(Verdict::from(Err(anyhow::anyhow!("broken"))), Verdict::Error("broken".into()));
    }
}
