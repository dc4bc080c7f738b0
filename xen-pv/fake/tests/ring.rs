//! The ring, front against back.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use xen_pv::memory::Page;
use xen_pv::ring::{BackRing, Broken, Check, FrontRing};
use xen_pv::shared_page::{Shared, SharedPage};
use xen_sys::io::netif::{RxRequest, RxResponse, TxRequest, TxResponse};
use xen_sys::types::{Claimed, GrantRef};

const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 4;
const RSP_PROD: usize = 8;
const RSP_EVENT: usize = 12;
const FIRST_SLOT: usize = 64;

/// Both ends look at the same page.
#[derive(Clone)]
struct Memory(Rc<Page>);

impl Shared for Memory {
    fn shared(&self) -> SharedPage<'_> {
        // SAFETY: the page lives as long as the borrow, and nothing refers into it.
        unsafe { SharedPage::new(self.0.address()) }
    }
}

type Front = FrontRing<RxRequest, RxResponse, Memory>;
type Back = BackRing<RxRequest, RxResponse, Memory>;

fn pair() -> (Front, Back, Memory) {
    let memory = Memory(Rc::new(Page::allocate().expect("memory")));
    let front = Front::new(memory.clone());
    let back = Back::attach(memory.clone());
    (front, back, memory)
}

fn request(id: u16) -> RxRequest {
    RxRequest { id, pad: 0, gref: GrantRef(u32::from(id) + 100) }
}

fn response(id: u16) -> RxResponse {
    RxResponse { id: Claimed::new(id), offset: Claimed::new(1), flags: 2, status: 3 }
}

/// Takes a request and answers it.
fn answer(back: &mut Back) -> u16 {
    assert!(back.requests().expect("whole") > 0);
    let id = back.take().expect("a request").id;
    back.put(response(id));
    id
}

#[test]
fn both_kinds_of_netif_ring_have_256_slots() {
    assert_eq!(Front::SLOTS, 256);
    assert_eq!(FrontRing::<TxRequest, TxResponse, Memory>::SLOTS, 256);
}

#[test]
fn the_page_is_laid_out_as_in_c() {
    let (mut front, mut back, memory) = pair();
    let word = |offset: usize| memory.shared().read::<u32>(offset);
    assert_eq!([word(REQ_PROD), word(REQ_EVENT), word(RSP_PROD), word(RSP_EVENT)], [0, 1, 0, 1]);
    front.put(request(0xabcd));
    assert_eq!(word(REQ_PROD), 0, "nothing is visible before the push");
    assert!(front.push().requested());
    assert_eq!((word(REQ_PROD), word(64), word(68)), (1, 0xabcd, 0xabcd + 100));
    answer(&mut back);
    assert!(back.push().requested());
    assert_eq!((word(RSP_PROD), word(64), word(68)), (1, 0x0001_abcd, 0x0003_0002));
}

#[test]
fn messages_arrive_in_order_across_every_wrap() {
    let (mut front, mut back, _memory) = pair();
    let mut next = 0u16;
    let mut expected = 0u16;
    for round in 0..2000u32 {
        for _ in 0..(round % 257).min(front.room()) {
            front.put(request(next));
            next = next.wrapping_add(1);
        }
        let _ = front.push().requested();
        let waiting = back.requests().expect("whole");
        for _ in 0..waiting {
            answer(&mut back);
        }
        let _ = back.push().requested();
        front.responses().expect("whole");
        while let Some((_, response)) = front.take() {
            assert_eq!(response.id, Claimed::new(expected));
            expected = expected.wrapping_add(1);
        }
    }
    assert_eq!(next, expected);
}

#[test]
fn indices_wrap_at_the_end_of_u32() {
    // A ring that has run for long: a backend before us answered all but the last two of 2^32 requests.
    let memory = Memory(Rc::new(Page::allocate().expect("memory")));
    let start = u32::MAX - 1;
    memory.shared().write(REQ_PROD, start);
    memory.shared().write(RSP_PROD, start);
    let mut back = Back::attach(memory.clone());
    for step in 1..=600u32 {
        memory.shared().write(REQ_PROD, start.wrapping_add(step));
        assert_eq!(back.requests(), Ok(1));
        assert!(back.take().is_some());
        back.put(response(0));
        let _ = back.push().requested();
        assert_eq!(memory.shared().read::<u32>(RSP_PROD), start.wrapping_add(step));
    }
}

#[test]
fn a_slot_is_free_only_once_its_response_was_taken() {
    let (mut front, mut back, _memory) = pair();
    for id in 0..256 {
        front.put(request(id));
    }
    assert_eq!(front.room(), 0);
    let _ = front.push().requested();
    for _ in 0..10 {
        answer(&mut back);
    }
    let _ = back.push().requested();
    assert_eq!(front.room(), 0, "the responses were not taken yet");
    front.responses().expect("whole");
    while front.take().is_some() {}
    assert_eq!(front.room(), 10);
}

#[test]
#[should_panic]
fn putting_into_a_full_ring_is_our_own_bug() {
    let (mut front, _back, _memory) = pair();
    for id in 0..257 {
        front.put(request(id));
    }
}

#[test]
fn a_response_producer_out_of_bounds_is_broken() {
    for (answered, claimed) in [(0, 6), (0, u32::MAX), (0, 0x8000_0000), (3, 2), (3, 6), (3, 3u32.wrapping_sub(256))] {
        let (mut front, mut back, memory) = pair();
        for id in 0..5 {
            front.put(request(id));
        }
        let _ = front.push().requested();
        for _ in 0..answered {
            answer(&mut back);
        }
        let _ = back.push().requested();
        assert_eq!(front.responses(), Ok(answered));
        memory.shared().write(RSP_PROD, claimed);
        assert_eq!(front.responses(), Err(Broken), "{answered} {claimed}");
        assert_eq!(front.final_check(), Err(Broken));
    }
}

#[test]
fn requests_that_were_put_but_not_pushed_cannot_be_answered() {
    let (mut front, _back, memory) = pair();
    front.put(request(0));
    memory.shared().write(RSP_PROD, 1u32);
    assert_eq!(front.responses(), Err(Broken));
}

#[test]
fn a_request_producer_out_of_bounds_is_broken() {
    for claimed in [257, u32::MAX, 0x8000_0000] {
        let (_front, mut back, memory) = pair();
        memory.shared().write(REQ_PROD, claimed);
        assert_eq!(back.requests(), Err(Broken));
    }
}

#[test]
fn a_request_producer_that_goes_backwards_is_broken() {
    // Behind what was seen; behind what was taken; behind what was answered.
    for (taken, answered, claimed) in [(0, 0, 4), (3, 0, 2), (3, 1, 1), (5, 5, 4)] {
        let (mut front, mut back, memory) = pair();
        for id in 0..5 {
            front.put(request(id));
        }
        let _ = front.push().requested();
        assert_eq!(back.requests(), Ok(5));
        (0..taken).for_each(|_| assert!(back.take().is_some()));
        (0..answered).for_each(|id| back.put(response(id)));
        memory.shared().write(REQ_PROD, claimed);
        assert_eq!(back.requests(), Err(Broken), "{taken} {answered} {claimed}");
    }
}

#[test]
fn what_we_wrote_is_never_read_back() {
    let (mut front, mut back, memory) = pair();
    for id in 0..3 {
        front.put(request(id));
    }
    let _ = front.push().requested();
    // The other side scribbles over what is ours.
    memory.shared().write(REQ_PROD, 77u32);
    memory.shared().write(RSP_EVENT, 99u32);
    assert_eq!((front.in_flight(), front.room(), front.next_request()), (3, 253, 3));
    memory.shared().write(REQ_PROD, 3u32);
    answer(&mut back);
    let _ = back.push().requested();
    assert_eq!(front.responses(), Ok(1));
    front.put(request(3));
    let _ = front.push().requested();
    assert_eq!(memory.shared().read::<u32>(REQ_PROD), 4);
}

#[test]
fn only_the_responses_that_were_checked_are_taken() {
    let (mut front, mut back, _memory) = pair();
    front.put(request(0));
    front.put(request(1));
    let _ = front.push().requested();
    answer(&mut back);
    let _ = back.push().requested();
    assert_eq!(front.responses(), Ok(1));
    answer(&mut back);
    let _ = back.push().requested();
    assert!(front.take().is_some());
    assert!(front.take().is_none(), "the second was published after the look at the index");
    assert_eq!(front.responses(), Ok(1));
    assert!(front.take().is_some());
}

#[test]
fn an_event_is_due_exactly_when_the_other_side_asked() {
    let (mut front, mut back, _memory) = pair();
    front.put(request(0));
    assert!(front.push().requested(), "the first is always announced");
    front.put(request(1));
    assert!(!front.push().requested(), "nobody asked again");
    answer(&mut back);
    answer(&mut back);
    assert!(matches!(back.final_check(), Ok(Check::Idle(_))));
    front.put(request(2));
    front.put(request(3));
    assert!(front.push().requested(), "one event for the batch");
    assert!(!front.push().requested(), "nothing new, no event");
}

#[test]
fn the_final_check_finds_what_came_before_the_wish_for_an_event() {
    let (mut front, mut back, _memory) = pair();
    front.put(request(0));
    let _ = front.push().requested();
    assert_eq!(front.responses(), Ok(0));
    answer(&mut back);
    let _ = back.push().requested();
    assert_eq!(front.final_check(), Ok(Check::Work), "it must not sleep");
}

#[test]
fn an_event_can_be_asked_for_after_several_responses() {
    let (mut front, mut back, _memory) = pair();
    for id in 0..8 {
        front.put(request(id));
    }
    let _ = front.push().requested();
    assert!(matches!(front.final_check_after(4), Ok(Check::Idle(_))));
    for number in 1..=8 {
        answer(&mut back);
        assert_eq!(back.push().requested(), number == 4);
    }
}

#[test]
fn no_wake_up_is_lost_in_any_order_of_steps() {
    // Every sequence of eight steps of the two sides; a side that sleeps runs again only after an event.
    for order in 0..1u32 << 16 {
        let (mut front, mut back, _memory) = pair();
        let (mut front_awake, mut back_awake) = (true, true);
        let mut produced = 0;
        let mut answers = VecDeque::new();
        for step in 0..16 {
            if order >> step & 1 == 0 {
                if front_awake {
                    front_awake = front_step(&mut front, &mut produced, &mut back_awake);
                }
            } else if back_awake {
                back_awake = back_step(&mut back, &mut answers, &mut front_awake);
            }
        }
        // From here on both run whenever they are awake: all must be answered.
        for _ in 0..20 {
            if front_awake {
                front_awake = front_step(&mut front, &mut produced, &mut back_awake);
            }
            if back_awake {
                back_awake = back_step(&mut back, &mut answers, &mut front_awake);
            }
        }
        assert_eq!((produced, front.in_flight()), (4, 0), "order {order:#x}");
    }
}

/// One step of a frontend that sends four requests; says whether it stays awake.
fn front_step(front: &mut Front, produced: &mut u16, back_awake: &mut bool) -> bool {
    if *produced < 4 {
        front.put(request(*produced));
        *produced += 1;
        *back_awake |= front.push().requested();
        return true;
    }
    front.responses().expect("whole");
    if front.take().is_some() {
        return true;
    }
    front.final_check().expect("whole") == Check::Work
}

/// One step of a backend that takes requests in one step and answers them in the next; says whether it stays awake.
fn back_step(back: &mut Back, answers: &mut VecDeque<u16>, front_awake: &mut bool) -> bool {
    if let Some(id) = answers.pop_front() {
        back.put(response(id));
        *front_awake |= back.push().requested();
        return true;
    }
    back.requests().expect("whole");
    if let Some(request) = back.take() {
        answers.push_back(request.id);
        return true;
    }
    back.final_check().expect("whole") == Check::Work
}

/// A page whose other side writes to it before each of our looks.
struct Restless<'a> {
    memory: &'a Memory,
    looks: &'a Cell<u32>,
}

impl Shared for Restless<'_> {
    fn shared(&self) -> SharedPage<'_> {
        self.looks.set(self.looks.get() + 1);
        self.memory.shared().write(FIRST_SLOT, self.looks.get());
        self.memory.shared()
    }
}

#[test]
fn a_response_is_copied_out_of_the_page_once() {
    let (memory, looks) = (Memory(Rc::new(Page::allocate().expect("memory"))), Cell::new(0));
    let mut front = FrontRing::<RxRequest, RxResponse, _>::new(Restless { memory: &memory, looks: &looks });
    front.put(request(1));
    let _ = front.push().requested();
    memory.shared().write(RSP_PROD, 1u32);
    assert_eq!(front.responses(), Ok(1));
    let before = looks.get();
    let (_, response) = front.take().expect("a response");
    assert_eq!(looks.get(), before + 1, "one look for one response");
    assert_eq!(response.id, Claimed::new(looks.get() as u16), "it is what was there at that look");
}

#[test]
fn an_index_is_fetched_once_and_judged_as_it_was_then() {
    let memory = Memory(Rc::new(Page::allocate().expect("memory")));
    let (front_looks, back_looks) = (Cell::new(0), Cell::new(0));
    let restless = |looks| Restless { memory: &memory, looks };
    let mut front = FrontRing::<RxRequest, RxResponse, _>::new(restless(&front_looks));
    let mut back = BackRing::<RxRequest, RxResponse, _>::attach(restless(&back_looks));
    front.put(request(1));
    let _ = front.push().requested();
    let before = back_looks.get();
    assert_eq!((back.requests(), back_looks.get()), (Ok(1), before + 1));
    let _ = back.take();
    back.put(response(1));
    let _ = back.push().requested();
    let before = front_looks.get();
    assert_eq!((front.responses(), front_looks.get()), (Ok(1), before + 1));
    let _ = front.take();
    // Asks for an event, and looks once.
    let (front_before, back_before) = (front_looks.get(), back_looks.get());
    assert!(matches!(front.final_check(), Ok(Check::Idle(_))) && matches!(back.final_check(), Ok(Check::Idle(_))));
    assert_eq!((front_looks.get(), back_looks.get()), (front_before + 2, back_before + 2));
}
