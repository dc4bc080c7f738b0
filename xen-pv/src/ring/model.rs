//! The ring between two CPUs that reorder accesses to memory.

use core::mem::size_of;
use core::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::vec::Vec;

use loom::thread;
use xen_sys::io::ring::RingHeader;

use super::{BackRing, Check, FrontRing, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD};
use crate::shared_page::SharedMemory;
use crate::shared_page::model::{ModelMemory, Without, check, fails};

type Front = FrontRing<u32, u32, ModelMemory>;
type Back = BackRing<u32, u32, ModelMemory>;

const FIRST_SLOT: usize = size_of::<RingHeader>();
const SECOND_SLOT: usize = FIRST_SLOT + size_of::<u32>();
/// A buffer that the messages are about. The last words of the page stand for a page of its own.
const BUFFER: usize = 4088;

/// Both ends of a ring, and both views of its page and the buffer.
fn pair(front_without: Without, back_without: Without) -> ((Front, ModelMemory), (Back, ModelMemory)) {
    let words = [REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT].map(|offset| (offset, 0));
    let memory = ModelMemory::new(&words, &[FIRST_SLOT, SECOND_SLOT, BUFFER].map(|offset| (offset, 4)));
    let (front, back) = (memory.without(front_without), memory.without(back_without));
    ((Front::new(front.clone()), front), (Back::attach(back.clone()), back))
}

/// A buffer goes back and forth, as far as each side comes: the frontend writes to it, the backend reads it, and
/// writes.
fn buffer(front_without: Without, back_without: Without) {
    let ((mut front, front_view), (mut back, back_view)) = pair(front_without, back_without);
    let backend = thread::spawn(move || {
        for number in 0..2 {
            if back.requests().expect("whole") == 0 {
                return;
            }
            assert_eq!(back.take(), Some(number));
            assert_eq!(back_view.read::<u32>(BUFFER), number);
            back_view.write(BUFFER, number + 10);
            back.put(number);
            let _ = back.push();
        }
    });
    for number in 0..2 {
        front_view.write(BUFFER, number);
        front.put(number);
        let _ = front.push();
        if front.responses().expect("whole") == 0 {
            break;
        }
        assert_eq!(front.take(), Some((number, number)));
        assert_eq!(front_view.read::<u32>(BUFFER), number + 10);
    }
    backend.join().expect("no fault");
}

/// A ring whose first request was answered, and both sides have seen that.
fn used(front_without: Without, back_without: Without) -> (Front, Back) {
    let ((mut front, _), (mut back, _)) = pair(front_without, back_without);
    front.put(0);
    let _ = front.push();
    assert_eq!((back.requests(), back.take()), (Ok(1), Some(0)));
    back.put(0);
    let _ = back.push();
    assert_eq!((front.responses(), front.take()), (Ok(1), Some((0, 0))));
    (front, back)
}

/// A request is pushed while the backend goes to sleep: it finds the request, or is told of it.
fn sleep_of_the_backend(front_without: Without, back_without: Without) {
    let (mut front, mut back) = used(front_without, back_without);
    let backend = thread::spawn(move || back.final_check().expect("whole") == Check::Work);
    front.put(1);
    let told = front.push().requested();
    assert!(backend.join().expect("no fault") || told, "a request that nobody looks for");
}

/// The same the other way round.
fn sleep_of_the_frontend(front_without: Without, back_without: Without) {
    let (mut front, mut back) = used(front_without, back_without);
    front.put(1);
    let _ = front.push();
    assert_eq!((back.requests(), back.take()), (Ok(1), Some(1)));
    back.put(1);
    let backend = thread::spawn(move || back.push().requested());
    let found = front.final_check().expect("whole") == Check::Work;
    assert!(backend.join().expect("no fault") || found, "a response that nobody looks for");
}

#[test]
fn what_a_message_says_is_there_on_the_other_cpu_and_nothing_is_used_again_too_early() {
    check(|| buffer(None, None));
}

#[test]
fn who_goes_to_sleep_while_the_other_cpu_pushes_finds_the_message_or_is_told() {
    check(|| sleep_of_the_backend(None, None));
    check(|| sleep_of_the_frontend(None, None));
}

#[test]
fn every_fence_of_a_ring_is_needed() {
    let mut needless = Vec::new();
    let models = [
        (Release, buffer as fn(Without, Without)),
        (Acquire, buffer),
        (SeqCst, sleep_of_the_backend),
        (SeqCst, sleep_of_the_frontend),
    ];
    for (ordering, model) in models {
        for (front, back) in [(Some(ordering), None), (None, Some(ordering))] {
            if !fails(move || model(front, back)) {
                needless.push((front, back));
            }
        }
    }
    assert!(needless.is_empty(), "no model fails without these fences of the frontend or the backend: {needless:?}");
}
