//! A platform in memory for tests of tasks: its network are peers that the test speaks for.
//!
//! A task sees the traits that it sees in a guest, without Xen, sockets, threads or time: a test is quick, always takes
//! the same course, and says what a peer sends byte for byte, right or wrong. [`Guest`] is the platform, [`Peer`] the
//! other end of a connection. What the protocols below do with bad frames is not in it; that is the business of the
//! kernel's own tests, of the fuzz targets and of scenarios on Xen.
//!
//! A whole test of a task that fetches a number from a server and adds one:
//!
//! ```
//! use embedded_io_async::Read;
//! use embedded_nal_async::TcpConnect;
//! use kernel::Networked;
//!
//! async fn run(server: std::net::SocketAddr, system: &impl Networked) -> Result<u8, &'static str> {
//!     let mut connection = system.network().connect(server).await.map_err(|_| "no server")?;
//!     let mut number = [0];
//!     connection.read_exact(&mut number).await.map_err(|_| "no number")?;
//!     Ok(number[0] + 1)
//! }
//!
//! let guest = testing::Guest::new();
//! guest.server(80).say(&[41]);
//! let address = "10.0.0.1:80".parse().unwrap();
//! assert_eq!(guest.run(run(address, &guest), |_| {}), Some(Ok(42)));
//! ```
//!
//! A task that serves is called by [`Guest::client`], takes datagrams from [`Guest::send_datagram`], and is asked to
//! end with [`Guest::stop`]; the tests of `echo` show it. A task with a feed gets it from a
//! [`Feeder`], one that feeds others is listened to as a task by [`Guest::fed_task`]. Timers run on the clock of embassy-time's driver in the
//! test's program, and [`Guest::run`] does not wait for them.

#![forbid(unsafe_code)]

mod datagrams;
mod error;
mod feed;
mod guest;
mod network;
mod peer;

pub use datagrams::Datagrams;
pub use error::Error;
pub use feed::{FeedBytes, Feeder};
pub use guest::Guest;
pub use network::Listener;
pub use peer::{Peer, Stream};
