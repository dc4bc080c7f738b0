//! The clock, the stacks, and the loop that runs them beside a test's own future.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use embassy_time::{Duration, Instant};

use super::wire::{End, Shared};
use crate::net::{Ip, Parameters, PollAt, Runner, Stack};
use crate::parameters::Parameters as CommandLine;

pub const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

pub fn socket(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(address, port))
}

/// A task's waker that says whether it was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

struct Running {
    stack: Runner<End>,
    flag: Arc<Flag>,
    next: Cell<PollAt>,
}

type Peer = Box<dyn Fn(&Shared, Instant)>;

pub struct World {
    pub wire: Shared,
    now: Cell<Instant>,
    stacks: Vec<Running>,
    /// Something that answers at the wire's other end, called whenever frames may have arrived there.
    peer: Option<Peer>,
    /// The test's own pauses.
    pauses: RefCell<Vec<(Instant, Waker)>>,
}

impl World {
    /// A world with one stack for each of the parameters, on the wire's sides 0 and 1.
    pub fn new(parameters: &[Parameters]) -> Self {
        let wire = Shared::new();
        let stacks = parameters.iter().enumerate().map(|(side, parameters)| Running {
            stack: Runner::new(wire.end(side), *parameters, 0x5eed + side as u64),
            flag: Flag::new(),
            next: Cell::new(PollAt::Now),
        });
        Self {
            stacks: stacks.collect(),
            wire,
            now: Cell::new(Instant::from_secs(1)),
            peer: None,
            pauses: RefCell::default(),
        }
    }

    /// Two stacks with the static addresses [`A`] and [`B`].
    pub fn two() -> Self {
        Self::new(&[at(A), at(B)])
    }

    /// A world with a stack on side 0 and, on side 1, something that reads and writes frames.
    pub fn with_peer(parameters: Parameters, peer: impl Fn(&Shared, Instant) + 'static) -> Self {
        Self { peer: Some(Box::new(peer)), ..Self::new(&[parameters]) }
    }

    pub fn a(&self) -> Stack {
        self.stacks[0].stack.stack()
    }

    pub fn b(&self) -> Stack {
        self.stacks[1].stack.stack()
    }

    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Moves the clock on without a turn for anybody: everybody was paused.
    pub fn step_clock(&self, time: Duration) {
        self.now.set(self.now() + time);
    }

    /// How many sockets the stack has.
    pub fn sockets(&self, handle: &Stack) -> usize {
        handle.with(|state| state.sockets.set.iter().count())
    }

    /// Resolves when the clock has moved on by `time`.
    pub async fn pause(&self, time: Duration) {
        let until = self.now() + time;
        core::future::poll_fn(|context| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            self.pauses.borrow_mut().push((until, context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Runs the world until `future` is done.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        let limit = self.now() + Duration::from_secs(3600);
        loop {
            if flag.take()
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            let moved = self.turn_stacks();
            if !moved && !flag.0.load(Ordering::Relaxed) {
                let next = self.next_time();
                assert!(next.is_some(), "everybody waits for ever");
                self.now.set(next.unwrap_or(limit));
                assert!(self.now() < limit, "an hour has passed");
            }
        }
    }

    /// Runs the world for a while.
    pub fn run_for(&self, time: Duration) {
        let until = self.now() + time;
        loop {
            while self.turn_stacks() {}
            match self.next_time() {
                Some(next) if next < until => self.now.set(next),
                _ => break,
            }
        }
        self.now.set(until);
        while self.turn_stacks() {}
    }

    /// Gives everybody who has something to do one turn. Returns whether anybody had.
    fn turn_stacks(&self) -> bool {
        let mut moved = false;
        self.pauses.borrow_mut().retain(|(until, waker)| {
            let over = *until <= self.now();
            if over {
                waker.wake_by_ref();
                moved = true;
            }
            !over
        });
        for running in &self.stacks {
            let due = match running.next.get() {
                PollAt::Now => true,
                PollAt::Time(time) => time <= self.now(),
                PollAt::Woken => false,
            };
            if running.flag.take() | due {
                running.next.set(running.stack.poll(self.now(), &Waker::from(running.flag.clone())));
                moved = true;
            }
        }
        if let Some(peer) = &self.peer
            && self.wire.waiting(1) > 0
        {
            peer(&self.wire, self.now());
            moved = true;
        }
        moved
    }

    fn next_time(&self) -> Option<Instant> {
        let times = self.stacks.iter().filter_map(|running| match running.next.get() {
            PollAt::Time(time) => Some(time),
            _ => None,
        });
        times.chain(self.pauses.borrow().iter().map(|(until, _)| *until)).min()
    }
}

/// Parameters with a static address in a network of 24 bits.
pub fn at(address: Ipv4Addr) -> Parameters {
    let line = alloc::format!("ip={address}/24");
    Parameters::read(&mut CommandLine::parse(&line).expect("a pair")).expect("an address")
}

pub fn dhcp() -> Parameters {
    Parameters { ip: Ip::Dhcp, ..Parameters::default() }
}

/// Bytes that differ from their neighbours and from those a power of two away.
pub fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    core::iter::repeat_with(next).take(length).collect()
}
