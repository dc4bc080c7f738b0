//! The orchestrator of a board: takes verified commands, runs each in a guest of its own, and goes on through every
//! crash.
//!
//! What is decided is apart from what is done. [`admission`] and [`queue`] are rules with numbers;
//! [`reconcile::step`] compares the journal with the guests that are there and says what to do next, and nothing
//! else; a [`turn()`] does it, through a [`Toolstack`], and [`Node`] writes each step to the [`Journal`] before it is
//! done. A node that was killed starts with an empty mind: it reads the journal, asks the toolstack, and takes the
//! same steps as one that was not. Read [`reconcile`] first.

#![forbid(unsafe_code)]

pub mod admission;
mod config;
pub mod daemon;
pub mod disk;
mod entry;
pub mod feeding;
mod handover;
mod journal;
mod log;
mod node;
pub mod queue;
pub mod reconcile;
mod saved;
pub mod toolstack;
mod turn;

pub use config::{Config, Kept, KeyPair, Listen};
pub use disk::Disk;
pub use entry::{Entry, GuestId, Key, NoKey, Prepared};
pub use feeding::Feed;
pub use journal::{Journal, JournalError};
pub use node::{Look, Node, NodeError, Pauses};
pub use saved::Saved;
pub use toolstack::{End, Ended, Guest, GuestSpec, Inside, Life, Piece, ReadConsole, Toolstack};
pub use turn::{Board, Desk, Settled, turn};
