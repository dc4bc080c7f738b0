//! What lies where in the first page, and which sizes of rings go together.
//!
//! The left ring carries what the client says to the server, the right ring the answers. A ring of 1 or 2 KiB lies in
//! the first page itself; a larger one has pages of its own, whose grants are listed behind the indices.
//!
//! Source: `xen/include/public/io/libxenvchan.h`, `struct vchan_interface`.

use core::fmt;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// The left ring's consumer index, a `u32` that runs freely. Source: `left.cons`.
pub const LEFT_CONS: usize = 0;
/// The left ring's producer index. Source: `left.prod`.
pub const LEFT_PROD: usize = 4;
/// The right ring's consumer index. Source: `right.cons`.
pub const RIGHT_CONS: usize = 8;
/// The right ring's producer index. Source: `right.prod`.
pub const RIGHT_PROD: usize = 12;
/// The left ring's order, a `u16`. Source: `left_order`.
pub const LEFT_ORDER: usize = 16;
/// The right ring's order. Source: `right_order`.
pub const RIGHT_ORDER: usize = 18;
/// Whether the client is there, a byte. Source: `cli_live`.
pub const CLIENT_LIVE: usize = 20;
/// Whether the server is there. Source: `srv_live`.
pub const SERVER_LIVE: usize = 21;
/// What the client is to tell the server of, a byte of bits. Source: `cli_notify`.
pub const CLIENT_NOTIFY: usize = 22;
/// What the server is to tell the client of. Source: `srv_notify`.
pub const SERVER_NOTIFY: usize = 23;
/// The grants of the left ring's pages, then the right ring's, each a `u32`. Source: `grants`.
pub const GRANTS: usize = 24;

/// "Send an event when you have written." Source: `VCHAN_NOTIFY_WRITE`.
pub const NOTIFY_WRITE: u8 = 1;
/// "Send an event when you have read." Source: `VCHAN_NOTIFY_READ`.
pub const NOTIFY_READ: u8 = 2;

/// An end that is gone.
pub const LIVE_GONE: u8 = 0;
/// An end that is there.
pub const LIVE_CONNECTED: u8 = 1;
/// A client that has not come yet.
pub const LIVE_AWAITED: u8 = 2;

/// The size of a ring, as the power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order(u16);

impl Order {
    /// 1 KiB, in the first page.
    pub const SMALLEST: Self = Self(10);
    /// 1 MiB, in 256 pages of its own.
    pub const LARGEST: Self = Self(20);

    /// The order, if a ring can have it.
    #[must_use]
    pub const fn new(order: u16) -> Option<Self> {
        if order >= Self::SMALLEST.0 && order <= Self::LARGEST.0 { Some(Self(order)) } else { None }
    }

    /// The smallest ring that holds so many bytes, if any does.
    #[must_use]
    pub const fn holding(size_bytes: usize) -> Option<Self> {
        if size_bytes <= 1 << Self::SMALLEST.0 {
            return Some(Self::SMALLEST);
        }
        // The bits of a number that is one less: a power of two holds itself.
        Self::new((usize::BITS - (size_bytes - 1).leading_zeros()) as u16)
    }

    /// The power of two.
    #[must_use]
    pub const fn exponent(self) -> u16 {
        self.0
    }

    /// How many bytes the ring holds.
    #[must_use]
    pub const fn size_bytes(self) -> u32 {
        1 << self.0
    }

    /// How many pages the ring has of its own.
    #[must_use]
    pub const fn pages(self) -> usize {
        (self.size_bytes() as usize) / PAGE_BYTES
    }

    /// Where the ring begins, if it lies in the first page: at its own size.
    #[must_use]
    pub const fn offset_in_page(self) -> Option<usize> {
        if self.pages() == 0 { Some(self.size_bytes() as usize) } else { None }
    }
}

/// The sizes of two rings that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    left: Order,
    right: Order,
}

/// Two rings do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// No ring has this order.
    Order(u16),
    /// Both would lie at one place in the first page.
    SamePlace,
    /// The list of grants would reach into the ring that lies in the first page.
    GrantsInRing,
}

impl Layout {
    /// Rings of these sizes: `left` from the client to the server, `right` back.
    ///
    /// # Errors
    /// Why they do not go together.
    pub const fn new(left: Order, right: Order) -> Result<Self, Unfit> {
        let layout = Self { left, right };
        let grants_end = GRANTS + 4 * layout.grants();
        match (left.offset_in_page(), right.offset_in_page()) {
            (Some(left), Some(right)) if left == right => Err(Unfit::SamePlace),
            (Some(ring), _) | (_, Some(ring)) if grants_end > ring => Err(Unfit::GrantsInRing),
            _ => Ok(layout),
        }
    }

    /// Rings of the orders that somebody claims.
    ///
    /// # Errors
    /// Why there are none.
    pub const fn claimed(left: u16, right: u16) -> Result<Self, Unfit> {
        match (Order::new(left), Order::new(right)) {
            (Some(left), Some(right)) => Self::new(left, right),
            (None, _) => Err(Unfit::Order(left)),
            (_, None) => Err(Unfit::Order(right)),
        }
    }

    /// The ring from the client to the server.
    #[must_use]
    pub const fn left(self) -> Order {
        self.left
    }

    /// The ring from the server to the client.
    #[must_use]
    pub const fn right(self) -> Order {
        self.right
    }

    /// How many grants are listed in the first page: the left ring's, then the right ring's.
    #[must_use]
    pub const fn grants(self) -> usize {
        self.left.pages() + self.right.pages()
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => write!(formatter, "no ring has the order {order}"),
            Self::SamePlace => formatter.write_str("both rings would lie at one place of the first page"),
            Self::GrantsInRing => formatter.write_str("the list of grants would reach into a ring"),
        }
    }
}

impl core::error::Error for Unfit {}

const _: () = assert!(GRANTS + 4 * 2 * Order::LARGEST.pages() <= PAGE_BYTES, "any list of grants fits into the page");

#[cfg(test)]
mod tests {
    use super::{GRANTS, Layout, Order, PAGE_BYTES, Unfit};
    use std::vec::Vec;

    #[test]
    fn four_pairs_of_orders_do_not_fit() {
        let pairs = (0..32).flat_map(|left| (0..32).map(move |right| (left, right)));
        let refused: Vec<_> = pairs
            .filter(|(left, right)| (10..=20).contains(left) && (10..=20).contains(right))
            .filter_map(|(left, right)| Some((left, right, Layout::claimed(left, right).err()?)))
            .collect();
        let expected = [
            (10, 10, Unfit::SamePlace),
            (10, 20, Unfit::GrantsInRing),
            (11, 11, Unfit::SamePlace),
            (20, 10, Unfit::GrantsInRing),
        ];
        assert_eq!(refused, expected);
    }

    #[test]
    fn an_order_that_no_ring_has_is_named() {
        for wrong in [0, 1, 9, 21, 32, u16::MAX] {
            assert_eq!(Layout::claimed(wrong, 12), Err(Unfit::Order(wrong)));
            assert_eq!(Layout::claimed(12, wrong), Err(Unfit::Order(wrong)));
        }
    }

    #[test]
    fn rings_in_the_page_and_the_grants_of_others_do_not_overlap() {
        for (left, right) in (10..=20).flat_map(|left| (10..=20).map(move |right| (left, right))) {
            let Ok(layout) = Layout::claimed(left, right) else { continue };
            let mut pieces = Vec::from([(0, GRANTS + 4 * layout.grants())]);
            pieces.extend([layout.left(), layout.right()].iter().filter_map(|order| {
                let start = order.offset_in_page()?;
                Some((start, start + order.size_bytes() as usize))
            }));
            pieces.sort_unstable();
            assert!(pieces.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{layout:?}: {pieces:?}");
            assert!(pieces.iter().all(|(_, end)| *end <= PAGE_BYTES), "{layout:?}: {pieces:?}");
        }
    }

    #[test]
    fn the_smallest_ring_that_holds_something_is_found() {
        let holding = |bytes| Order::holding(bytes).map(Order::exponent);
        assert_eq!([0, 1, 1024, 1025, 2048, 2049, 4096, 4097].map(holding), [10, 10, 10, 11, 11, 12, 12, 13].map(Some));
        assert_eq!([(1 << 20) - 1, 1 << 20, (1 << 20) + 1, usize::MAX].map(holding), [Some(20), Some(20), None, None]);
    }
}
