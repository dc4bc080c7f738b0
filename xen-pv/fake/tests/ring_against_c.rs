//! The ring against the macros of Xen's `io/ring.h`, as the C compiler makes them: the same random operations on both
//! must have the same outcomes and leave the same page after every step, also where the indices wrap.

#[path = "../../sys/tests/c/mod.rs"]
mod c;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use xen_fake::random::Random;
use xen_pv::memory::{PAGE_SIZE, Page};
use xen_pv::ring::{BackRing, Broken, Check, FrontRing};
use xen_pv::shared_page::{Shared, SharedPage};
use xen_sys::io::netif::{RxRequest, RxResponse, TxRequest, TxResponse};
use zerocopy::{FromBytes, IntoBytes};

/// Offsets of the indices in the page.
const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 4;
const RSP_PROD: usize = 8;
const RSP_EVENT: usize = 12;

const SEQUENCES: u64 = 12;
const STEPS: usize = 1600;

/// A message as the words that it consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(transparent)]
struct Words<const COUNT: usize>([u32; COUNT]);

/// What is done to both rings; the numbers are those of `enum kind` in ring_against_c.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Init,
    Attach,
    FrontPut,
    FrontPush,
    FrontRoom,
    FrontResponses,
    FrontTake,
    FrontFinalCheck,
    FrontWaitFor,
    FrontOverflow,
    BackRequests,
    BackTake,
    BackPut,
    BackPush,
    BackFinalCheck,
    BackOverflow,
}

impl Operation {
    /// What follows the start of a sequence. Messages move more often than anything else happens, so that every
    /// sequence goes around the ring.
    const STEPS: [Self; 26] = [
        Self::FrontPut,
        Self::FrontPut,
        Self::FrontPut,
        Self::FrontPut,
        Self::FrontPush,
        Self::FrontRoom,
        Self::FrontResponses,
        Self::FrontTake,
        Self::FrontTake,
        Self::FrontTake,
        Self::FrontTake,
        Self::FrontFinalCheck,
        Self::FrontWaitFor,
        Self::FrontOverflow,
        Self::BackRequests,
        Self::BackTake,
        Self::BackTake,
        Self::BackTake,
        Self::BackTake,
        Self::BackPut,
        Self::BackPut,
        Self::BackPut,
        Self::BackPut,
        Self::BackPush,
        Self::BackFinalCheck,
        Self::BackOverflow,
    ];
}

/// An operation and what it works with.
#[derive(Debug, Clone, Copy)]
struct Step {
    operation: Operation,
    number: u32,
    message: [u32; 3],
}

impl Step {
    fn bytes(&self) -> Vec<u8> {
        let words = [self.operation as u32, self.number].into_iter().chain(self.message);
        words.flat_map(u32::to_ne_bytes).collect()
    }
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    number: u32,
    message: [u32; 3],
    page: Vec<u8>,
}

impl Outcome {
    const BYTES: usize = 16 + PAGE_SIZE;

    fn from_bytes(bytes: &[u8]) -> Self {
        let word = |index: usize| u32::from_ne_bytes(bytes[index * 4..][..4].try_into().expect("four bytes"));
        Self { number: word(0), message: [word(1), word(2), word(3)], page: bytes[16..].to_vec() }
    }
}

#[derive(Clone)]
struct Memory(Rc<Page>);

impl Shared for Memory {
    fn shared(&self) -> SharedPage<'_> {
        // SAFETY: the page lives as long as the borrow, and nothing refers into it.
        unsafe { SharedPage::new(self.0.address()) }
    }
}

/// How many messages have come how far, since the start of a sequence.
#[derive(Default)]
struct Counts {
    requests_put: u32,
    requests_pushed: u32,
    requests_seen: u32,
    requests_taken: u32,
    responses_put: u32,
    responses_pushed: u32,
    responses_seen: u32,
    responses_taken: u32,
}

/// Both ends of one of our rings.
struct Ours<const REQUEST: usize, const RESPONSE: usize> {
    front: FrontRing<Words<REQUEST>, Words<RESPONSE>, Memory>,
    back: BackRing<Words<REQUEST>, Words<RESPONSE>, Memory>,
    memory: Memory,
    counts: Counts,
    start: u32,
}

impl<const REQUEST: usize, const RESPONSE: usize> Ours<REQUEST, RESPONSE> {
    const SLOTS: u32 = FrontRing::<Words<REQUEST>, Words<RESPONSE>, Memory>::SLOTS;

    /// A ring as it is made, or, at `start`, one that has run for long.
    fn new(start: Option<u32>) -> Self {
        let memory = Memory(Rc::new(Page::allocate().expect("memory")));
        let front = match start {
            None => FrontRing::new(memory.clone()),
            Some(index) => {
                let next = index.wrapping_add(1);
                for (offset, value) in [(REQ_PROD, index), (RSP_PROD, index), (REQ_EVENT, next), (RSP_EVENT, next)] {
                    memory.shared().write(offset, value);
                }
                FrontRing::attach(memory.clone(), index)
            }
        };
        let back = BackRing::attach(memory.clone());
        Self { front, back, memory, counts: Counts::default(), start: start.unwrap_or(0) }
    }

    /// A random step that makes sense now; the macros leave it to their caller to know what does.
    fn choose(&self, random: &mut Random) -> Step {
        let counts = &self.counts;
        loop {
            let operation = Operation::STEPS[random.below(Operation::STEPS.len() as u32) as usize];
            let sensible = match operation {
                Operation::FrontPut => counts.requests_put - counts.responses_taken < Self::SLOTS,
                Operation::FrontTake => counts.responses_seen > counts.responses_taken,
                // The macros ask for no event when they find something at once. Ours are for who has found nothing, and
                // ask in any case.
                Operation::FrontFinalCheck => counts.responses_pushed == counts.responses_taken,
                Operation::BackFinalCheck => counts.requests_pushed == counts.requests_taken,
                Operation::BackTake => counts.requests_seen > counts.requests_taken,
                Operation::BackPut => counts.requests_taken > counts.responses_put,
                _ => true,
            };
            if sensible {
                let message = [random.next(), random.next(), random.next()];
                return Step { operation, number: self.number(operation, random), message };
            }
        }
    }

    /// How many responses to wait for, or a producer that is right or far too large.
    fn number(&self, operation: Operation, random: &mut Random) -> u32 {
        let beyond = Self::SLOTS + 1 + (random.next() >> 1);
        let (right, wrong) = match operation {
            Operation::FrontWaitFor => return 1 + random.below(Self::SLOTS),
            Operation::FrontOverflow => (self.counts.responses_pushed, self.counts.responses_taken + beyond),
            Operation::BackOverflow => (self.counts.requests_pushed, self.counts.responses_put + beyond),
            _ => (0, 0),
        };
        self.start.wrapping_add(if random.below(2) == 0 { right } else { wrong })
    }

    fn run(&mut self, step: Step) -> Outcome {
        let mut message = [0; 3];
        let number = match step.operation {
            Operation::Init | Operation::Attach => Self::SLOTS,
            operation if (operation as u32) < Operation::BackRequests as u32 => self.front_end(step, &mut message),
            _ => self.back_end(step, &mut message),
        };
        let mut page = vec![0; PAGE_SIZE];
        self.memory.shared().read_bytes(0, &mut page);
        Outcome { number, message, page }
    }

    fn front_end(&mut self, step: Step, message: &mut [u32; 3]) -> u32 {
        let Self { front, counts, .. } = self;
        match step.operation {
            Operation::FrontPut => {
                front.put(Words(*step.message.first_chunk().expect("a request")));
                counts.requests_put += 1;
                0
            }
            Operation::FrontPush => {
                counts.requests_pushed = counts.requests_put;
                front.push().requested().into()
            }
            Operation::FrontRoom => front.room(),
            Operation::FrontTake => {
                let (index, Words(response)) = front.take().expect("a response was seen");
                message[..RESPONSE].copy_from_slice(&response);
                counts.responses_taken += 1;
                index
            }
            Operation::FrontOverflow => {
                let right = self.memory.shared().read::<u32>(RSP_PROD);
                self.memory.shared().write(RSP_PROD, step.number);
                let outcome = front.responses();
                self.memory.shared().write(RSP_PROD, right);
                counts.responses_seen = if outcome.is_ok() { counts.responses_pushed } else { counts.responses_seen };
                u32::from(outcome == Err(Broken))
            }
            Operation::FrontResponses => {
                counts.responses_seen = counts.responses_pushed;
                front.responses().expect("whole")
            }
            Operation::FrontFinalCheck => {
                counts.responses_seen = counts.responses_pushed;
                u32::from(front.final_check() == Ok(Check::Work))
            }
            _ => {
                counts.responses_seen = counts.responses_pushed;
                u32::from(front.final_check_after(step.number) == Ok(Check::Work))
            }
        }
    }

    fn back_end(&mut self, step: Step, message: &mut [u32; 3]) -> u32 {
        let Self { back, counts, .. } = self;
        match step.operation {
            Operation::BackPut => {
                back.put(Words(*step.message.first_chunk().expect("a response")));
                counts.responses_put += 1;
                0
            }
            Operation::BackPush => {
                counts.responses_pushed = counts.responses_put;
                back.push().requested().into()
            }
            Operation::BackTake => {
                let Words(request) = back.take().expect("a request was seen");
                message[..REQUEST].copy_from_slice(&request);
                counts.requests_taken += 1;
                0
            }
            Operation::BackOverflow => {
                let right = self.memory.shared().read::<u32>(REQ_PROD);
                self.memory.shared().write(REQ_PROD, step.number);
                let outcome = back.requests();
                self.memory.shared().write(REQ_PROD, right);
                counts.requests_seen = if outcome.is_ok() { counts.requests_pushed } else { counts.requests_seen };
                u32::from(outcome == Err(Broken))
            }
            Operation::BackRequests => {
                counts.requests_seen = counts.requests_pushed;
                back.requests().expect("whole")
            }
            _ => {
                counts.requests_seen = counts.requests_pushed;
                u32::from(back.final_check() == Ok(Check::Work))
            }
        }
    }
}

/// Runs the steps on C's ring.
fn run_c(binary: &Path, kind: &str, steps: &[Step]) -> Vec<Outcome> {
    let input = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ring_{kind}.steps"));
    let bytes: Vec<u8> = steps.iter().flat_map(Step::bytes).collect();
    std::fs::write(&input, bytes).expect("the test's directory is writable");
    let output = Command::new(binary).stdin(File::open(&input).expect("just written")).output().expect("it runs");
    assert!(output.status.success());
    output.stdout.chunks(Outcome::BYTES).map(Outcome::from_bytes).collect()
}

/// Where a sequence starts: as a new ring, shortly before an index wraps or changes its sign, or anywhere.
fn start(sequence: u64, random: &mut Random) -> Option<u32> {
    match sequence % 4 {
        0 => None,
        1 => Some(u32::MAX - random.below(100)),
        2 => Some((i32::MAX as u32).wrapping_sub(random.below(100))),
        _ => Some(random.next()),
    }
}

/// Runs all sequences on both and compares outcome by outcome; returns how often each operation was done.
fn compare<const REQUEST: usize, const RESPONSE: usize>(kind: &str) -> [usize; Operation::BackOverflow as usize + 1] {
    let define = format!("-DKIND={kind}");
    let binary = c::compile(&format!("ring_{kind}"), include_str!("ring_against_c.c"), &[&define]);
    let mut done = [0; Operation::BackOverflow as usize + 1];
    for sequence in 0..SEQUENCES {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(sequence + 1));
        let start = start(sequence, &mut random);
        let mut ours = Ours::<REQUEST, RESPONSE>::new(start);
        let operation = start.map_or(Operation::Init, |_| Operation::Attach);
        let mut steps = vec![Step { operation, number: start.unwrap_or(0), message: [0; 3] }];
        let mut outcomes = vec![ours.run(steps[0])];
        for _ in 0..STEPS {
            let step = ours.choose(&mut random);
            outcomes.push(ours.run(step));
            steps.push(step);
        }
        let theirs = run_c(&binary, kind, &steps);
        assert_eq!(theirs.len(), outcomes.len());
        for (index, (ours, theirs)) in outcomes.iter().zip(&theirs).enumerate() {
            let at = format!("{kind}, sequence {sequence} from {start:?}, step {index}: {:?}", steps[index]);
            assert_eq!((ours.number, ours.message), (theirs.number, theirs.message), "{at}");
            assert!(ours.page == theirs.page, "the pages differ. {at}");
        }
        assert!(ours.counts.responses_taken > 200, "the sequence does not come far");
        steps.iter().for_each(|step| done[step.operation as usize] += 1);
    }
    done
}

#[test]
fn every_step_has_the_outcome_and_leaves_the_page_of_xens_macros() {
    assert_eq!((size_of::<TxRequest>(), size_of::<TxResponse>()), (12, 4));
    assert_eq!((size_of::<RxRequest>(), size_of::<RxResponse>()), (8, 8));
    for done in [compare::<3, 1>("netif_tx"), compare::<2, 2>("netif_rx")] {
        assert!(done.iter().all(|count| *count >= 3), "hardly anything was compared: {done:?}");
    }
}
