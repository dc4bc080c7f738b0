//! How the two ends of a channel come to be.

use alloc::vec::Vec;

use crate::half::{Direction, Half};
use crate::layout::{
    CLIENT_LIVE, CLIENT_NOTIFY, GRANTS, LEFT_ORDER, LIVE_AWAITED, LIVE_CONNECTED, Layout, NOTIFY_WRITE, RIGHT_ORDER,
    SERVER_LIVE, SERVER_NOTIFY, Unfit,
};
use crate::memory::{Bytes, ControlPage, Events};
use crate::stream::{Channel, Side};

/// The server's end, in memory of its own: a page, and pages for each ring that has any, with the grants by which the
/// client will name them, the left ring's first.
///
/// The grant of the page itself, and the event channel's port, are told to the client when this has returned.
///
/// # Panics
/// When pages or grants are not those of `layout`.
pub fn server<P: ControlPage, R: Bytes, E: Events>(
    page: P,
    (left, right): (Option<R>, Option<R>),
    events: E,
    layout: Layout,
    grants: &[u32],
) -> Channel<P, R, E> {
    assert_eq!(grants.len(), layout.grants(), "a grant for each page of the rings");
    for direction in [Direction::Left, Direction::Right] {
        page.write_u32(direction.cons(), 0);
        page.write_u32(direction.prod(), 0);
    }
    page.write_u16(LEFT_ORDER, layout.left().exponent());
    page.write_u16(RIGHT_ORDER, layout.right().exponent());
    for (index, grant) in grants.iter().enumerate() {
        page.write_u32(GRANTS + 4 * index, *grant);
    }
    page.write_u8(CLIENT_LIVE, LIVE_AWAITED);
    page.write_u8(SERVER_LIVE, LIVE_CONNECTED);
    page.write_u8(SERVER_NOTIFY, 0);
    // The client tells of its first bytes even if nobody waits for them yet.
    page.write_u8(CLIENT_NOTIFY, NOTIFY_WRITE);
    let reads = Half::reading(Direction::Left, layout.left(), left, 0);
    let writes = Half::writing(Direction::Right, layout.right(), right, 0);
    Channel::new(page, events, Side::Server, reads, writes)
}

/// What a server offers to its client, read from its page once.
#[derive(Debug)]
pub struct Offer<P> {
    page: P,
    layout: Layout,
    left: Vec<u32>,
    right: Vec<u32>,
}

impl<P: ControlPage> Offer<P> {
    /// Reads what the server's page says.
    ///
    /// # Errors
    /// The rings that it describes cannot be.
    pub fn read(page: P) -> Result<Self, Unfit> {
        let layout = Layout::claimed(page.read_u16(LEFT_ORDER), page.read_u16(RIGHT_ORDER))?;
        let mut grants = (0..layout.grants()).map(|index| page.read_u32(GRANTS + 4 * index));
        let left = grants.by_ref().take(layout.left().pages()).collect();
        let right = grants.collect();
        Ok(Self { page, layout, left, right })
    }

    /// The rings.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The grants of the left ring's pages, which the client writes. None if it lies in the first page.
    #[must_use]
    pub fn left(&self) -> &[u32] {
        &self.left
    }

    /// The grants of the right ring's pages, which the client only reads. None if it lies in the first page.
    #[must_use]
    pub fn right(&self) -> &[u32] {
        &self.right
    }

    /// The client's end, with the rings' pages mapped where they have any. The server is told.
    ///
    /// It goes on where the page says that a client before it was.
    ///
    /// # Panics
    /// When pages are not those of the layout.
    pub fn connect<R: Bytes, E: Events>(self, (left, right): (Option<R>, Option<R>), events: E) -> Channel<P, R, E> {
        let Self { page, layout, .. } = self;
        let produced = page.read_u32(Direction::Left.prod());
        let consumed = page.read_u32(Direction::Right.cons());
        let reads = Half::reading(Direction::Right, layout.right(), right, consumed);
        let writes = Half::writing(Direction::Left, layout.left(), left, produced);
        page.write_u8(CLIENT_LIVE, LIVE_CONNECTED);
        page.set_bits(SERVER_NOTIFY, NOTIFY_WRITE);
        // The event comes after what it announces: a hypercall, which no CPU moves accesses across.
        events.send();
        Channel::new(page, events, Side::Client, reads, writes)
    }
}
