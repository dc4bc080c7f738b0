//! The node in a process of a test that has no program `spored` beside it, which Cargo builds for this package's own tests
//! only: the test's own program, started again for one test that is the node.
//!
//! Such a test file has, word for word:
//!
//! ```text
//! /// The node: this very program, in a process of its own.
//! #[test]
//! #[ignore = "a process that other tests start"]
//! fn node_process() {
//!     node_fake::process::run();
//! }
//! ```

use std::path::Path;
use std::process::{Command, Stdio};

/// Where the process finds its config.
const CONFIG: &str = "NODE_CONFIG";

/// The node, until it is told to end: all of the test `node_process`.
///
/// # Panics
/// [`program`] has not started this process.
pub fn run() {
    let config = std::env::var_os(CONFIG).expect("the config's path");
    // How it ends is seen by who has started it.
    let _ = crate::main(["spored".into(), "--config".into(), config]);
}

/// The node with this config, for [`Board::start`](crate::board::Board::start).
///
/// # Panics
/// This program does not know where it is.
pub fn program(config: &Path) -> Command {
    let mut program = Command::new(std::env::current_exe().expect("the path of this program"));
    program.args(["--ignored", "--exact", "node_process", "--nocapture"]).env(CONFIG, config);
    program.stdout(Stdio::null());
    program
}
