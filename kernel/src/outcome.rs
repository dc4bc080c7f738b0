//! How a task ended.

use alloc::boxed::Box;
use core::fmt::Display;

use serde::Serialize;

/// What a task's `run` returns: a report, an error, or both.
///
/// Both is a run that failed when it had something to report: a person sees the two, a program finds the report where it
/// looks for one, and the status says the error. Such a task returns `Result<Report, Failed<Report, Error>>`.
pub trait Outcome {
    /// What the task reports.
    type Report: Serialize;
    /// Why the run failed.
    type Error: Display;

    /// The report, if there is one, and whether the run failed.
    fn parts(self) -> (Option<Self::Report>, Result<(), Self::Error>);
}

impl<R: Serialize, E: Display> Outcome for Result<R, E> {
    type Report = R;
    type Error = E;

    fn parts(self) -> (Option<R>, Result<(), E>) {
        match self {
            Ok(report) => (Some(report), Ok(())),
            Err(error) => (None, Err(error)),
        }
    }
}

/// A run that failed, with the report of what was done until then, if there is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed<R, E> {
    /// What there is to report all the same; boxed, because what is handed on after each step should be small.
    pub report: Option<Box<R>>,
    /// Why the run failed.
    pub error: E,
}

impl<R, E> From<E> for Failed<R, E> {
    fn from(error: E) -> Self {
        Self { report: None, error }
    }
}

impl<R: Serialize, E: Display> Outcome for Result<R, Failed<R, E>> {
    type Report = R;
    type Error = E;

    fn parts(self) -> (Option<R>, Result<(), E>) {
        match self {
            Ok(report) => (Some(report), Ok(())),
            Err(Failed { report, error }) => (report.map(|report| *report), Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;

    use super::{Failed, Outcome};

    #[test]
    fn a_run_has_a_report_or_an_error_or_both() {
        assert_eq!(Ok::<_, &str>(1).parts(), (Some(1), Ok(())));
        assert_eq!(Err::<u8, _>("broken").parts(), (None, Err("broken")));
        assert_eq!(Ok::<_, Failed<u8, &str>>(1).parts(), (Some(1), Ok(())));
        assert_eq!(Err(Failed { report: Some(Box::new(1)), error: "broken" }).parts(), (Some(1), Err("broken")));
    }

    #[test]
    fn an_error_alone_is_a_failure_without_a_report() {
        let run = || -> Result<u8, Failed<u8, &str>> { Err("broken")? };
        assert_eq!(run().parts(), (None, Err("broken")));
    }
}
