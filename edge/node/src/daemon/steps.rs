//! How long the steps of commands take: where the time of a start goes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::Cpu;

use crate::toolstack::{Ended, Guest, GuestSpec, Inside, ReadConsole};
use crate::{Feed, GuestId, Toolstack};

/// A step of a command's life that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Judging a command and writing it to the journal.
    Accept,
    /// Bringing its task, from the store or from further away, and verifying it.
    Fetch,
    /// Making its guest.
    Create,
    /// Letting its guest run.
    Unpause,
    /// Reading what its guest left.
    Collect,
    /// Ending its guest and removing what is left of it.
    Destroy,
}

impl Step {
    /// All of them, in the order of a command's life, with their names.
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Accept, "accept"),
        (Self::Fetch, "fetch"),
        (Self::Create, "create"),
        (Self::Unpause, "unpause"),
        (Self::Collect, "collect"),
        (Self::Destroy, "destroy"),
    ];
}

/// How often each step was taken since the program started, and how long that took in all; those that failed among
/// them. All threads share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps(Arc<[Total; Step::ALL.len()]>);

#[derive(Debug, Default)]
struct Total {
    count: AtomicU64,
    microseconds: AtomicU64,
}

impl Steps {
    /// Takes a step and adds its time.
    pub(super) fn time<T>(&self, step: Step, take: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let taken = take();
        let total = &self.0[step as usize];
        let microseconds = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Figures for people: that one of the two is newer for a moment does no harm.
        total.count.fetch_add(1, Ordering::Relaxed);
        total.microseconds.fetch_add(microseconds, Ordering::Relaxed);
        taken
    }

    /// How often a step was taken, and its time in all.
    pub(super) fn total(&self, step: Step) -> (u64, Duration) {
        let total = &self.0[step as usize];
        let microseconds = total.microseconds.load(Ordering::Relaxed);
        (total.count.load(Ordering::Relaxed), Duration::from_micros(microseconds))
    }
}

/// A toolstack whose steps are timed.
pub(super) struct Timed<T> {
    pub(super) toolstack: T,
    pub(super) steps: Steps,
}

impl<T: Toolstack> Toolstack for Timed<T> {
    type Error = T::Error;

    fn guests(&mut self) -> Result<Vec<Guest>, T::Error> {
        self.toolstack.guests()
    }

    fn memory_free_kib(&mut self) -> Result<u64, T::Error> {
        self.toolstack.memory_free_kib()
    }

    fn create(&mut self, guest: &GuestSpec, image: &Path) -> Result<(), T::Error> {
        self.steps.time(Step::Create, || self.toolstack.create(guest, image))
    }

    fn unpause(&mut self, guest: GuestId) -> Result<(), T::Error> {
        self.steps.time(Step::Unpause, || self.toolstack.unpause(guest))
    }

    fn feed(&mut self, feed: &Feed) -> Result<(), T::Error> {
        self.toolstack.feed(feed)
    }

    fn set_cpu(&mut self, guest: GuestId, cpu: Cpu) -> Result<(), T::Error> {
        self.toolstack.set_cpu(guest, cpu)
    }

    fn look_into(&mut self, guest: GuestId) -> Result<Inside, T::Error> {
        self.toolstack.look_into(guest)
    }

    fn ended(&mut self, guest: GuestId) -> Result<Ended, T::Error> {
        self.steps.time(Step::Collect, || self.toolstack.ended(guest))
    }

    fn destroy(&mut self, guest: GuestId) -> Result<(), T::Error> {
        self.steps.time(Step::Destroy, || self.toolstack.destroy(guest))
    }

    fn consoles(&self) -> Arc<dyn ReadConsole> {
        self.toolstack.consoles()
    }

    fn xen_version(&self) -> String {
        self.toolstack.xen_version()
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, Steps};

    #[test]
    fn a_step_counts_for_itself_and_every_clone_sees_it() {
        let steps = Steps::default();
        assert_eq!(steps.clone().time(Step::Create, || 7), 7);
        let counts = Step::ALL.map(|(step, _)| steps.total(step).0);
        assert_eq!(counts, [0, 0, 1, 0, 0, 0]);
    }
}
