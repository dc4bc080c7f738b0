//! Channels from dom0 to guests: the same protocol as in a guest ([`channel`]), over Linux's devices for grants and events.
//!
//! [`serve`] offers a channel to a domain, [`connect`] takes one that a domain offers. Either gives an [`End`], which is
//! read and written as a file is, and waits. Where who finds whom is said in xenstore, as libxenvchan has it.
//!
//! Linux lends 1,024 granted pages to all programs together, unless its module xen-gntalloc is told otherwise
//! (`/sys/module/xen_gntalloc/parameters/limit`): four rings of 1 MiB, or sixteen of 256 KiB.

#![deny(unsafe_code)]

mod directory;
mod end;
#[allow(unsafe_code, reason = "ioctl")]
mod events;
#[allow(unsafe_code, reason = "memory that other domains share, and ioctl")]
mod memory;

pub use channel::layout::{Layout, Order};
pub use end::End;

use std::io;

use channel::layout::{CLIENT_LIVE, SERVER_LIVE, Unfit};
use channel::{Offer, server};
use events::Line;
use memory::Memory;

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Linux's device refuses.
    #[error("{device}: {source}")]
    Device {
        /// Its path.
        device: &'static str,
        /// Why.
        source: io::Error,
    },
    /// xenstore refuses.
    #[error(transparent)]
    Store(#[from] xenstore::Error),
    /// Nobody offers a channel there.
    #[error("there is no channel at {0}")]
    NotFound(String),
    /// What is offered cannot be.
    #[error("the channel at {directory}: {unfit}")]
    Unfit {
        /// Where it was found.
        directory: String,
        /// Why.
        unfit: Unfit,
    },
}

impl Error {
    pub(crate) fn device(device: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Device { device, source: source.into() }
    }
}

/// Offers a channel to a domain, at a directory of xenstore; it need not be there yet. The client is told of a program
/// that ends, however it does.
///
/// # Errors
/// Why there is none; then nothing stays granted.
pub fn serve(domain: u16, directory: &str, layout: Layout) -> Result<End, Error> {
    let line = Line::unbound(domain)?;
    let first = Memory::granted(domain, 1)?;
    first.tell_when_gone(SERVER_LIVE, line.port())?;
    let ring = |order: Order| (order.pages() > 0).then(|| Memory::granted(domain, order.pages())).transpose();
    let rings = (ring(layout.left())?, ring(layout.right())?);
    let references: Vec<u32> =
        [&rings.0, &rings.1].into_iter().flatten().flat_map(Memory::references).copied().collect();
    let (page, port) = (first.references()[0], line.port());
    let channel = server(first, rings, line, layout, &references);
    let shown = directory::publish(domain, directory, page, port)?;
    Ok(End::new(channel, Some(shown)))
}

/// Takes the channel that a domain offers at a directory of xenstore.
///
/// # Errors
/// Why there is none; then nothing stays mapped.
pub fn connect(domain: u16, directory: &str) -> Result<End, Error> {
    let (page, port) = directory::find(directory)?;
    let line = Line::bound(domain, port)?;
    let first = Memory::mapped(domain, &[page], true)?;
    first.tell_when_gone(CLIENT_LIVE, line.port())?;
    let unfit = |unfit| Error::Unfit { directory: directory.to_owned(), unfit };
    let offer = Offer::read(first).map_err(unfit)?;
    let ring = |references: &[u32], writable| {
        (!references.is_empty()).then(|| Memory::mapped(domain, references, writable)).transpose()
    };
    let rings = (ring(offer.left(), true)?, ring(offer.right(), false)?);
    Ok(End::new(offer.connect(rings, line), None))
}
