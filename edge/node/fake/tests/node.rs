//! The program, with everything real but its guests.

use std::process::Command;

use node_fake::board::{Board, QUOTA, TestTenant, wait_for};
use serde_json::Value;

fn board(config: &str) -> Board {
    Board::start(|| Command::new(env!("CARGO_BIN_EXE_spored-fake")), config)
}

fn path(tenant: &TestTenant, id: &str) -> String {
    format!("/v1/commands/{}/{id}", tenant.name)
}

#[test]
fn a_signed_command_runs_and_leaves_a_report_with_its_fields() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    let answer = board.send(&acme, "one", "act=finish number=42 bytes=3");
    assert_eq!((answer.status, &answer.json["command"]), (201, &Value::from("one")), "{}", answer.text);
    board.wait(&acme, "one", "finished");
    let report = board.get(&format!("{}/result", path(&acme, "one"))).json;
    assert_eq!(report["outcome"]["finished"]["fields"]["answer"], "42");
    assert_eq!(report["outcome"]["finished"]["fields"]["text"], "xxx");
    assert_eq!((&report["node"], &report["task"], &report["attempts"]), (&"board".into(), &"fake".into(), &1.into()));
    wait_for("the guest to be gone", || board.guests() == 0);
}
