//! Spore's build tool: from a task's package to an image that Xen boots, and everything that is done with it.
//!
//! One module of [`command`] is one subcommand; the others are what the subcommands share. Read [`workspace`] for how a
//! task is found, [`image`] for how it is built and [`schema`] for what is known about its parameters.

#![forbid(unsafe_code)]

pub mod arch;
pub mod command;
pub mod demo;
pub mod guest;
pub mod image;
pub mod interrupt;
pub mod process;
pub mod schema;
pub mod setup;
pub mod symbols;
pub mod terminal;
pub mod workspace;
