//! The parts of the stack's state. Each knows its own matter, and none knows the state that owns it.
//!
//! | module | what it has |
//! |---|---|
//! | `address`, `dhcp` | how the interface gets its address; announcements |
//! | `sockets` | the set of sockets and the memory of their buffers |
//! | `backlog` | ports that are listened on |
//! | `outbox` | datagrams on their way out |
//! | `closing` | sockets whose users are gone |
//! | `boundary` | between `smoltcp` and the device, with `filter`, `sequence` and `distant`: what happens to frames |
//! | `notices` | what is said on the console |
//! | `deadline`, `wakers` | who waits for what |
//! | `endpoint` | addresses in the standard library's terms |

pub(super) mod address;
pub(super) mod backlog;
pub(super) mod boundary;
pub(super) mod closing;
pub(super) mod deadline;
pub(super) mod dhcp;
pub(super) mod distant;
pub(super) mod endpoint;
pub(super) mod filter;
pub(super) mod notices;
pub(super) mod outbox;
pub(super) mod sequence;
pub(super) mod sockets;
pub(super) mod wakers;
