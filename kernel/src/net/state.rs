//! What the poll loop and the sockets share: everything but the device, so that sockets need not know its type.

use core::net::Ipv4Addr;
use core::task::Waker;

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, DeviceCapabilities};

use super::device::NetworkDevice;
use super::error::Error;
use super::parameters::Parameters;
use super::parts::address::Addressing;
use super::parts::backlog::Backlogs;
use super::parts::boundary::{Boundary, Inward, Outward};
use super::parts::closing::Closing;
use super::parts::deadline::Deadlines;
use super::parts::filter::DropCounters;
use super::parts::outbox::Outboxes;
use super::parts::sockets::Sockets;
use crate::entropy::Generator;

/// The first of the ports that are given to sockets that name none (RFC 6335).
const FIRST_EPHEMERAL_PORT: u16 = 49152;

/// See the module.
pub(super) struct State {
    pub(super) interface: Interface,
    /// The largest IP packet that the device takes.
    pub(super) mtu_bytes: usize,
    pub(super) sockets: Sockets,
    pub(super) addressing: Addressing,
    pub(super) backlogs: Backlogs,
    pub(super) drops: DropCounters,
    pub(super) closing: Closing,
    pub(super) deadlines: Deadlines,
    pub(super) outboxes: Outboxes,
    pub(super) random: Generator,
    /// Whose checksums `smoltcp` computes and verifies.
    checksums: ChecksumCapabilities,
    poll_loop: Option<Waker>,
}

impl State {
    // Built in place, the state would be moved to the heap field by field.
    #[inline(never)]
    pub(super) fn new(interface: Interface, parameters: Parameters, random: Generator) -> Self {
        Self {
            checksums: ChecksumCapabilities::default(),
            interface,
            mtu_bytes: 0,
            sockets: Sockets::new(&random),
            addressing: Addressing::new(parameters),
            backlogs: Backlogs::default(),
            drops: DropCounters::default(),
            closing: Closing::default(),
            deadlines: Deadlines::default(),
            outboxes: Outboxes::default(),
            random,
            poll_loop: None,
        }
    }

    /// Follows what the device is able to do.
    pub(super) fn set_capabilities(&mut self, capabilities: &DeviceCapabilities) {
        self.mtu_bytes = capabilities.ip_mtu();
        self.checksums = capabilities.checksum.clone();
        self.sockets.set_packets(capabilities);
    }

    /// What it takes to move packets: `smoltcp`'s interface and sockets, and the device as they are to see it.
    pub(super) fn with_device<'s, D: NetworkDevice>(
        &'s mut self,
        device: &'s mut D,
    ) -> (&'s mut Interface, &'s mut SocketSet<'static>, Boundary<'s, D>) {
        let distant_gateway = self.addressing.distant_gateway();
        let inward = Inward {
            backlogs: &self.backlogs,
            drops: &mut self.drops,
            dhcp: self.addressing.dhcp.as_mut(),
            random: &self.random,
        };
        let outward = Outward { checksums: &self.checksums, sequences: &self.sockets.sequences, distant_gateway };
        (&mut self.interface, &mut self.sockets.set, Boundary { device, inward, outward })
    }

    /// Remembers whom to wake when a socket call leaves work for the poll loop.
    pub(super) fn register_poll_loop(&mut self, waker: &Waker) {
        match &mut self.poll_loop {
            Some(known) => known.clone_from(waker),
            None => self.poll_loop = Some(waker.clone()),
        }
    }

    /// Tells the poll loop that there is work.
    pub(super) fn wake_poll_loop(&self) {
        if let Some(waker) = &self.poll_loop {
            waker.wake_by_ref();
        }
    }

    /// Resets a connection whose user is gone.
    pub(super) fn abort(&mut self, socket: SocketHandle) {
        self.closing.abort(&mut self.sockets, socket);
        self.wake_poll_loop();
    }

    /// Looks after all listeners.
    pub(super) fn refresh_backlogs(&mut self) {
        self.backlogs.refresh(&mut self.sockets, &mut self.closing);
    }

    /// A free port for a socket that names none.
    pub(super) fn ephemeral_port(&mut self, in_use: fn(&Sockets, u16) -> bool) -> Result<u16, Error> {
        let count = u16::MAX - FIRST_EPHEMERAL_PORT + 1;
        let start = (self.random.next_u64() % u64::from(count)) as u16;
        (0..count)
            .map(|step| FIRST_EPHEMERAL_PORT + (start + step) % count)
            .find(|port| !in_use(&self.sockets, *port))
            .ok_or(Error::PortInUse)
    }

    /// The address from which a packet to `remote` would leave.
    pub(super) fn source_address(&self, remote: Ipv4Addr) -> Result<Ipv4Addr, Error> {
        if remote.is_unspecified() {
            return Err(Error::InvalidAddress);
        }
        let own = self.addressing.address().ok_or(Error::NoAddress)?;
        let reachable = own.contains_addr(&remote) || remote.is_broadcast() || self.addressing.has_gateway();
        if remote.is_loopback() || remote == own.address() || !reachable {
            return Err(Error::NoRoute);
        }
        Ok(own.address())
    }
}
