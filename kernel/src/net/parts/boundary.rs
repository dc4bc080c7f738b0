//! The boundary between `smoltcp` and the device: every frame that arrives or leaves passes here.
//!
//! Frames for the DHCP client go to it; those of which nothing can be made, which `smoltcp` would drop without a word,
//! are counted and dropped; TCP's sequence numbers are changed on their way out and back.

use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

use super::backlog::Backlogs;
use super::dhcp::Client;
use super::distant::DistantGateway;
use super::filter::{DropCounters, Reason, judge};
use super::sequence::{Sequences, Verdict};
use crate::entropy::Generator;
use crate::net::device::{NetworkDevice, ReceivedFrame};

/// A device as `smoltcp` is to see it.
pub(crate) struct Boundary<'b, D> {
    pub(crate) device: &'b mut D,
    pub(crate) inward: Inward<'b>,
    pub(crate) outward: Outward<'b>,
}

/// What is done to frames that arrive.
pub(crate) struct Inward<'b> {
    /// Knows the ports to which no further connection can come now.
    pub(crate) backlogs: &'b Backlogs,
    pub(crate) drops: &'b mut DropCounters,
    pub(crate) dhcp: Option<&'b mut Client>,
    pub(crate) random: &'b Generator,
}

/// What is done to frames that leave, and undone to those that arrive.
#[derive(Clone, Copy)]
pub(crate) struct Outward<'b> {
    /// Whose checksums `smoltcp` computes and verifies.
    pub(crate) checksums: &'b ChecksumCapabilities,
    pub(crate) sequences: &'b Sequences,
    pub(crate) distant_gateway: Option<DistantGateway>,
}

impl<D: NetworkDevice> Device for Boundary<'_, D> {
    type RxToken<'a>
        = Arrived<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = Leaving<'a, D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let Self { device, inward, outward } = self;
        let (token, reply) = device.receive(now)?;
        let Inward { backlogs, drops, dhcp, random } = inward;
        let inward = Inward { backlogs, drops, dhcp: dhcp.as_deref_mut(), random };
        Some((Arrived { token, inward, outward: *outward, now }, Leaving { token: reply, outward: *outward }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let outward = self.outward;
        self.device.transmit(now).map(|token| Leaving { token, outward })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A frame that arrived.
pub(crate) struct Arrived<'a, T> {
    token: T,
    inward: Inward<'a>,
    outward: Outward<'a>,
    now: Instant,
}

impl<T: ReceivedFrame> Arrived<'_, T> {
    /// Whether the frame is for `smoltcp`, which finds it as it is to see it.
    fn admit(&mut self) -> Result<bool, Reason> {
        let Self { token, inward: Inward { backlogs, dhcp, random, .. }, outward, now } = self;
        let Outward { checksums, sequences, distant_gateway } = outward;
        let frame = token.bytes();
        judge(frame, backlogs, checksums)?;
        if dhcp.as_mut().is_some_and(|client| client.receive(frame, checksums.udp.rx(), random, *now)) {
            return Ok(false);
        }
        if sequences.arrive(frame, checksums.tcp.rx()) == Verdict::Drop {
            return Err(Reason::Unproven);
        }
        if let Some(gateway) = distant_gateway {
            gateway.arrive(frame);
        }
        Ok(true)
    }
}

impl<T: ReceivedFrame> RxToken for Arrived<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(mut self, f: F) -> R {
        let admitted = self.admit();
        if let Err(reason) = admitted {
            self.inward.drops.count(reason);
            if let Reason::BacklogFull { port } = reason {
                self.inward.backlogs.note_refused(port);
            }
        }
        // smoltcp ignores an empty frame.
        self.token.consume(|frame| f(if admitted.is_ok_and(|admitted| admitted) { frame } else { &[] }))
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

/// Room for a frame that leaves.
pub(crate) struct Leaving<'a, T> {
    token: T,
    outward: Outward<'a>,
}

impl<T: TxToken> TxToken for Leaving<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let Self { token, outward: Outward { checksums, sequences, distant_gateway } } = self;
        token.consume(length, |frame| {
            let result = f(frame);
            sequences.leave(frame, checksums.tcp.tx());
            if let Some(gateway) = distant_gateway {
                gateway.leave(frame);
            }
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}
