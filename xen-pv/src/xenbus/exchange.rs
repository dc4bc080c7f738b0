//! One exchange with the store: requests that are all under way at once, and their answers.
//!
//! On a CPU that is shared with the store each exchange costs some ten milliseconds, however many requests it has.

use alloc::vec;
use alloc::vec::Vec;

use xen_sys::io::xs_wire::MessageType;

use super::Error;
use super::values::join;
use crate::decimal;
use crate::hypervisor::Hypervisor;
use crate::xenstore::{Client, ErrorKind, Request, Watch};

/// What came of a request: the value of a node that was read. `None` where there is no such node, or it is not for us.
type Answer = Result<Option<Vec<u8>>, Error>;

/// What came of the requests about one device, or the first error.
pub(super) type Outcome = Result<Vec<Option<Vec<u8>>>, Error>;

/// Requests that will leave together.
pub(super) struct Exchange<H: Hypervisor> {
    client: Client<H>,
    requests: Vec<Asked<H>>,
}

struct Asked<H: Hypervisor> {
    request: Request<'static, H>,
    leaf: &'static str,
    /// A node that is not there is an answer, too.
    may_be_missing: bool,
}

impl<H: Hypervisor> Exchange<H> {
    pub(super) fn new(client: Client<H>) -> Self {
        Self { client, requests: Vec::new() }
    }

    fn ask(&mut self, kind: MessageType, directory: &str, leaf: &'static str, value: &[&[u8]]) {
        let may_be_missing = matches!(kind, MessageType::Read | MessageType::Remove | MessageType::Directory);
        let request = self.client.prepare(kind, &join(directory, leaf), value);
        self.requests.push(Asked { request, leaf, may_be_missing });
    }

    pub(super) fn read(&mut self, directory: &str, leaves: &[&'static str]) {
        for leaf in leaves {
            self.ask(MessageType::Read, directory, leaf, &[]);
        }
    }

    pub(super) fn list(&mut self, directory: &str, leaf: &'static str) {
        self.ask(MessageType::Directory, directory, leaf, &[]);
    }

    pub(super) fn write(&mut self, directory: &str, leaf: &'static str, number: u32) {
        self.ask(MessageType::Write, directory, leaf, &[decimal::text(number).as_bytes()]);
    }

    pub(super) fn remove(&mut self, directory: &str, leaf: &'static str) {
        self.ask(MessageType::Remove, directory, leaf, &[]);
    }

    pub(super) fn watch(&mut self, directory: &str, leaf: &'static str, watch: &Watch<H>) {
        self.ask(MessageType::Watch, directory, leaf, &[decimal::text(watch.token()).as_bytes(), b"\0"]);
    }

    /// Number of requests.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Sends the requests and waits for all answers.
    pub(super) async fn answers(self) -> Answers {
        self.client.pump();
        let mut answers = Vec::with_capacity(self.requests.len());
        for Asked { request, leaf, may_be_missing } in self.requests {
            answers.push(match request.await {
                Ok(value) => Ok(Some(value)),
                Err(error) => match error.kind {
                    ErrorKind::NotFound | ErrorKind::Denied if may_be_missing => Ok(None),
                    kind => Err(Error::Store(kind, leaf)),
                },
            });
        }
        Answers(answers.into_iter())
    }
}

/// The answers of an exchange, in the order of its requests.
pub(super) struct Answers(vec::IntoIter<Answer>);

impl Answers {
    /// The next so many, or the first error among them; and how many were done, of which there are some even where
    /// there is an error.
    pub(super) fn take(&mut self, count: usize) -> (Outcome, u32) {
        // All of them are taken, whether there is an error or not: behind them are those of another device.
        let answers: Vec<_> = self.0.by_ref().take(count).collect();
        let done = answers.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count() as u32;
        (answers.into_iter().collect(), done)
    }
}
