//! What the store says to its client.

use std::cell::RefCell;
use std::mem::offset_of;
use std::rc::Rc;

use xen_fake::{FakeXen, Machine};
use xen_pv::xenstore::{Error, ErrorKind, Watch};
use xen_sys::io::xs_wire::{DomainInterface, MessageType};

use crate::input::Input;

/// Turns after one message of the store; what one message causes is bounded.
const TURNS_MAX: usize = 50;

/// The words that the store writes at any time.
const WORDS: [usize; 3] = [
    offset_of!(DomainInterface, req_cons),
    offset_of!(DomainInterface, rsp_prod),
    offset_of!(DomainInterface, connection),
];

const KINDS: [MessageType; 8] = [
    MessageType::Read,
    MessageType::Directory,
    MessageType::GetPermissions,
    MessageType::TransactionStart,
    MessageType::TransactionEnd,
    MessageType::Watch,
    MessageType::WatchEvent,
    MessageType::Error,
];

type Outcomes = Rc<RefCell<Vec<Result<(), Error>>>>;

/// A guest that uses the store.
struct User {
    machine: Machine,
    /// Requests made, and what came of those that are over.
    made: usize,
    outcomes: Outcomes,
    watches: Rc<RefCell<Vec<Watch<FakeXen>>>>,
}

impl User {
    /// A guest whose store can start anew, or cannot.
    fn new(reconnects: bool) -> Self {
        let mut machine = Machine::new();
        machine.store.paused = true;
        if reconnects {
            machine.store.offer_reconnection();
        }
        Self { machine, made: 0, outcomes: Rc::default(), watches: Rc::default() }
    }

    /// Makes a request.
    fn ask(&mut self, kind: usize) {
        let (client, outcomes) = (self.machine.client, Rc::clone(&self.outcomes));
        let watches = Rc::clone(&self.watches);
        self.made += 1;
        self.machine.tasks.spawn(async move {
            let outcome = match kind {
                0 => client.read("data/x").await.map(drop),
                1 => client.read_text("data/x").await.map(drop),
                2 => client.list("data").await.map(drop),
                3 => client.permissions("data").await.map(drop),
                4 => client.write("data/y", &[0x55; 3000]).await.map(drop),
                5 => {
                    let body = async |transaction: &xen_pv::xenstore::Transaction<FakeXen>| {
                        transaction.read("data/x").await.map(drop)
                    };
                    client.transact(body).await
                }
                _ => client.watch("data").await.map(|watch| watches.borrow_mut().push(watch)),
            };
            outcomes.borrow_mut().push(outcome);
        });
    }

    /// One thing that the store does, or the guest.
    fn step(&mut self, input: &mut Input<'_>) {
        let store = &mut self.machine.store;
        match input.below(8) {
            0 | 1 => self.ask(input.below(7)),
            2 | 3 => {
                // Most numbers of requests are small.
                let id = input.byte().into();
                let kind = input.choose(&KINDS) as u32;
                store.inject(kind, id, input.piece());
            }
            4 => store.inject(input.long(), input.long(), input.piece()),
            5 => {
                let bytes = input.piece();
                store.inject_bytes(bytes);
            }
            6 => {
                let (word, near) = (input.choose(&WORDS), input.byte() & 1 == 0);
                let value = if near { input.word().into() } else { input.long() };
                store.overwrite_index(word, value);
            }
            _ => drop(self.watches.borrow_mut().pop()),
        }
        self.machine.settle_within(TURNS_MAX);
    }

    /// The store breaks the connection, so that nothing hangs on what it has said, and starts anew, or not at all.
    fn turn_sane(&mut self, reconnects: bool) {
        // One of them is out of bounds, wherever the guest is.
        for rsp_prod in [0x4000_0000, 0xc000_0000] {
            self.machine.store.overwrite_index(offset_of!(DomainInterface, rsp_prod), rsp_prod);
            self.machine.settle_within(TURNS_MAX);
        }
        if reconnects {
            self.machine.store.start_anew();
        }
        self.machine.settle();
    }
}

/// Has the store do what the bytes say; afterwards it starts anew and must be of use, or is gone and every request fails.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let reconnects = input.byte() & 1 == 0;
    let mut user = User::new(reconnects);
    while !input.is_empty() {
        user.step(&mut input);
    }
    user.turn_sane(reconnects);
    let client = user.machine.client;
    let outcome = user.machine.run(async move {
        client.write("data/after", b"still here").await?;
        client.read_text("data/after").await
    });
    assert_eq!(user.outcomes.borrow().len(), user.made, "a request waits for ever");
    match outcome {
        Ok(text) => assert_eq!(text, "still here"),
        Err(error) => assert!(!reconnects && error.kind == ErrorKind::Disconnected, "{error:?}"),
    }
}
