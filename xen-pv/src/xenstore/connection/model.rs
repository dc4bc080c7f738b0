//! The two byte rings between two CPUs that reorder accesses to memory.

use core::mem::{offset_of, size_of};
use core::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::vec::Vec;

use loom::thread;
use xen_sys::io::xs_wire::{DomainInterface, MessageHeader, MessageType, RING_SIZE};

use super::Connection;
use crate::shared_page::SharedMemory;
use crate::shared_page::model::{ModelMemory, Without, check, fails};

const REQ: usize = offset_of!(DomainInterface, req);
const RSP: usize = offset_of!(DomainInterface, rsp);
const REQ_CONS: usize = offset_of!(DomainInterface, req_cons);
const REQ_PROD: usize = offset_of!(DomainInterface, req_prod);
const RSP_CONS: usize = offset_of!(DomainInterface, rsp_cons);
const RSP_PROD: usize = offset_of!(DomainInterface, rsp_prod);
const HEADER: usize = size_of::<MessageHeader>();
const FULL: u32 = RING_SIZE as u32;
const FIRST: u32 = HEADER as u32;

/// A page with these indices, of which the store has written as much as they say.
fn page(req_prod: u32, rsp_prod: u32) -> ModelMemory {
    let words = [(REQ_CONS, 0), (REQ_PROD, req_prod), (RSP_CONS, 0), (RSP_PROD, rsp_prod)];
    let rest = RING_SIZE - HEADER;
    ModelMemory::new(&words, &[(REQ, HEADER), (REQ + HEADER, rest), (RSP, HEADER), (RSP + HEADER, rest)])
}

/// The header of a reply to nothing that was asked for, with nothing else or as much as fills the ring behind another.
fn reply(length: usize) -> Vec<u8> {
    let words = [MessageType::Read as u32, 99, 0, length as u32];
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(core::iter::repeat_n(0, length)).collect()
}

/// The store reads a request as soon as it sees one.
fn request(without: Without) {
    let page = page(0, 0);
    let mut connection = Connection::new(page.without(without));
    let store = thread::spawn(move || {
        let produced: u32 = page.read(REQ_PROD);
        page.fence(Acquire);
        if produced > 0 {
            let mut bytes = [0; HEADER];
            page.read_bytes(REQ, &mut bytes);
            assert_eq!(bytes[..4], (MessageType::TransactionStart as u32).to_ne_bytes());
        }
    });
    connection.request(MessageType::TransactionStart, 0, &[], false).expect("short");
    assert!(connection.pump());
    store.join().expect("no fault");
}

/// The store takes the first bytes of a full ring while the guest waits for room.
fn room(without: Without) {
    let page = page(FULL, 0);
    let mut connection = Connection::new(page.without(without));
    let store = thread::spawn(move || {
        page.read_bytes(REQ, &mut [0; HEADER]);
        page.fence(Release);
        page.write(REQ_CONS, FIRST);
    });
    connection.request(MessageType::TransactionStart, 0, &[], false).expect("short");
    let _ = connection.pump();
    store.join().expect("no fault");
}

/// The store fills the ring behind a message that the guest takes, and sleeps when it finds no room for more.
fn reply_behind_a_reply(without: Without) {
    let page = page(0, FIRST);
    page.write_bytes(RSP, &reply(0));
    let mut connection = Connection::new(page.without(without));
    let store = thread::spawn(move || {
        page.write_bytes(RSP + HEADER, &reply(RING_SIZE - 2 * HEADER));
        page.fence(Release);
        page.write(RSP_PROD, FULL);
        page.fence(SeqCst);
        let room = page.read::<u32>(RSP_CONS) > 0;
        page.fence(Acquire);
        if room {
            page.write_bytes(RSP, &reply(0));
        }
        !room
    });
    let told = connection.pump();
    assert!(told || !store.join().expect("no fault"), "the store sleeps, and there is room");
}

#[test]
fn a_message_is_whole_on_the_other_cpu_and_its_place_is_free_when_it_is_used_again() {
    check(|| request(None));
    check(|| room(None));
}

#[test]
fn a_store_that_sleeps_because_the_ring_is_full_is_told_of_room() {
    check(|| reply_behind_a_reply(None));
}

#[test]
fn every_fence_of_the_page_is_needed() {
    assert!(fails(|| request(Some(Release))), "a request that is not whole");
    assert!(fails(|| room(Some(Acquire))), "a request over what the store has not read");
    assert!(fails(|| reply_behind_a_reply(Some(Acquire))), "a reply that is not whole");
    assert!(fails(|| reply_behind_a_reply(Some(Release))), "a reply over what was not read");
    assert!(fails(|| reply_behind_a_reply(Some(SeqCst))), "a store that is not told");
}
