//! The clock, the stacks, and the loop that runs them beside a test's own future.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use embassy_time::{Duration, Instant};

use super::wire::Shared;
use crate::net::{Ip, ManualTime, Parameters, Runner, Stack, TimeSource};
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

/// The poll loop of a stack, with the waker on which it waits.
struct Running {
    stack: Stack,
    poll_loop: RefCell<Pin<Box<dyn Future<Output = ()>>>>,
    flag: Arc<Flag>,
}

type Peer = Box<dyn Fn(&Shared, Instant)>;

pub struct World {
    pub wire: Shared,
    time: Rc<ManualTime>,
    stacks: Vec<Running>,
    /// Something that answers at the wire's other end, called whenever frames may have arrived there.
    peer: Option<Peer>,
}

impl World {
    /// A world with one stack for each of the parameters, on the wire's sides 0 and 1.
    pub fn new(parameters: &[Parameters]) -> Self {
        Self::seeded(parameters, 0x5e)
    }

    /// The same with stacks whose random numbers come from this seed and the next.
    pub fn seeded(parameters: &[Parameters], seed: u8) -> Self {
        let wire = Shared::new();
        let time = Rc::new(ManualTime::new(Instant::from_secs(1)));
        let stacks = parameters.iter().enumerate().map(|(side, parameters)| {
            let runner = Runner::new(wire.end(side), *parameters, &[seed + side as u8; 32]);
            let (stack, time) = (runner.stack(), time.clone());
            let poll_loop: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
                runner.run_on(&*time).await;
            });
            Running { stack, poll_loop: RefCell::new(poll_loop), flag: Flag::new() }
        });
        Self { stacks: stacks.collect(), wire, time, peer: None }
    }

    /// Two stacks with the static addresses [`A`] and [`B`].
    pub fn two() -> Self {
        Self::new(&[at(A), at(B)])
    }

    /// A world with a stack on side 0 and, on side 1, something that reads and writes frames.
    pub fn with_peer(parameters: Parameters, peer: impl Fn(&Shared, Instant) + 'static) -> Self {
        Self::new(&[parameters]).and_peer(peer)
    }

    /// The same world with something on side 1 that reads and writes frames.
    pub fn and_peer(self, peer: impl Fn(&Shared, Instant) + 'static) -> Self {
        Self { peer: Some(Box::new(peer)), ..self }
    }

    pub fn a(&self) -> Stack {
        self.stacks[0].stack
    }

    pub fn b(&self) -> Stack {
        self.stacks[1].stack
    }

    pub fn now(&self) -> Instant {
        self.time.now()
    }

    /// Moves the clock on without a turn for anybody: everybody was paused.
    pub fn step_clock(&self, time: Duration) {
        self.time.set(self.now() + time);
    }

    /// How many sockets the stack has.
    pub fn sockets(&self, stack: &Stack) -> usize {
        stack.with(|state| state.sockets.set.iter().count())
    }

    /// Resolves when the clock has moved on by `time`.
    pub async fn pause(&self, time: Duration) {
        self.time.wait_until(self.now() + time).await;
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
            let moved = self.turn();
            if !moved && !flag.0.load(Ordering::Relaxed) {
                let next = self.time.next();
                assert!(next.is_some(), "everybody waits for ever");
                self.time.set(next.unwrap_or(limit));
                assert!(self.now() < limit, "an hour has passed");
            }
        }
    }

    /// Runs the world for a while.
    pub fn run_for(&self, time: Duration) {
        let until = self.now() + time;
        loop {
            while self.turn() {}
            match self.time.next() {
                Some(next) if next < until => self.time.set(next),
                _ => break,
            }
        }
        self.time.set(until);
        while self.turn() {}
    }

    /// Polls everybody who was woken once, as an executor does. Returns whether anybody was.
    pub fn turn(&self) -> bool {
        let mut moved = false;
        for running in &self.stacks {
            if running.flag.take() {
                let waker = Waker::from(running.flag.clone());
                let polled = running.poll_loop.borrow_mut().as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending(), "a poll loop has ended");
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

    /// When somebody wants to be woken next.
    pub fn next_time(&self) -> Option<Instant> {
        self.time.next()
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
