//! The life of a command, as one table.
//!
//! ```text
//! accepted -> queued -> starting -> running -> finished
//!    |          |  ^        |          |
//!    |          |  +--------+----------+          again, after a crash or a start that failed
//!    +----------+-----------+----------+--------> failed(why) | cancelled
//!    +----------+-------------------------------> expired
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where a command is in its life, with what is known about it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum State {
    /// Verified and written to disk; its task may still have to be fetched.
    Accepted,
    /// Waits for memory, a quota, or the end of a pause.
    Queued,
    /// Its guest is being made.
    Starting,
    /// Its guest runs.
    Running,
    /// The task ended by itself and gave its result.
    Finished,
    /// It will not give a result.
    Failed(Failure),
    /// Its tenant or the operator took it back.
    Cancelled,
    /// Its deadline passed, or could not be met any more, before it started.
    Expired,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Failure {
    /// The task ended with an error of its own.
    Error {
        /// What it said.
        message: String,
    },
    /// The guest crashed: a panic, a fault, no memory.
    Crashed {
        /// How often it was started.
        attempts: u32,
        /// The last lines of its console.
        console: Vec<String>,
    },
    /// The guest ended without a result.
    NoResult {
        /// Why, such as a report that does not fit its schema.
        why: String,
    },
    /// Someone else than the node ended the guest.
    Killed,
    /// It ran longer than it may.
    TooLong {
        /// The seconds it ran.
        seconds: u64,
    },
    /// Its task cannot be had, or cannot be trusted.
    NoTask {
        /// Why.
        why: String,
    },
    /// Its task is here, and would not run with this command: parameters, memory, or what the board has.
    Refused {
        /// Why, with the numbers.
        why: String,
    },
    /// The guest could not be made.
    NotStarted {
        /// How often it was tried.
        attempts: u32,
        /// What the toolstack said the last time.
        why: String,
    },
}

/// A [`State`] without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// See [`State::Accepted`].
    Accepted,
    /// See [`State::Queued`].
    Queued,
    /// See [`State::Starting`].
    Starting,
    /// See [`State::Running`].
    Running,
    /// See [`State::Finished`].
    Finished,
    /// See [`State::Failed`].
    Failed,
    /// See [`State::Cancelled`].
    Cancelled,
    /// See [`State::Expired`].
    Expired,
}

/// What may follow what. The only place that says so.
const TRANSITIONS: [(Phase, &[Phase]); 8] = [
    (Phase::Accepted, &[Phase::Queued, Phase::Failed, Phase::Cancelled, Phase::Expired]),
    (Phase::Queued, &[Phase::Starting, Phase::Failed, Phase::Cancelled, Phase::Expired]),
    (Phase::Starting, &[Phase::Running, Phase::Queued, Phase::Failed, Phase::Cancelled]),
    (Phase::Running, &[Phase::Finished, Phase::Queued, Phase::Failed, Phase::Cancelled]),
    (Phase::Finished, &[]),
    (Phase::Failed, &[]),
    (Phase::Cancelled, &[]),
    (Phase::Expired, &[]),
];

/// A step that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a command that is {from:?} cannot become {to:?}")]
pub struct NoSuchTransition {
    /// Where it is.
    pub from: Phase,
    /// Where it was to go.
    pub to: Phase,
}

impl Phase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// What may come next.
    #[must_use]
    pub fn next(self) -> &'static [Self] {
        TRANSITIONS[self as usize].1
    }

    /// Whether nothing comes next.
    #[must_use]
    pub fn is_end(self) -> bool {
        self.next().is_empty()
    }
}

impl State {
    /// The state without its details.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Accepted => Phase::Accepted,
            Self::Queued => Phase::Queued,
            Self::Starting => Phase::Starting,
            Self::Running => Phase::Running,
            Self::Finished => Phase::Finished,
            Self::Failed(_) => Phase::Failed,
            Self::Cancelled => Phase::Cancelled,
            Self::Expired => Phase::Expired,
        }
    }

    /// The next state, if the table has this step.
    ///
    /// # Errors
    /// It has not: the caller's picture of the command is wrong.
    pub fn become_next(&self, next: Self) -> Result<Self, NoSuchTransition> {
        let (from, to) = (self.phase(), next.phase());
        if from.next().contains(&to) { Ok(next) } else { Err(NoSuchTransition { from, to }) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Failure, NoSuchTransition, Phase, State, TRANSITIONS};

    #[test]
    fn the_table_has_a_row_for_each_phase_in_their_order() {
        assert_eq!(TRANSITIONS.map(|(phase, _)| phase), Phase::ALL);
    }

    #[test]
    fn every_phase_is_reached_from_accepted_and_every_one_reaches_an_end() {
        let reached = |from: Phase| {
            let mut seen = BTreeSet::from([from]);
            let mut open = vec![from];
            while let Some(phase) = open.pop() {
                open.extend(phase.next().iter().filter(|next| seen.insert(**next)));
            }
            seen
        };
        assert_eq!(reached(Phase::Accepted), BTreeSet::from(Phase::ALL));
        for phase in Phase::ALL {
            assert!(reached(phase).into_iter().any(Phase::is_end), "{phase:?}");
            assert_eq!(phase.is_end(), reached(phase).len() == 1, "{phase:?}");
        }
    }

    #[test]
    fn what_runs_never_expires_and_what_ended_stays_ended() {
        assert_eq!(
            State::Running.become_next(State::Expired),
            Err(NoSuchTransition { from: Phase::Running, to: Phase::Expired })
        );
        let error = State::Failed(Failure::Killed).become_next(State::Queued).unwrap_err();
        assert_eq!(error.to_string(), "a command that is Failed cannot become Queued");
        assert_eq!(State::Running.become_next(State::Queued), Ok(State::Queued));
    }
}
