//! Raw ABI of the Xen hypervisor: types, constants and the hypercall instruction. No policy. Most of it is for guests;
//! [`context`], [`domctl`], [`start_info`] and [`sysctl`] are what makes guests.
//!
//! Each type is laid out as in Xen's public C headers (release 4.17, `xen/include/public`), which every item names and
//! a test compares with the compiler's view of them. Zerocopy says of which types bytes can be made and taken, as those
//! of a message to the store:
//!
//! ```
//! use xen_sys::io::xs_wire::{MessageHeader, MessageType};
//! use zerocopy::{FromBytes, IntoBytes};
//!
//! let path = b"device/vif\0";
//! let header = MessageHeader { kind: MessageType::Read as u32, req_id: 7, tx_id: 0, len: path.len() as u32 };
//! let message = [header.as_bytes(), path].concat();
//!
//! let (read, payload) = MessageHeader::read_from_prefix(&message).unwrap();
//! assert_eq!((read, payload), (header, &path[..]));
//! ```

#![no_std]

pub mod arch;
pub mod context;
pub mod domctl;
pub mod elf_note;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod io;
pub mod memory;
pub mod mmuext;
pub mod number;
pub mod sched;
pub mod shared_info;
pub mod start_info;
pub mod sysctl;
pub mod types;
pub mod vcpu;
