//! The console's page: a ring of bytes in each direction.
//!
//! Source: `xen/include/public/io/console.h`. The other end is `xenconsoled` in dom0, which may write anything into the
//! page: an index that makes no sense is never used as one.

use core::mem::offset_of;
use core::sync::atomic::{Ordering, fence};

use xen_sys::io::console::ConsoleInterface;

use crate::shared_page::SharedPage;

const INPUT_BYTES: u32 = 1024;
/// Size of the ring to the console.
pub(crate) const OUTPUT_BYTES: u32 = 2048;

/// The guest's end of both rings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ring {
    page: SharedPage<'static>,
}

impl Ring {
    /// The rings in this page.
    pub(crate) fn new(page: SharedPage<'static>) -> Self {
        Self { page }
    }

    /// Room to the console, in bytes. An index that makes no sense counts as a full ring.
    pub(crate) fn room(self) -> u32 {
        let consumed = self.page.read::<u32>(offset_of!(ConsoleInterface, out_cons));
        let produced = self.page.read::<u32>(offset_of!(ConsoleInterface, out_prod));
        // The console has read the bytes before it says so: none written from here on can overwrite an unread one.
        fence(Ordering::Acquire);
        OUTPUT_BYTES.saturating_sub(produced.wrapping_sub(consumed))
    }

    /// Puts as many bytes into the ring as find room, and returns how many. If it is any, the console is to be told.
    pub(crate) fn write(self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            let room = self.room();
            let produced = self.page.read::<u32>(offset_of!(ConsoleInterface, out_prod));
            let start = produced % OUTPUT_BYTES;
            // Up to the end of what is free, and up to the ring's end.
            let length = (bytes.len() - written).min(room as usize).min((OUTPUT_BYTES - start) as usize);
            if length == 0 {
                break;
            }
            let offset = offset_of!(ConsoleInterface, output) + start as usize;
            self.page.write_bytes(offset, &bytes[written..written + length]);
            // The bytes are visible before the index that says so.
            fence(Ordering::Release);
            self.page.write(offset_of!(ConsoleInterface, out_prod), produced.wrapping_add(length as u32));
            written += length;
        }
        written
    }

    /// Takes input to the start of `destination`, and returns how many bytes. If it is any, the console is to be told.
    pub(crate) fn read(self, destination: &mut [u8]) -> usize {
        let consumed = self.page.read::<u32>(offset_of!(ConsoleInterface, in_cons));
        let produced = self.page.read::<u32>(offset_of!(ConsoleInterface, in_prod));
        // The index is read before the bytes that it covers.
        fence(Ordering::Acquire);
        let start = consumed % INPUT_BYTES;
        let available = Some(produced.wrapping_sub(consumed)).filter(|length| *length <= INPUT_BYTES).unwrap_or(0);
        let length = destination.len().min(available as usize).min((INPUT_BYTES - start) as usize);
        self.page.read_bytes(offset_of!(ConsoleInterface, input) + start as usize, &mut destination[..length]);
        // The bytes are read before the console may overwrite them.
        fence(Ordering::Release);
        self.page.write(offset_of!(ConsoleInterface, in_cons), consumed.wrapping_add(length as u32));
        length
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::memory::Page;

    fn ring() -> (Ring, SharedPage<'static>) {
        let page = Page::allocate().expect("memory");
        let address = page.address();
        page.leak();
        // SAFETY: the page is leaked, so it stays mapped, and nothing else refers to it.
        let page = unsafe { SharedPage::new(address) };
        (Ring::new(page), page)
    }

    /// What the console takes of the ring's content, as `xenconsoled` does.
    fn consume(page: SharedPage<'static>, most: u32) -> Vec<u8> {
        let consumed: u32 = page.read(offset_of!(ConsoleInterface, out_cons));
        let produced: u32 = page.read(offset_of!(ConsoleInterface, out_prod));
        let length = most.min(produced.wrapping_sub(consumed));
        let bytes = (0..length).map(|index| {
            let mut byte = [0];
            let place = consumed.wrapping_add(index) % OUTPUT_BYTES;
            page.read_bytes(offset_of!(ConsoleInterface, output) + place as usize, &mut byte);
            byte[0]
        });
        let bytes = bytes.collect();
        page.write(offset_of!(ConsoleInterface, out_cons), consumed.wrapping_add(length));
        bytes
    }

    #[test]
    fn bytes_come_out_in_order_also_across_the_end_of_ring_and_index() {
        let (ring, page) = ring();
        for offset in [offset_of!(ConsoleInterface, out_cons), offset_of!(ConsoleInterface, out_prod)] {
            page.write(offset, u32::MAX - 100);
        }
        let sent: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
        let (mut written, mut taken) = (0, Vec::new());
        while taken.len() < sent.len() {
            written += ring.write(&sent[written..]);
            taken.extend(consume(page, 700));
        }
        assert_eq!(taken, sent);
    }

    #[test]
    fn a_ring_that_nobody_reads_takes_no_more_than_it_holds() {
        let (ring, page) = ring();
        assert_eq!([0; 3].map(|_| ring.write(&[7; 1500])), [1500, 548, 0]);
        assert_eq!(consume(page, u32::MAX).len(), 2048);
        assert_eq!(ring.room(), OUTPUT_BYTES);
    }

    #[test]
    fn what_is_typed_comes_in_order_also_across_the_end_of_ring_and_index() {
        let (ring, page) = ring();
        let typed: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
        let start = u32::MAX - 100;
        for offset in [offset_of!(ConsoleInterface, in_cons), offset_of!(ConsoleInterface, in_prod)] {
            page.write(offset, start);
        }
        let mut taken = Vec::<u8>::new();
        for (index, byte) in typed.iter().enumerate() {
            let place = start.wrapping_add(index as u32);
            page.write_bytes(offset_of!(ConsoleInterface, input) + (place % INPUT_BYTES) as usize, &[*byte]);
            page.write(offset_of!(ConsoleInterface, in_prod), place.wrapping_add(1));
            if index % 700 == 0 || index + 1 == typed.len() {
                let mut piece = [0; 300];
                while let length @ 1.. = ring.read(&mut piece) {
                    taken.extend(&piece[..length]);
                }
            }
        }
        assert_eq!(taken, typed);
    }

    #[test]
    fn an_index_that_makes_no_sense_is_a_full_ring_and_no_input() {
        let (ring, page) = ring();
        page.write(offset_of!(ConsoleInterface, out_cons), 5u32);
        assert_eq!((ring.room(), ring.write(b"text")), (0, 0));
        page.write(offset_of!(ConsoleInterface, in_prod), 5000u32);
        assert_eq!(ring.read(&mut [0; 16]), 0);
    }
}
