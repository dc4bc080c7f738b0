//! The seam between the network stack and whatever carries its frames.
//!
//! Purpose: [`super::Runner`] sees a network card only through [`NetworkDevice`], which is `smoltcp`'s own device trait
//! and the four things an event-driven stack needs on top of it. On Xen netfront implements it; in tests a pair of
//! queues in memory does.
//!
//! How the stack drives a device, in each turn of its poll loop:
//!
//! 1. [`NetworkDevice::register_waker`], so that nothing that happens from here on is missed;
//! 2. [`NetworkDevice::link_up`];
//! 3. `receive` and `transmit` of [`smoltcp::phy::Device`], a bounded number of times;
//! 4. [`NetworkDevice::flush`], once;
//! 5. sleep until the waker is woken, a timer is due, or a task calls a socket.

use core::task::Waker;

use smoltcp::phy::{Device, RxToken};
use smoltcp::wire::EthernetAddress;

/// The most frames that one turn of the poll loop takes from the device, and the most rounds in which each socket sends
/// one: other tasks of the thread get their turn in between.
pub(crate) const BATCH: usize = 64;

/// An Ethernet device that can say when it has become ready.
///
/// What the device wants done about checksums, its MTU and its burst size are in its [`smoltcp`
/// capabilities](smoltcp::phy::DeviceCapabilities). They are read again whenever the link comes up, because a new
/// backend may have other abilities.
pub trait NetworkDevice: for<'a> Device<RxToken<'a>: ReceivedFrame> {
    /// The address that the stack puts into the frames it sends.
    fn hardware_address(&self) -> EthernetAddress;

    /// Arranges for `waker` to be woken when a frame may have arrived, transmit room came back, or the link changed.
    ///
    /// Transmit room counts even if nothing was refused: `receive` may have had no room for an answer.
    ///
    /// Level-triggered: if one of these already holds, the stack finds it by polling `receive` and `transmit` after
    /// this call. Only the waker of the last call needs to be kept, and a wake-up may come without a reason.
    fn register_waker(&mut self, waker: &Waker);

    /// Called once after each batch of `receive` and `transmit`: publishes requests, refills receive buffers and
    /// notifies the other side at most once for each direction.
    ///
    /// Wakes the waker if frames have arrived by now that were not received: other tasks have run since the last
    /// `receive`, and the wake-up for what came in that time is over.
    fn flush(&mut self);

    /// False while there is no backend. A change from down to up makes the stack announce itself again: a DHCP restart,
    /// or a gratuitous ARP with a static address.
    fn link_up(&self) -> bool;
}

/// A frame that was received, in memory that nobody but the stack can write: the stack changes numbers in it before
/// `smoltcp` sees it.
pub trait ReceivedFrame: RxToken {
    /// The bytes that [`RxToken::consume`] will hand out.
    fn bytes(&mut self) -> &mut [u8];
}
