//! The sockets and the memory of their buffers.
//!
//! Every allocation whose size a peer or a task influences can fail here without ending the guest.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::DeviceCapabilities;
use smoltcp::socket::{AnySocket, Socket, tcp, udp};
use smoltcp::time::Duration;
use smoltcp::wire::{IPV4_HEADER_LEN, IpEndpoint, TCP_HEADER_LEN};

use super::endpoint::ipv4;
use super::sequence::{FourTuple, Sequences};
use crate::entropy::Generator;
use crate::net::device::BATCH;
use crate::net::error::Error;
use crate::net::traits::Buffers;

/// How large a connection's buffers are at most, unless the task says otherwise: enough to fill a fast link.
const LARGEST_BUFFER_BYTES: usize = 64 * 1024;

/// Below this size a connection would send less than three full segments before it waits.
const SMALLEST_BUFFER_BYTES: usize = 4 * 1024;

/// A buffer of a new connection takes at most one part in this many of the budget that is left beside
/// [`RESERVED_BYTES`].
const SHARE: usize = 8;

/// What is kept of the budget for connections that have to do with the smallest buffers: enough for 32 of them. Of a
/// small budget half is kept.
const RESERVED_BYTES: usize = 32 * 2 * SMALLEST_BUFFER_BYTES;

/// What the buffers of all sockets together never exceed, unless the platform says otherwise.
pub(crate) const DEFAULT_BUDGET_BYTES: usize = 1024 * 1024;

/// How many datagrams a UDP socket holds in each direction: all that one turn brings, before the task is asked.
const DATAGRAMS: usize = BATCH;

/// A UDP socket's buffers are no larger than this: enough for its number of datagrams as large as Ethernet carries.
pub(crate) const LARGEST_UDP_BUFFER_BYTES: usize = DATAGRAMS * 1472;

/// A connection that hears nothing for this long asks whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A connection whose peer has not answered for this long is given up.
const PEER_TIMEOUT: Duration = Duration::from_secs(120);

/// A handshake that a peer began and has not finished after this long is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Slots that the set of sockets has from the start.
const FIRST_SLOTS: usize = 8;

/// The set of all sockets.
pub(crate) struct Sockets {
    /// `smoltcp`'s own set.
    pub(crate) set: SocketSet<'static>,
    /// What the boundary knows of their connections.
    pub(crate) sequences: Sequences,
    used_slots: usize,
    slots: usize,
    capacity: usize,
    budget_bytes: usize,
    buffer_bytes: usize,
    largest: Buffers,
    /// Data of a stream in the largest packet that leaves; Ethernet's until a device says more.
    packet_bytes: usize,
}

impl Sockets {
    pub(crate) fn new(random: &Generator) -> Self {
        Self {
            sequences: Sequences::new(random),
            set: SocketSet::new(Vec::with_capacity(FIRST_SLOTS)),
            used_slots: 0,
            slots: 0,
            capacity: FIRST_SLOTS,
            budget_bytes: DEFAULT_BUDGET_BYTES,
            buffer_bytes: 0,
            largest: Buffers { receive: LARGEST_BUFFER_BYTES, send: LARGEST_BUFFER_BYTES },
            packet_bytes: 1460,
        }
    }

    /// Learns from the device how much of a stream a packet carries.
    pub(crate) fn set_packets(&mut self, device: &DeviceCapabilities) {
        const HEADERS: usize = IPV4_HEADER_LEN + TCP_HEADER_LEN;
        let packet = device.ip_mtu();
        #[cfg(feature = "segmentation-offload")]
        let packet =
            device.segmentation.tcpv4.map_or(packet, |frame| frame.get() - (device.max_transmission_unit - packet));
        self.packet_bytes = packet.saturating_sub(HEADERS).max(1);
    }

    pub(crate) fn set_budget(&mut self, bytes: usize) {
        self.budget_bytes = bytes;
    }

    /// The bytes of the two buffers of a connection.
    pub(crate) fn tcp_bytes(&mut self, handle: SocketHandle) -> usize {
        let socket = self.tcp(handle);
        socket.recv_capacity() + socket.send_capacity()
    }

    /// What the buffers of all sockets together never exceed.
    pub(crate) fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Sets how large the buffers of later connections are at most.
    pub(crate) fn set_buffers(&mut self, largest: Buffers) {
        self.largest = largest;
    }

    /// Adds a socket.
    ///
    /// The set grows by pushing to a `Vec`, which would end the guest when memory is short, so a trial comes first.
    fn add(&mut self, socket: Socket<'static>) -> Result<SocketHandle, Error> {
        if self.used_slots == self.slots {
            if self.slots == self.capacity {
                try_memory(2 * self.capacity * size_of::<SocketStorage<'static>>()).ok_or(Error::OutOfMemory)?;
                self.capacity *= 2;
            }
            self.slots += 1;
        }
        self.used_slots += 1;
        Ok(self.set.add(socket))
    }

    /// Removes a socket and frees its buffers.
    pub(crate) fn remove(&mut self, handle: SocketHandle) {
        self.used_slots -= 1;
        match self.set.remove(handle) {
            Socket::Tcp(socket) => self.buffer_bytes -= socket.recv_capacity() + socket.send_capacity(),
            Socket::Udp(socket) => self.buffer_bytes -= socket.payload_recv_capacity() + socket.payload_send_capacity(),
        }
    }

    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.set.get_mut(handle)
    }

    pub(crate) fn udp(&mut self, handle: SocketHandle) -> &mut udp::Socket<'static> {
        self.set.get_mut(handle)
    }

    /// A buffer for each direction, as large as the budget and the heap allow; `send` may make the second one smaller.
    fn buffers(&mut self, largest: Buffers, send: fn(&Self, usize) -> usize) -> Result<[Vec<u8>; 2], Error> {
        let left = self.budget_bytes.saturating_sub(self.buffer_bytes);
        if left < 2 * SMALLEST_BUFFER_BYTES {
            return Err(Error::OutOfMemory);
        }
        let reserved = RESERVED_BYTES.min(self.budget_bytes / 2);
        let share = left.saturating_sub(reserved) / SHARE;
        let mut most = largest.receive.max(largest.send).min(share).max(SMALLEST_BUFFER_BYTES);
        loop {
            let size = |largest: usize| largest.clamp(SMALLEST_BUFFER_BYTES, most);
            match (zeroed(size(largest.receive)), zeroed(send(self, size(largest.send)))) {
                (Some(receive), Some(send)) => {
                    self.buffer_bytes += receive.len() + send.len();
                    return Ok([receive, send]);
                }
                _ if most > SMALLEST_BUFFER_BYTES => most = (most / 2).max(SMALLEST_BUFFER_BYTES),
                _ => return Err(Error::OutOfMemory),
            }
        }
    }

    /// The size of a stream's send buffer that may have so many bytes: a number of whole packets if that costs little.
    /// The buffer is a ring, and a packet is cut in two where the ring begins anew.
    fn whole_packets(&self, size: usize) -> usize {
        let beyond = size % self.packet_bytes;
        if beyond < size / 8 { size - beyond } else { size }
    }

    /// Adds a TCP socket without a connection.
    pub(crate) fn add_tcp(&mut self) -> Result<SocketHandle, Error> {
        let [receive, transmit] = self.buffers(self.largest, Self::whole_packets)?;
        let bytes = receive.len() + transmit.len();
        let mut socket = tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(transmit));
        socket.set_congestion_control(tcp::CongestionControl::Reno);
        // Writes that a task makes in one go leave together anyway, because the poll loop runs after the task; holding
        // back the last part until the peer's delayed acknowledgement comes would cost 40 ms a message.
        socket.set_nagle_enabled(false);
        // What came in a turn is acknowledged at its end, after the tasks ran and so with their answers. A delay would
        // make a fast stream a slow one: where segments arrive put together there is one piece a round trip, and
        // smoltcp waits for a second, 10 ms long.
        socket.set_ack_delay(None);
        socket.set_timeout(Some(HANDSHAKE_TIMEOUT));
        // Before the connection begins: later, smoltcp would ask at once whether the other side is there.
        socket.set_keep_alive(Some(KEEP_ALIVE));
        self.add(socket.upcast()).inspect_err(|_| self.buffer_bytes -= bytes)
    }

    /// Adds a UDP socket that is not bound.
    pub(crate) fn add_udp(&mut self, largest_bytes: usize) -> Result<SocketHandle, Error> {
        let largest = Buffers { receive: largest_bytes, send: largest_bytes };
        let [receive, transmit] = self.buffers(largest, |_, size| size)?;
        let bytes = receive.len() + transmit.len();
        let buffer = |bytes| udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], bytes);
        let socket = udp::Socket::new(buffer(receive), buffer(transmit));
        self.add(socket.upcast()).inspect_err(|_| self.buffer_bytes -= bytes)
    }

    /// The addresses and ports of a TCP socket's connection, if it has one.
    pub(crate) fn four_tuple(&mut self, handle: SocketHandle) -> Option<FourTuple> {
        let socket = self.tcp(handle);
        let end = |end: IpEndpoint| (ipv4(end.addr), end.port);
        socket
            .local_endpoint()
            .zip(socket.remote_endpoint())
            .map(|(local, remote)| FourTuple { local: end(local), remote: end(remote) })
    }

    /// True if another socket has the same addresses and ports as this one.
    pub(crate) fn has_twin(&mut self, handle: SocketHandle) -> bool {
        let socket = self.tcp(handle);
        let ends = (socket.local_endpoint(), socket.remote_endpoint());
        self.set.iter().any(|(other, socket)| match socket {
            Socket::Tcp(socket) => other != handle && (socket.local_endpoint(), socket.remote_endpoint()) == ends,
            Socket::Udp(_) => false,
        })
    }

    /// True if a TCP socket uses the port.
    pub(crate) fn tcp_port_in_use(&self, port: u16) -> bool {
        self.set.iter().any(|(_, socket)| match socket {
            Socket::Tcp(socket) => {
                socket.listen_endpoint().port == port
                    || socket.local_endpoint().is_some_and(|endpoint| endpoint.port == port)
            }
            _ => false,
        })
    }

    /// True if a UDP socket uses the port.
    pub(crate) fn udp_port_in_use(&self, port: u16) -> bool {
        self.set.iter().any(|(_, socket)| match socket {
            Socket::Udp(socket) => socket.endpoint().port == port,
            _ => false,
        })
    }
}

/// A connection whose handshake is done lives as long as its peer answers.
pub(crate) fn keep_alive(socket: &mut tcp::Socket<'_>) {
    socket.set_timeout(Some(PEER_TIMEOUT));
}

/// So many zeros, if there is memory for them.
///
/// To fill what could be reserved would be a loop over bytes where code is made small, which takes longer than all else
/// that a new connection costs.
fn zeroed(size: usize) -> Option<Vec<u8>> {
    try_memory(size)?;
    Some(vec![0; size])
}

/// Whether there are so many bytes: a trial before an allocation that ends the guest if it fails. Nothing else runs in
/// between.
fn try_memory(bytes: usize) -> Option<()> {
    // As strictly aligned as all that is tried here.
    let mut trial = Vec::<u64>::new();
    trial.try_reserve_exact(bytes.div_ceil(size_of::<u64>())).ok()?;
    // An allocation that nobody uses could be left out, and would be taken to succeed.
    core::hint::black_box(trial.as_ptr());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::limited::with_limit;

    fn sockets() -> Sockets {
        Sockets::new(&Generator::new())
    }

    fn size(sockets: &mut Sockets) -> usize {
        let handle = sockets.add_tcp().expect("memory");
        sockets.tcp(handle).recv_capacity()
    }

    #[test]
    fn buffers_shrink_as_the_budget_is_used_up() {
        let mut sockets = sockets();
        let sizes: Vec<usize> = (0..45).map(|_| size(&mut sockets)).collect();
        assert_eq!(sizes[0], LARGEST_BUFFER_BYTES);
        assert!(sizes.is_sorted_by(|a, b| a >= b));
        assert_eq!(sizes[44], SMALLEST_BUFFER_BYTES);
        while sockets.add_tcp().is_ok() {}
        assert!(sockets.buffer_bytes <= DEFAULT_BUDGET_BYTES);
        assert_eq!(sockets.add_udp(LARGEST_UDP_BUFFER_BYTES), Err(Error::OutOfMemory));
    }

    #[test]
    fn a_task_may_ask_for_larger_or_smaller_buffers() {
        let mut sockets = sockets();
        sockets.set_budget(16 << 20);
        let sizes = |sockets: &mut Sockets, receive, send| {
            sockets.set_buffers(Buffers { receive, send });
            let handle = sockets.add_tcp().expect("memory");
            (sockets.tcp(handle).recv_capacity(), sockets.tcp(handle).send_capacity())
        };
        // The second is a number of whole packets.
        assert_eq!(sizes(&mut sockets, 256 * 1024, 0), (256 * 1024, SMALLEST_BUFFER_BYTES));
        assert_eq!(sizes(&mut sockets, 0, 256 * 1460), (SMALLEST_BUFFER_BYTES, 256 * 1460));
        // Where there is less for both, the smaller one stays as it is.
        sockets.set_budget(sockets.buffer_bytes + RESERVED_BYTES + SHARE * 32 * 1024);
        assert_eq!(sizes(&mut sockets, 5000, 1 << 20), (5000, 22 * 1460));
    }

    #[test]
    fn where_memory_is_short_buffers_are_smaller_and_then_there_is_no_socket() {
        let mut sockets = sockets();
        let mut sizes = Vec::with_capacity(64);
        let refused = with_limit(90_000, || {
            loop {
                match sockets.add_tcp() {
                    Ok(handle) => sizes.push(sockets.tcp(handle).recv_capacity()),
                    Err(error) => break error,
                }
            }
        });
        assert_eq!(refused, Error::OutOfMemory);
        assert!((3..16).contains(&sizes.len()) && sizes[0] < LARGEST_BUFFER_BYTES, "{sizes:?}");
        assert_eq!(sizes.last(), Some(&SMALLEST_BUFFER_BYTES));
        let counted: usize = sizes.iter().map(|size| size + sockets.whole_packets(*size)).sum();
        assert_eq!(sockets.buffer_bytes, counted, "what was refused is not counted");
        assert!(sockets.add_tcp().is_ok(), "with memory there is a socket");
    }

    #[test]
    fn where_there_is_no_memory_for_more_slots_there_is_no_socket() {
        let mut sockets = sockets();
        let handles: Vec<_> = (0..FIRST_SLOTS).map(|_| sockets.add_tcp().expect("memory")).collect();
        let bytes = sockets.buffer_bytes;
        // Enough for the buffers, and not for a set twice as large.
        let slots = FIRST_SLOTS * size_of::<SocketStorage<'static>>();
        let refused = with_limit(2 * SMALLEST_BUFFER_BYTES + slots, || sockets.add_tcp());
        assert_eq!((refused, sockets.buffer_bytes), (Err(Error::OutOfMemory), bytes));
        sockets.remove(handles[3]);
        assert!(with_limit(8 * SMALLEST_BUFFER_BYTES, || sockets.add_tcp()).is_ok(), "a free slot is used again");
        assert!(sockets.add_tcp().is_ok());
    }

    #[test]
    fn removed_sockets_give_their_part_back() {
        let mut sockets = sockets();
        let mut handles: Vec<_> = (0..20).map(|_| sockets.add_tcp().expect("memory")).collect();
        handles.push(sockets.add_udp(LARGEST_UDP_BUFFER_BYTES).expect("memory"));
        handles.into_iter().for_each(|handle| sockets.remove(handle));
        assert_eq!(sockets.buffer_bytes, 0);
        assert_eq!(size(&mut sockets), LARGEST_BUFFER_BYTES);
    }
}
