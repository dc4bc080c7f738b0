//! The developer's machine as a platform: a task runs as an ordinary process, under a debugger if need be.
//!
//! Purpose: the same `lib.rs` of a task that becomes an image also becomes a program. It uses the machine's own network
//! (no root needed, except for ports below 1024), clock, randomness and standard output; Ctrl-C asks it to end.
//! Parameters are `key=value` words of the command line, read by the same code as in a guest. A task with a feed is given a
//! file of readings, `feed=readings.csv`, see the crate [`feed_files`]; or a socket that a task which feeds others has made in
//! the folder that it was told with `feeds=FOLDER`.
//!
//! [`main!`] is all that a task's `main.rs` needs. From the workspace:
//!
//! ```text
//! $ cargo xtask host echo -- port=7007
//! echo: listening on 127.0.0.1:7007
//! ```
//!
//! With `checkpoint=FILE`, what the task saves is kept in a file, and a process that is told the same file after one that
//! was killed goes on from there.

mod feed;
mod feeding;
mod help;
mod log;
mod network;
mod program;
mod system;

pub use feed::HostFeed;
pub use feeding::FeedSocket;
pub use network::{Connection, HostNetwork, Listener};
pub use program::run;
pub use system::Host;

/// Binds a task to this platform: `host::main!(echo)` runs `echo::run` with `echo::Parameters`.
///
/// The process ends with 0 and a line `result: key=value ...`, or with 1 and a line `error: ...`.
#[macro_export]
macro_rules! main {
    ($task:ident) => {
        fn main() -> ::std::process::ExitCode {
            $crate::run(env!("CARGO_PKG_NAME"), async |parameters: $task::Parameters, platform: &$crate::Host| {
                $task::run(parameters, platform).await
            })
        }
    };
}
