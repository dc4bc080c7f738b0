//! How much a card hurries a backend whose domain may share this CPU.
//!
//! A guest that shares its CPU with the backend's domain can be too fast for it: it fills every slot as soon as it is
//! free, and who is to receive the frames behind the backend gets no time to take them. All that goes easy on such a
//! backend is decided here, from numbers alone: how many frames may be under way, and when the guest lets others run
//! first.
//!
//! Where the guest has a CPU of its own all of it is switched off ([`Pacing::own_cpu`]): as many frames are under way
//! as the ring holds, and the CPU is never yielded.
//!
//! Every number was measured in the test bed, where dom0 (Linux 6.1, its bridge, its netback and the program at the
//! other end) and the guest have one CPU, the host does not matter because time is counted in instructions, and the
//! guest has 32 MiB.

use super::BUDGET;

/// Frames under way to the backend, of any size.
///
/// Measured with UDP datagrams of 64 bytes from a guest to a program in dom0, whose socket has the usual 208 KiB
/// (`net.core.rmem_default`) and holds 277 of them. The guest goes on when half of its frames are answered, so the
/// socket must have room for one and a half times as many, 184 and 92, in case the program takes none meanwhile.
const FRAMES: u16 = 184;

/// Frames of more than [`SMALL_BYTES`] under way to the backend.
///
/// Measured with UDP datagrams of 1472 bytes to the same program: Linux counts the whole page of each, so its socket
/// holds 43, and the program takes some meanwhile. Of 64 under way a third was lost, of 52 none.
const LARGE_FRAMES: u16 = 52;

/// A longer frame is a large one: Linux's netback copies no more than this into the head of a packet, and gives the
/// rest a page (`XEN_NETBACK_TX_COPY_LEN`).
pub(super) const SMALL_BYTES: usize = 128;

/// Packets of many segments under way to the backend.
///
/// Measured with a TCP stream from the guest, with segmentation offload. Linux answers these packets in a thread of its
/// own, often after the receiver has acknowledged what is in them: of eight, three were unanswered when the next eight
/// could go. A fifth of the ring is left for frames.
const SEGMENTS: u16 = 12;

/// How often the CPU is yielded to who takes the frames. The scheduler may give it back before they are taken, and does
/// at once when nobody else wants it.
///
/// Measured with the datagrams above: four times were enough for the program to have run.
const YIELDS: u32 = 4;

/// More bytes than this come in one turn only from a stream in large pieces: it is a full budget of frames as large as
/// Ethernet carries.
const SINGLE_FRAMES_BYTES: usize = BUDGET as usize * 1514;

/// What may be under way to the backend at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Frames.
    pub(super) frames: u16,
    /// Those of them that are longer than [`SMALL_BYTES`].
    pub(super) large_frames: u16,
    /// Packets of many segments.
    pub(super) segments: u16,
}

/// Decides when to let others run first. Pure: it says how often, and the card does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacing {
    /// The backend's domain may share this CPU.
    shared: bool,
    /// Something was to be sent and found no room.
    waited_for_room: bool,
    /// What was received in this turn.
    turn_bytes: usize,
    /// A piece of a stream was received.
    in_stream: bool,
    /// The last turn left nothing that can be received.
    emptied: bool,
}

impl Pacing {
    /// For a guest that may share its CPU with the backend's domain.
    #[must_use]
    pub const fn shared_cpu() -> Self {
        Self { shared: true, waited_for_room: false, turn_bytes: 0, in_stream: false, emptied: false }
    }

    /// For a guest that has a CPU of its own: nothing is held back.
    #[must_use]
    pub const fn own_cpu() -> Self {
        Self { shared: false, ..Self::shared_cpu() }
    }

    /// What may be under way at once; `slots` is what the ring holds, and `segments_slots` what one packet of segments
    /// takes of it.
    pub(super) fn limits(&self, slots: u16, segments_slots: u16) -> Limits {
        let ring = Limits { frames: slots, large_frames: slots, segments: slots / segments_slots };
        if !self.shared {
            return ring;
        }
        Limits {
            frames: FRAMES.min(ring.frames),
            large_frames: LARGE_FRAMES.min(ring.large_frames),
            segments: SEGMENTS.min(ring.segments),
        }
    }

    /// A connection begins.
    pub(super) fn connect(&mut self) {
        self.waited_for_room = false;
    }

    /// Somebody wants to send, and there is room or not. Returns how often others run first: what was taken off the
    /// ring since there was none is on its way to somebody who may share this CPU.
    #[must_use]
    pub(super) fn before_sending(&mut self, room: bool) -> u32 {
        let waited = core::mem::replace(&mut self.waited_for_room, !room);
        if self.shared && waited && room { YIELDS } else { 0 }
    }

    /// A frame is about to be looked for. Returns how often others run first.
    ///
    /// What comes once the ring was empty is the beginning of a stream's next piece. The backend gets on with it first,
    /// because a piece that comes at once costs one turn here, one acknowledgement, and one event for the backend.
    #[must_use]
    pub(super) fn before_receiving(&mut self) -> u32 {
        u32::from(core::mem::take(&mut self.emptied) && core::mem::take(&mut self.in_stream) && self.shared)
    }

    /// A frame of so many bytes was received.
    pub(super) fn received(&mut self, bytes: usize) {
        self.turn_bytes += bytes;
    }

    /// A turn of the stack is over; `emptied` says that nothing is left to be received.
    pub(super) fn end_turn(&mut self, emptied: bool) {
        self.in_stream |= core::mem::take(&mut self.turn_bytes) > SINGLE_FRAMES_BYTES;
        self.emptied = emptied;
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Pacing, SINGLE_FRAMES_BYTES, YIELDS};

    /// A turn in which so many bytes come; returns how often others run first in it.
    fn turn(pacing: &mut Pacing, bytes: usize, emptied: bool) -> u32 {
        let yields = pacing.before_receiving();
        pacing.received(bytes);
        pacing.end_turn(emptied);
        yields
    }

    #[test]
    fn who_found_no_room_lets_others_run_once_when_there_is_some() {
        let mut pacing = Pacing::shared_cpu();
        assert_eq!([true, false, false, true, true].map(|room| pacing.before_sending(room)), [0, 0, 0, YIELDS, 0]);
    }

    #[test]
    fn a_new_connection_has_waited_for_nothing() {
        let mut pacing = Pacing::shared_cpu();
        assert_eq!(pacing.before_sending(false), 0);
        pacing.connect();
        assert_eq!(pacing.before_sending(true), 0);
    }

    #[test]
    fn the_beginning_of_a_streams_next_piece_waits_for_the_rest() {
        let mut pacing = Pacing::shared_cpu();
        assert_eq!(turn(&mut pacing, SINGLE_FRAMES_BYTES + 1, true), 0);
        assert_eq!(turn(&mut pacing, 100, true), 1);
        assert_eq!(turn(&mut pacing, 100, true), 0, "nothing of the stream has come since");
    }

    #[test]
    fn a_stream_in_the_middle_of_a_piece_is_not_held_up() {
        let mut pacing = Pacing::shared_cpu();
        assert_eq!(turn(&mut pacing, SINGLE_FRAMES_BYTES + 1, false), 0);
        assert_eq!(turn(&mut pacing, SINGLE_FRAMES_BYTES + 1, false), 0);
    }

    #[test]
    fn single_frames_are_no_stream() {
        let mut pacing = Pacing::shared_cpu();
        for _ in 0..3 {
            assert_eq!(turn(&mut pacing, SINGLE_FRAMES_BYTES, true), 0);
        }
    }

    #[test]
    fn a_shared_cpu_limits_what_is_under_way() {
        let limits = Pacing::shared_cpu().limits(256, 17);
        assert_eq!(limits, Limits { frames: 184, large_frames: 52, segments: 12 });
        let small_ring = Pacing::shared_cpu().limits(32, 17);
        assert_eq!(small_ring, Limits { frames: 32, large_frames: 32, segments: 1 });
    }

    #[test]
    fn on_a_cpu_of_its_own_a_guest_never_yields_and_fills_the_ring() {
        let mut pacing = Pacing::own_cpu();
        assert_eq!(pacing.limits(256, 17), Limits { frames: 256, large_frames: 256, segments: 15 });
        for _ in 0..3 {
            assert_eq!([false, true].map(|room| pacing.before_sending(room)), [0, 0]);
            assert_eq!(turn(&mut pacing, SINGLE_FRAMES_BYTES + 1, true), 0);
        }
    }
}
