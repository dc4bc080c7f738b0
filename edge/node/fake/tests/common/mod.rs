//! What all tests of the program begin with.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::process::Command;

use node_fake::board::{Board, TestTenant};

/// The program with this config: as it was built for tests, or another build of it that SPORED names, to be measured.
pub fn program(config: &Path) -> Command {
    let built = std::env::var_os("SPORED").unwrap_or_else(|| env!("CARGO_BIN_EXE_spored-fake").into());
    let mut program = Command::new(built);
    program.arg("--config").arg(config);
    program
}

/// A board on which it runs.
pub fn board(config: &str) -> Board {
    Board::start(program, config)
}

/// A command's path.
pub fn path(tenant: &TestTenant, id: &str) -> String {
    format!("/v1/commands/{}/{id}", tenant.name)
}
