//! The shared ring, both sides: requests go from the frontend to the backend, responses come back in the same slots.
//!
//! Implements the macros of `xen/include/public/io/ring.h`. Each side keeps its own indices in private memory and never
//! reads them back from the page; the other side's producer index is read once, checked, and then trusted. Indices run
//! freely over all of `u32`; a slot is an index modulo the number of slots.
//!
//! A producer writes a batch: `put` ..., then `push`, whose [`Notify`] says whether the other side asked for an event.
//! A consumer that finds nothing calls `final_check`, which asks for an event and looks once more; only its [`Idle`]
//! allows to sleep.
//!
//! All fences order accesses between CPUs: the other domain runs on another one at the same time. On x86 only the
//! strongest costs an instruction, `mfence`. On ARM each is a `dmb ish`: inner shareable, as all memory that Xen's
//! domains share. The weaker `dmb ishst` would not do before an index is published, because it orders writes only: a
//! buffer that goes back to the other side must also have been read by then.

use core::marker::PhantomData;
use core::mem::{offset_of, size_of};
use core::sync::atomic::Ordering;

use xen_sys::io::ring::{RingHeader, slots};

use crate::memory::PAGE_SIZE;
use crate::shared_page::{Plain, SharedMemory};

#[cfg(test)]
mod model;

/// The other side's producer index claims more than can be there, or went backwards. The ring cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// Whether the other side asked to be told of what was just pushed.
///
/// Only a push makes one that is due, and leaving it unused is an error where warnings are:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// fn forget<M: xen_pv::shared_page::SharedMemory>(ring: &mut xen_pv::ring::FrontRing<u32, u32, M>) {
///     ring.push();
/// }
/// ```
#[must_use = "the other side sleeps until it is notified"]
#[derive(Debug, PartialEq, Eq)]
pub struct Notify(bool);

impl Notify {
    /// Nothing was pushed.
    pub const NO: Self = Self(false);

    /// One event for two rings that share a channel.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether an event is due; asking consumes the duty to send it.
    #[must_use]
    pub fn requested(self) -> bool {
        self.0
    }
}

/// The proof that nothing was waiting after an event had been asked for: whoever holds it may sleep until the event.
///
/// Only a final check makes one:
///
/// ```compile_fail,E0603
/// let proof = xen_pv::ring::Idle(());
/// ```
#[must_use = "this is the permission to sleep"]
#[derive(Debug, PartialEq, Eq)]
pub struct Idle(());

/// What a final check found.
#[derive(Debug, PartialEq, Eq)]
pub enum Check {
    /// There is more to consume.
    Work,
    /// There is nothing, and the other side will send an event for the next message.
    Idle(Idle),
}

const REQ_PROD: usize = offset_of!(RingHeader, req_prod);
const REQ_EVENT: usize = offset_of!(RingHeader, req_event);
const RSP_PROD: usize = offset_of!(RingHeader, rsp_prod);
const RSP_EVENT: usize = offset_of!(RingHeader, rsp_event);

/// Size of the larger message, which is the size of a slot.
const fn slot_size<Request, Response>() -> usize {
    if size_of::<Request>() > size_of::<Response>() { size_of::<Request>() } else { size_of::<Response>() }
}

/// Where the slot of `index` starts in the page.
fn slot_at<Request, Response>(index: u32) -> usize {
    let slot = index % slots(PAGE_SIZE, slot_size::<Request, Response>());
    size_of::<RingHeader>() + slot as usize * slot_size::<Request, Response>()
}

/// Publishes a producer index; `event_at` is where the consumer writes from which index on it wants an event.
fn publish(memory: &impl SharedMemory, producer_at: usize, event_at: usize, old: u32, new: u32) -> Notify {
    if old == new {
        return Notify::NO;
    }
    // The other side sees the messages before it sees the index that covers them.
    memory.fence(Ordering::Release);
    memory.write(producer_at, new);
    // The other side sees the index before we read its event index. It writes its event index before it reads our index
    // again (in `check`), so at least one of the two sees the other's write and no message is left lying.
    memory.fence(Ordering::SeqCst);
    let event: u32 = memory.read(event_at);
    Notify(new.wrapping_sub(event) < new.wrapping_sub(old))
}

/// Asks for an event when the producer passes `event`.
fn ask(memory: &impl SharedMemory, event_at: usize, event: u32) {
    memory.write(event_at, event);
    // Our wish is visible before we read the producer index again; see `publish`.
    memory.fence(Ordering::SeqCst);
}

/// The frontend's side of a ring in one page.
#[derive(Debug)]
pub struct FrontRing<Request, Response, Memory> {
    memory: Memory,
    /// Requests put so far, some of which may not be pushed yet.
    req_prod_pvt: u32,
    /// Requests pushed so far: the private copy of `req_prod`.
    req_prod: u32,
    /// Responses taken so far.
    rsp_cons: u32,
    /// The last checked value of the backend's `rsp_prod`.
    rsp_prod: u32,
    messages: PhantomData<(Request, Response)>,
}

impl<Request: Plain, Response: Plain, Memory: SharedMemory> FrontRing<Request, Response, Memory> {
    /// Number of slots.
    pub const SLOTS: u32 = slots(PAGE_SIZE, slot_size::<Request, Response>());

    /// A new ring in the page that `memory` keeps.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        memory.write(REQ_PROD, 0u32);
        memory.write(RSP_PROD, 0u32);
        // As SHARED_RING_INIT has it: each side wants an event for the first message.
        memory.write(REQ_EVENT, 1u32);
        memory.write(RSP_EVENT, 1u32);
        Self::attach(memory, 0)
    }

    /// Takes up the ring in the page that `memory` keeps, in which every request before `index` has its answer and none
    /// follows: `FRONT_RING_ATTACH`.
    #[must_use]
    pub fn attach(memory: Memory, index: u32) -> Self {
        Self { memory, req_prod_pvt: index, req_prod: index, rsp_cons: index, rsp_prod: index, messages: PhantomData }
    }

    /// Requests that can be put now.
    #[must_use]
    pub fn room(&self) -> u32 {
        Self::SLOTS - self.in_flight()
    }

    /// Requests that were put and whose response was not taken yet.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.req_prod_pvt.wrapping_sub(self.rsp_cons)
    }

    /// The index that the next request will have.
    #[must_use]
    pub fn next_request(&self) -> u32 {
        self.req_prod_pvt
    }

    /// Puts a request into the next slot; `push` makes it visible.
    ///
    /// # Panics
    /// When there is no [`room`](Self::room).
    pub fn put(&mut self, request: Request) {
        self.put_as(request);
    }

    /// Puts another kind of message into the next slot, for protocols in which a request says that one follows.
    ///
    /// # Panics
    /// When there is no [`room`](Self::room).
    pub fn put_as<Other: Plain>(&mut self, message: Other) {
        const { assert!(size_of::<Other>() <= slot_size::<Request, Response>()) };
        assert!(self.room() > 0);
        self.memory.write(slot_at::<Request, Response>(self.req_prod_pvt), message);
        self.req_prod_pvt = self.req_prod_pvt.wrapping_add(1);
    }

    /// Makes all that was put visible to the backend.
    pub fn push(&mut self) -> Notify {
        let old = self.req_prod;
        self.req_prod = self.req_prod_pvt;
        publish(&self.memory, REQ_PROD, REQ_EVENT, old, self.req_prod)
    }

    /// Reads the backend's producer index once and says how many responses wait.
    ///
    /// # Errors
    /// [`Broken`] when the index went backwards or beyond the requests that were pushed.
    pub fn responses(&mut self) -> Result<u32, Broken> {
        let claimed: u32 = self.memory.read(RSP_PROD);
        // Both distances are taken from what we consumed, so that they can be compared across the wrap of the indices.
        let waiting = claimed.wrapping_sub(self.rsp_cons);
        let seen = self.rsp_prod.wrapping_sub(self.rsp_cons);
        let pushed = self.req_prod.wrapping_sub(self.rsp_cons);
        if waiting > pushed || waiting < seen {
            return Err(Broken);
        }
        self.rsp_prod = claimed;
        // No response is read before the index that covers it.
        self.memory.fence(Ordering::Acquire);
        Ok(waiting)
    }

    /// Copies the next response out if the last [`responses`](Self::responses) covered it, with the index of its slot.
    pub fn take(&mut self) -> Option<(u32, Response)> {
        let index = self.rsp_cons;
        if index == self.rsp_prod {
            return None;
        }
        self.rsp_cons = index.wrapping_add(1);
        Some((index, self.memory.read(slot_at::<Request, Response>(index))))
    }

    /// The same slot as another kind of message, for protocols in which a response says that one follows.
    pub fn take_as<Other: Plain>(&mut self) -> Option<(u32, Other)> {
        const { assert!(size_of::<Other>() <= slot_size::<Request, Response>()) };
        let index = self.rsp_cons;
        if index == self.rsp_prod {
            return None;
        }
        self.rsp_cons = index.wrapping_add(1);
        Some((index, self.memory.read(slot_at::<Request, Response>(index))))
    }

    /// Asks for an event at the next response and looks once more.
    ///
    /// # Errors
    /// [`Broken`] as for [`responses`](Self::responses).
    pub fn final_check(&mut self) -> Result<Check, Broken> {
        self.final_check_after(1)
    }

    /// Asks for an event when `count` more responses have come, and looks once more whether they have.
    ///
    /// # Errors
    /// [`Broken`] as for [`responses`](Self::responses).
    pub fn final_check_after(&mut self, count: u32) -> Result<Check, Broken> {
        ask(&self.memory, RSP_EVENT, self.rsp_cons.wrapping_add(count));
        Ok(if self.responses()? >= count { Check::Work } else { Check::Idle(Idle(())) })
    }
}

/// The backend's side of a ring in one page.
#[derive(Debug)]
pub struct BackRing<Request, Response, Memory> {
    memory: Memory,
    /// Responses put so far, some of which may not be pushed yet.
    rsp_prod_pvt: u32,
    /// Responses pushed so far.
    rsp_prod: u32,
    /// Requests taken so far.
    req_cons: u32,
    /// The last checked value of the frontend's `req_prod`.
    req_prod: u32,
    messages: PhantomData<(Request, Response)>,
}

impl<Request: Plain, Response: Plain, Memory: SharedMemory> BackRing<Request, Response, Memory> {
    /// Number of slots.
    pub const SLOTS: u32 = slots(PAGE_SIZE, slot_size::<Request, Response>());

    /// Attaches to the ring that a frontend has made in the page that `memory` keeps, and goes on where a backend
    /// before may have stopped.
    #[must_use]
    pub fn attach(memory: Memory) -> Self {
        let start = memory.read(RSP_PROD);
        Self { memory, rsp_prod_pvt: start, rsp_prod: start, req_cons: start, req_prod: start, messages: PhantomData }
    }

    /// Reads the frontend's producer index once and says how many requests wait.
    ///
    /// # Errors
    /// [`Broken`] when the index went backwards or beyond what the ring holds.
    pub fn requests(&mut self) -> Result<u32, Broken> {
        let claimed: u32 = self.memory.read(REQ_PROD);
        // Both distances are taken from what was answered, behind which no request lies that is still wanted.
        let used = claimed.wrapping_sub(self.rsp_prod_pvt);
        let seen = self.req_prod.wrapping_sub(self.rsp_prod_pvt);
        if used > Self::SLOTS || used < seen {
            return Err(Broken);
        }
        self.req_prod = claimed;
        // No request is read before the index that covers it.
        self.memory.fence(Ordering::Acquire);
        Ok(claimed.wrapping_sub(self.req_cons))
    }

    /// Copies the next request out if the last [`requests`](Self::requests) covered it.
    pub fn take(&mut self) -> Option<Request> {
        self.take_as()
    }

    /// The same slot as another kind of message.
    pub fn take_as<Other: Plain>(&mut self) -> Option<Other> {
        const { assert!(size_of::<Other>() <= slot_size::<Request, Response>()) };
        if self.req_cons == self.req_prod {
            return None;
        }
        let request = self.memory.read(slot_at::<Request, Response>(self.req_cons));
        self.req_cons = self.req_cons.wrapping_add(1);
        Some(request)
    }

    /// Puts a response into the next slot; `push` makes it visible.
    ///
    /// # Panics
    /// When every request that was taken has its response.
    pub fn put(&mut self, response: Response) {
        self.put_as(response);
    }

    /// Puts another kind of message into the next slot.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    pub fn put_as<Other: Plain>(&mut self, message: Other) {
        const { assert!(size_of::<Other>() <= slot_size::<Request, Response>()) };
        assert!(self.rsp_prod_pvt != self.req_cons);
        self.memory.write(slot_at::<Request, Response>(self.rsp_prod_pvt), message);
        self.rsp_prod_pvt = self.rsp_prod_pvt.wrapping_add(1);
    }

    /// Makes all that was put visible to the frontend.
    pub fn push(&mut self) -> Notify {
        let old = self.rsp_prod;
        self.rsp_prod = self.rsp_prod_pvt;
        publish(&self.memory, RSP_PROD, RSP_EVENT, old, self.rsp_prod)
    }

    /// Asks for an event at the next request and looks once more.
    ///
    /// # Errors
    /// [`Broken`] as for [`requests`](Self::requests).
    pub fn final_check(&mut self) -> Result<Check, Broken> {
        ask(&self.memory, REQ_EVENT, self.req_cons.wrapping_add(1));
        Ok(if self.requests()? > 0 { Check::Work } else { Check::Idle(Idle(())) })
    }
}
