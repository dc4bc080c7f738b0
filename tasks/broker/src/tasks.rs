//! Whom the broker feeds: the tasks of its parameters, which stay, and those of the platform's list, which come and go.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use kernel::println;
use store::{Contract, Given};

use crate::report::{Forgotten, TaskReport};

/// The most tasks at once: each has a channel of 17 pages.
pub(crate) const TASKS_MAX: usize = 64;
/// How many of the tasks that are gone have a report of their own.
const GONE_MAX: usize = 64;
/// The most bytes of how a feed has ended that a report has.
const ENDED_BYTES: usize = 160;
/// How the feed of a task ends that went from the list.
pub(crate) const LET_GO: &str = "it is not to be fed any more";

/// A task that is fed.
pub(crate) struct Task {
    pub(crate) number: u16,
    /// What it may have, or what is wrong with the text that says so.
    pub(crate) contract: Result<Contract, &'static str>,
    /// The text, for one of the list.
    text: Option<String>,
    /// Raised when there may be something new for it.
    pub(crate) news: Signal<NoopRawMutex, ()>,
    /// Raised when it is not to be fed any more.
    pub(crate) let_go: Signal<NoopRawMutex, ()>,
    pub(crate) given: Cell<Given>,
    ended: RefCell<String>,
}

/// All of them, and what is known of those that are gone.
#[derive(Default)]
pub(crate) struct Tasks {
    there: Vec<Rc<Task>>,
    /// The last of those that are gone.
    gone: VecDeque<TaskReport>,
    forgotten: Forgotten,
}

impl Task {
    fn new(number: u16, contract: Result<Contract, &'static str>, text: Option<String>) -> Self {
        let (given, ended) = (Cell::default(), RefCell::default());
        Self { number, contract, text, news: Signal::new(), let_go: Signal::new(), given, ended }
    }

    /// Notes how its feed has ended.
    pub(crate) fn end(&self, how: &str) {
        let mut most = how.len().min(ENDED_BYTES);
        while !how.is_char_boundary(most) {
            most -= 1;
        }
        self.ended.replace(how[..most].to_owned());
    }

    /// Whether its feed has not ended yet.
    pub(crate) fn is_fed(&self) -> bool {
        self.ended.borrow().is_empty()
    }

    fn report(&self) -> TaskReport {
        let Given { sensors, sensors_left_out, readings, fetched, lost, too_many } = self.given.get();
        let ended = self.ended.borrow().clone();
        TaskReport { task: self.number, sensors, sensors_left_out, readings, fetched, lost, too_many, ended }
    }
}

impl Tasks {
    /// The tasks of the parameters.
    pub(crate) fn new(tasks: &[(u16, Contract)]) -> Self {
        let task = |(number, contract): &(u16, Contract)| Rc::new(Task::new(*number, Ok(contract.clone()), None));
        Self { there: tasks.iter().map(task).collect(), ..Self::default() }
    }

    /// Those that are there.
    pub(crate) fn all(&self) -> &[Rc<Task>] {
        &self.there
    }

    /// Lets go of those that are not in the list any more, or there with another text, and returns those that are new.
    pub(crate) fn list(&mut self, listed: &BTreeMap<u16, String>) -> Vec<Rc<Task>> {
        let stays = |task: &Rc<Task>| task.text.is_none() || listed.get(&task.number) == task.text.as_ref();
        let (there, going): (Vec<_>, Vec<_>) = self.there.drain(..).partition(stays);
        self.there = there;
        going.into_iter().for_each(|task| self.let_go(task));
        let mut new = Vec::new();
        for (number, text) in listed {
            if self.there.iter().any(|task| task.number == *number) {
                continue;
            }
            // It has its turn when the list becomes shorter.
            if self.there.len() == TASKS_MAX {
                println!("broker: no room for task {number}: {TASKS_MAX} are fed already");
                continue;
            }
            let task = Rc::new(Task::new(*number, Contract::parse(text), Some(text.clone())));
            self.there.push(task.clone());
            new.push(task);
        }
        new
    }

    fn let_go(&mut self, task: Rc<Task>) {
        task.let_go.signal(());
        if task.is_fed() {
            task.end(LET_GO);
        }
        self.gone.push_back(task.report());
        if self.gone.len() > GONE_MAX
            && let Some(task) = self.gone.pop_front()
        {
            self.forgotten.tasks += 1;
            self.forgotten.readings += task.readings;
            self.forgotten.left_out += task.lost + task.too_many;
        }
    }

    /// What each got, those that are gone first, and of those that are forgotten all together.
    pub(crate) fn reports(&self) -> (Vec<TaskReport>, Forgotten) {
        (self.gone.iter().cloned().chain(self.there.iter().map(|task| task.report())).collect(), self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use kernel::nodes::MAX_BYTES;

    use super::{GONE_MAX, LET_GO, TASKS_MAX, Tasks};
    use crate::report::Report;

    fn list(numbers: impl IntoIterator<Item = u16>, text: &str) -> BTreeMap<u16, String> {
        numbers.into_iter().map(|number| (number, text.to_string())).collect()
    }

    fn new(tasks: &mut Tasks, listed: &BTreeMap<u16, String>) -> Vec<u16> {
        tasks.list(listed).iter().map(|task| task.number).collect()
    }

    #[test]
    fn a_task_is_new_once_and_anew_with_another_text() {
        let contract = store::Contract::parse("name=a").unwrap();
        let mut tasks = Tasks::new(&[(1, contract)]);
        assert_eq!(new(&mut tasks, &list([1, 2, 3], "name=*")), [2, 3]);
        assert_eq!(new(&mut tasks, &list([2, 3], "name=*")), []);
        assert_eq!(new(&mut tasks, &list([3, 4], "name=b")), [3, 4]);
        assert_eq!(tasks.all().iter().map(|task| task.number).collect::<Vec<_>>(), [1, 3, 4]);
        let (reports, _) = tasks.reports();
        let gone: Vec<_> = reports.iter().filter(|task| task.ended == LET_GO).map(|task| task.task).collect();
        assert_eq!(gone, [2, 3]);
    }

    #[test]
    fn what_finds_no_room_has_its_turn_when_another_goes() {
        let mut tasks = Tasks::default();
        let most = TASKS_MAX as u16;
        assert_eq!(new(&mut tasks, &list(0..most + 2, "name=*")).len(), TASKS_MAX);
        assert_eq!(new(&mut tasks, &list(1..most + 2, "name=*")), [most]);
        assert_eq!(new(&mut tasks, &list([most + 1], "name=*")), [most + 1]);
    }

    #[test]
    fn however_many_tasks_have_gone_the_report_finds_room_and_counts_them() {
        let mut tasks = Tasks::default();
        for number in 0..1000 {
            for task in tasks.list(&list([number], "name=*")) {
                task.given.set(store::Given { readings: 3, lost: 2, too_many: 1, ..store::Given::default() });
                task.end(&"\u{e9}".repeat(1000));
            }
        }
        tasks.list(&list(2000..2000 + TASKS_MAX as u16, "name=*")).iter().for_each(|task| task.end(&"x".repeat(1000)));
        let (reports, forgotten) = tasks.reports();
        assert_eq!((reports.len(), forgotten.tasks), (GONE_MAX + TASKS_MAX, 1000 - GONE_MAX as u64));
        assert_eq!((forgotten.readings, forgotten.left_out), (3 * forgotten.tasks, 3 * forgotten.tasks));
        let report = Report { tasks: reports, forgotten, ..Report::default() };
        assert!(postcard::to_allocvec(&report).unwrap().len() < MAX_BYTES / 2);
    }
}
