//! What a network says to the stack.

mod card;
pub(crate) mod peer;

use std::future::Future;
use std::net::{SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use embassy_time::{Duration, Instant};
use embedded_io_async::{Read, Write};
use embedded_nal_async::{AddrType, ConnectedUdp, Dns, TcpConnect, UdpStack};
use kernel::net::{Ip, ManualTime, Parameters, Runner, Stack, TcpAccept, TcpListen, TimeSource};
use smoltcp::wire::Ipv4Cidr;

use xen_fake::tasks::{CountingWaker, yield_now};

use crate::input::Input;
use card::{Cable, Card};
use peer::{OWN_IP, PEER_IP};

/// Turns at one moment after which the stack is taken to run in circles.
const TURNS_MAX: u32 = 200;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The poll loop of a stack, its cable, and tasks that use it.
pub(crate) struct World {
    poll_loop: Task,
    pub(crate) stack: Stack,
    woken: Arc<CountingWaker>,
    waker: Waker,
    pub(crate) time: Rc<ManualTime>,
    pub(crate) cable: Cable,
    tasks: Vec<Task>,
}

impl World {
    /// A world whose tasks are made by these, out of the stack.
    pub(crate) fn new(ip: Ip, tasks: Vec<fn(Stack) -> Task>) -> Self {
        let cable = Cable::default();
        let parameters = Parameters { ip, gateway: None, dns: Some(PEER_IP) };
        let runner = Runner::new(Card::new(&cable), parameters, &[0x5e; 32]).with_buffer_budget(1 << 20);
        let stack = runner.stack();
        let time = Rc::new(ManualTime::new(Instant::from_secs(1)));
        let clock = Rc::clone(&time);
        let poll_loop = Box::pin(async move {
            runner.run_on(&*clock).await;
        });
        let (woken, waker) = CountingWaker::new();
        let tasks = tasks.into_iter().map(|task| task(stack)).collect();
        Self { poll_loop, stack, woken, waker, time, cable, tasks }
    }

    /// Lets the stack and its tasks do what is to be done at this moment.
    pub(crate) fn settle(&mut self) {
        // The card does not say that its cable was plugged in or pulled.
        self.waker.wake_by_ref();
        for _ in 0..TURNS_MAX {
            self.tasks.retain_mut(|task| task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            if self.woken.take() > 0 {
                let _ = self.poll_loop.as_mut().poll(&mut Context::from_waker(&self.waker));
            } else if self.cable.borrow().incoming.is_empty() {
                return;
            }
        }
        panic!("the stack does not come to rest");
    }

    fn pass_time(&mut self, time: Duration) {
        self.time.set(self.time.now() + time);
    }

    /// One thing that happens on the network, or to the guest.
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(8) {
            0 => {
                let length = usize::from(input.word()) % (card::FRAME_MAX + 1);
                self.cable.deliver(input.bytes(length).to_vec());
            }
            1 => self.cable.deliver(peer::ethernet(input)),
            2 => self.cable.deliver(peer::ip(input)),
            3 | 4 => self.cable.reply(|sent| peer::tcp_reply(sent, input)),
            5 => self.cable.reply(|sent| peer::udp_reply(sent, input)),
            6 => self.pass_time(Duration::from_micros(u64::from(input.word()) << input.below(24))),
            _ => {
                let mut cable = self.cable.borrow_mut();
                cable.up = !cable.up;
            }
        }
        self.settle();
    }

    /// A host that knows us asks for our address and sends a ping: both are answered.
    fn assert_answers(&mut self) {
        self.cable.borrow_mut().up = true;
        self.pass_time(Duration::from_secs(2));
        self.settle();
        self.cable.borrow_mut().sent.clear();
        self.cable.deliver(peer::arp_request());
        self.settle();
        self.cable.deliver(peer::ping());
        self.settle();
        let sent = std::mem::take(&mut self.cable.borrow_mut().sent);
        assert!(sent.iter().any(|frame| peer::is_arp_reply(frame)), "nobody answers for the address");
        assert!(sent.iter().any(|frame| peer::is_pong(frame)), "the ping is not answered");
    }
}

/// Has the network say what the bytes say; afterwards the guest must answer.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let fixed = input.byte() & 1 == 0;
    let tasks: Vec<fn(Stack) -> Task> =
        vec![|stack| Box::pin(serve(stack)), |stack| Box::pin(call(stack)), |stack| Box::pin(listen(stack)), |stack| {
            Box::pin(ask(stack))
        }];
    let mut world = World::new(if fixed { Ip::Static(Ipv4Cidr::new(OWN_IP, 24)) } else { Ip::Dhcp }, tasks);
    world.settle();
    while !input.is_empty() {
        world.step(&mut input);
    }
    // With DHCP the address is whatever the network has said, or none.
    if fixed {
        world.assert_answers();
    }
}

/// The peer's address with this port.
fn peer_port(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(PEER_IP, port))
}

/// Sends back what comes over TCP.
async fn serve(stack: Stack) {
    let Ok(listener) = stack.listen(7, 2).await else { return };
    loop {
        let Ok((_, mut connection)) = listener.accept().await else { continue };
        let mut buffer = [0; 256];
        while let Ok(count @ 1..) = connection.read(&mut buffer).await {
            if connection.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    }
}

/// Connects over TCP, again and again.
async fn call(stack: Stack) {
    loop {
        if let Ok(mut connection) = TcpConnect::connect(&stack, peer_port(80)).await {
            let _ = connection.write_all(b"GET / HTTP/1.0").await;
            let mut buffer = [0; 256];
            while let Ok(1..) = connection.read(&mut buffer).await {}
        }
        yield_now().await;
    }
}

/// Takes datagrams.
async fn listen(stack: Stack) {
    let Ok((_, mut socket)) = UdpStack::connect(&stack, peer_port(9)).await else { return };
    let mut buffer = [0; 64];
    loop {
        let _ = socket.send(b"hello").await;
        let _ = socket.receive_into(&mut buffer).await;
    }
}

/// Looks a name up, again and again.
async fn ask(stack: Stack) {
    loop {
        let _ = stack.get_host_by_name("sensor.example", AddrType::IPv4).await;
        yield_now().await;
    }
}
