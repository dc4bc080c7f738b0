//! Connections that came to nothing: counted, and said without filling the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::daemon::clerk::Clerk;
use crate::daemon::log::{self, Level};

/// The shortest time between two lines about them: whoever reaches the port decides how many there are.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts them.
pub(super) struct Refusals {
    clerk: Clerk,
    /// When one was said last, and how many were not since.
    said: Mutex<(Option<Instant>, u64)>,
}

impl Refusals {
    pub(super) fn new(clerk: Clerk) -> Self {
        Self { clerk, said: Mutex::default() }
    }

    /// One more.
    pub(super) fn count(&self, peer: &str, reason: &str) {
        self.clerk.tell(|books| books.count_refused_connection());
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, unsaid) = &mut *said;
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            *unsaid += 1;
            return;
        }
        let others = if *unsaid > 0 { format!(" ({unsaid} more since the last such line)") } else { String::new() };
        log::say(Level::Warning, &format!("a connection from {peer}: {reason}{others}"));
        (*last, *unsaid) = (Some(Instant::now()), 0);
    }
}
