//! The thread that takes turns with the toolstack.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::clerk::Clerk;
use crate::log::{self, Level};
use crate::reconcile::{Effect, Observed};
use crate::turn::{Board, Desk, Settled, turn};
use crate::{GuestSpec, NodeError, Toolstack};

/// The clerk, as a turn sees it.
struct AtClerk<'c>(&'c Clerk);

impl Desk for AtClerk<'_> {
    fn plan(&mut self, observed: Observed) -> Result<(Vec<Effect>, bool), NodeError> {
        self.0.ask_now(move |books| books.plan(observed))
    }

    fn settle(&mut self, settled: Settled) -> Result<(), NodeError> {
        if let Settled::NotStarted(guest, why) = &settled {
            // The journal keeps only the last reason, and only when its command is given up.
            log::say(Level::Warning, &format!("guest {guest} could not be made: {why}; its command tries five times"));
        }
        self.0.ask_now(move |books| books.settle(settled))
    }
}

/// Takes turns for ever.
pub(super) fn run(
    mut toolstack: impl Toolstack,
    clerk: &Clerk,
    wakes: &Receiver<()>,
    board: &Board<impl Fn(&GuestSpec) -> Result<PathBuf, String>>,
    poll: Duration,
) {
    let mut last_error = String::new();
    loop {
        let wait = match turn(&mut AtClerk(clerk), &mut toolstack, board) {
            Ok(true) => continue,
            Ok(false) => {
                last_error.clear();
                clerk.ask_now(move |books| books.next_look(poll))
            }
            Err(error) => {
                let error = error.to_string();
                // The same trouble once: it is tried again with each turn.
                if error != last_error {
                    log::say(Level::Warning, &format!("{error}; it is tried again"));
                }
                clerk.ask_now(|books| books.count_failed_turn());
                last_error = error;
                poll
            }
        };
        if let Err(RecvTimeoutError::Disconnected) = wakes.recv_timeout(wait) {
            return;
        }
    }
}
