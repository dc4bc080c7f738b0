//! Spore's build tool: from a task's package to an image that Xen boots, and everything that is done with it.
//!
//! ```text
//! $ cargo xtask new peak
//! $ cargo xtask boot peak -- readings=21,19,24 limit=20
//! ```
//!
//! One module of [`command`] is one subcommand; the others are what the subcommands share. Read [`workspace`] for how a
//! task is found, [`image`] for how it is built; `description` says what is known about its parameters.

#![forbid(unsafe_code)]

pub mod arch;
pub mod command;
pub mod compare;
pub mod demo;
pub mod guest;
pub mod host_tests;
pub mod image;
pub mod interrupt;
pub mod licenses;
pub mod new;
pub mod part;
pub mod process;
pub mod setup;
pub mod symbols;
pub mod terminal;
pub mod workspace;
