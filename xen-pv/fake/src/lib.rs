//! A fake hypervisor and fake backends, on which the real driver code runs in host tests.
//!
//! [`Machine`] is one domain with its store and its backends. There are no threads, no clocks and no sleeps:
//! [`Machine::settle`] lets everything run until nothing has anything to do any more, and the same test does the same
//! thing every time.
//!
//! The fakes are strict where the real ones are: a backend that reaches for a page which is not granted, or finds a
//! request that Xen's netback would refuse, panics. They can be told to be hostile: the rings and the store's page are
//! open to the tests.

pub mod bed;
pub mod frames;
pub mod hypervisor;
pub mod machine;
pub mod netback;
pub mod random;
pub mod store;
pub mod tasks;

pub use hypervisor::FakeXen;
pub use machine::Machine;
pub use netback::Netback;
pub use store::Store;
