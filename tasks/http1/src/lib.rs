//! HTTP/1.1 as a client that fetches (RFC 9110, RFC 9112), for the tasks that speak it.
//!
//! [`ask`] connects and sends a request, [`head`] reads what a server says of its answer, [`body`] finds the body behind
//! it. The body's bytes are handed out where they lie in the connection's buffer. Why this is our own is in the README.md
//! of `tasks/filter`.
//!
//! Read [`request`] first.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod body;
pub mod head;
pub mod request;
pub mod url;

pub use body::Body;
pub use head::Answer;
pub use request::{Connection, Error, ask};
pub use url::Url;
