//! Shared pages as the memory of a channel.

use alloc::rc::Rc;
use alloc::vec::Vec;

use channel::{Bytes, ControlPage};

use crate::memory::PAGE_SIZE;
use crate::shared_page::Shared;

/// The first page.
#[derive(Debug)]
pub struct FirstPage<S>(Rc<S>);

impl<S> FirstPage<S> {
    pub(super) fn new(page: Rc<S>) -> Self {
        Self(page)
    }
}

impl<S: Shared> Bytes for FirstPage<S> {
    fn read(&self, offset: usize, destination: &mut [u8]) {
        self.0.shared().read_bytes(offset, destination);
    }

    fn write(&self, offset: usize, source: &[u8]) {
        self.0.shared().write_bytes(offset, source);
    }
}

impl<S: Shared> ControlPage for FirstPage<S> {
    fn read_u8(&self, offset: usize) -> u8 {
        self.0.shared().read(offset)
    }

    fn write_u8(&self, offset: usize, value: u8) {
        self.0.shared().write(offset, value);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.0.shared().set_bits(offset, bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.0.shared().clear_bits(offset, bits)
    }

    fn read_u16(&self, offset: usize) -> u16 {
        self.0.shared().read(offset)
    }

    fn write_u16(&self, offset: usize, value: u16) {
        self.0.shared().write(offset, value);
    }

    fn read_u32(&self, offset: usize) -> u32 {
        self.0.shared().read(offset)
    }

    fn write_u32(&self, offset: usize, value: u32) {
        self.0.shared().write(offset, value);
    }
}

/// The pages of a ring, in the ring's order, wherever each lies.
#[derive(Debug)]
pub struct Pages<S>(Vec<S>);

impl<S> Pages<S> {
    /// The pages of a ring that has any.
    pub(super) fn new(pages: Vec<S>) -> Option<Self> {
        (!pages.is_empty()).then_some(Self(pages))
    }
}

impl<S: Shared> Bytes for Pages<S> {
    fn read(&self, mut offset: usize, mut destination: &mut [u8]) {
        while !destination.is_empty() {
            let inside = offset % PAGE_SIZE;
            let (part, rest) = destination.split_at_mut(destination.len().min(PAGE_SIZE - inside));
            self.0[offset / PAGE_SIZE].shared().read_bytes(inside, part);
            (offset, destination) = (offset + part.len(), rest);
        }
    }

    fn write(&self, mut offset: usize, mut source: &[u8]) {
        while !source.is_empty() {
            let inside = offset % PAGE_SIZE;
            let (part, rest) = source.split_at(source.len().min(PAGE_SIZE - inside));
            self.0[offset / PAGE_SIZE].shared().write_bytes(inside, part);
            (offset, source) = (offset + part.len(), rest);
        }
    }
}
