//! HTTP/1.1 as a client that fetches (RFC 9110, RFC 9112).
//!
//! [`client`] connects, asks, follows redirects and goes on where a connection was lost; [`head`] reads what a server says
//! of its answer, [`body`] finds the body behind it, [`content`] undoes its compression. The body's bytes are handed out
//! where they lie in the connection's buffer. Why this is our own is in this package's README.md.
//!
//! Read [`client`] first.

pub mod body;
pub mod client;
pub mod content;
pub mod head;
pub mod url;
