//! Commands with a contract, and the command that is the board's broker.

mod common;

use std::fs;
use std::num::NonZeroU32;

use common::{board, path};
use node_fake::board::{Board, QUOTA, TestTenant, command, wait_for};
use protocol::command::{Contract, Lifetime, Sensors, Window};

const CONTRACT: &str = "name=roof/*&kind=temperature&live=yes&rate=10";

fn fed(tenant: &TestTenant, id: &str) -> protocol::Command {
    let kind = Some("temperature".parse().unwrap());
    let roof = Sensors { name: "roof/*".parse().unwrap(), kind, unit: None, place: None };
    let (window, most_readings_per_second) = (Window::Live, NonZeroU32::new(10).unwrap());
    let contract = Some(Contract { sensors: vec![roof], window, most_readings_per_second });
    protocol::Command { contract, ..command(tenant, id, "act=stay") }
}

/// Who feeds whom, by their domains, and what was said of it.
fn contracts(board: &Board) -> Vec<(String, String)> {
    let files = fs::read_dir(board.fake("contracts")).unwrap().map(|file| file.unwrap());
    let mut files: Vec<_> = files
        .filter_map(|file| {
            // It may go meanwhile.
            Some((file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).ok()?))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_contract_is_refused_where_nobody_feeds_tasks() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    let answer = board.send_command(&acme, &fed(&acme, "one"));
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("no broker that feeds tasks") && answer.text.contains("feeder"), "{}", answer.text);
}

#[test]
fn a_task_waits_for_the_broker_is_fed_by_it_and_by_the_one_that_comes_after_it() {
    let mut board = board("feeder = \"ops/broker\"");
    let (ops, acme) = (board.tenant("ops", QUOTA), board.tenant("acme", QUOTA));
    assert_eq!(board.send_command(&acme, &fed(&acme, "one")).status, 201);
    let waits_for = |board: &Board| board.get(&path(&acme, "one")).json["waits_for"].clone();
    wait_for("the task to wait", || waits_for(&board) == "the board's broker");
    let broker = protocol::Command { lifetime: Lifetime::Persistent, ..command(&ops, "broker", "act=stay") };
    assert_eq!(board.send_command(&ops, &broker).status, 201);
    board.wait(&acme, "one", "running");
    assert_eq!(contracts(&board), [("1-2".to_owned(), CONTRACT.to_owned())]);
    // A node that was killed knows it all by what is there.
    board.kill();
    let made = fs::read_to_string(board.fake("made")).unwrap();
    board.begin();
    assert_eq!(board.send_command(&acme, &fed(&acme, "two")).status, 201);
    board.wait(&acme, "two", "running");
    let both = ["1-2", "1-3"].map(|who| (who.to_owned(), CONTRACT.to_owned()));
    assert_eq!(contracts(&board), both);
    // Somebody ends the broker, and with it goes what it was told.
    let guest = made.lines().find_map(|line| line.strip_prefix("ops/broker ")).unwrap();
    fs::remove_file(board.fake("guests").join(guest)).unwrap();
    ["1-2", "1-3"].iter().for_each(|who| fs::remove_file(board.fake("contracts").join(who)).unwrap());
    let anew = ["4-2", "4-3"].map(|who| (who.to_owned(), CONTRACT.to_owned()));
    wait_for("the next broker to feed both", || contracts(&board) == anew);
    assert_eq!(board.get(&path(&acme, "one")).json["attempts"], 1);
    let answer = board.call("POST", &format!("{}/stop", path(&acme, "one")), "", b"");
    assert_eq!(answer.status, 200, "{}", answer.text);
    wait_for("the contract to go with its guest", || contracts(&board) == anew[1..]);
}
