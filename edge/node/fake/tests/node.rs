//! The program, with everything real but its guests.

mod common;

use std::fs;
use std::time::{Duration, SystemTime};

use common::{board, path};
use node_fake::board::{Board, QUOTA, TestTenant, command, wait_for};
use node_fake::toolstack::LOG_LINE;
use protocol::command::{Lifetime, Memory, OnCrash};
use protocol::{Cpu, Quota, TenantRecord, Timestamp, document};
use serde_json::Value;

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
    // Its last words are there when it is not.
    let logs = board.get(&format!("{}/logs", path(&acme, "one"))).text;
    assert_eq!(logs, format!("last words\n{LOG_LINE}\n"));
    let metrics = board.get("/metrics").text;
    for step in ["accept", "fetch", "create", "unpause", "collect", "destroy"] {
        let line = format!("spore_step_seconds_count{{step=\"{step}\"}} 1\n");
        assert!(metrics.contains(&line), "{line} is not in:\n{metrics}");
    }
}

#[test]
fn every_end_is_named() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    for (act, phase) in [("fail", "failed"), ("crash", "failed"), ("silent", "failed")] {
        assert_eq!(board.send(&acme, act, &format!("act={act}")).status, 201);
        board.wait(&acme, act, phase);
    }
    let state = |id: &str| board.get(&path(&acme, id)).json["state"]["failed"].clone();
    assert_eq!(state("fail")["error"]["message"], "no such sensor");
    assert_eq!(state("crash")["crashed"]["console"][0], "last words");
    assert_eq!(state("silent")["no_result"]["why"], "the guest powered off and left no report");
    let mut again = command(&acme, "again", "act=crash");
    again.on_crash = OnCrash::Again { times: 2, first_pause_seconds: 0, longest_pause_seconds: 0 };
    assert_eq!(board.send_command(&acme, &again).status, 201);
    board.wait(&acme, "again", "failed");
    assert_eq!(state("again")["crashed"]["attempts"], 3);
    let mut late = command(&acme, "late", "act=finish");
    late.deadline = Some(Timestamp::from_milliseconds(1));
    assert_eq!(board.send_command(&acme, &late).status, 201);
    board.wait(&acme, "late", "expired");
}

#[test]
fn a_guest_that_dies_at_once_a_hundred_times_is_made_as_often_and_no_more() {
    let board = board("");
    let (acme, other) = (board.tenant("acme", QUOTA), board.tenant("other", QUOTA));
    let mut dies = command(&acme, "dies", "act=crash");
    dies.on_crash = OnCrash::Again { times: 99, first_pause_seconds: 0, longest_pause_seconds: 0 };
    assert_eq!(board.send_command(&acme, &dies).status, 201);
    // Meanwhile others' commands run.
    assert_eq!(board.send(&other, "one", "act=finish").status, 201);
    board.wait(&other, "one", "finished");
    board.wait(&acme, "dies", "failed");
    assert_eq!(board.get(&path(&acme, "dies")).json["state"]["failed"]["crashed"]["attempts"], 100);
    assert_eq!(made(&board, &acme, "dies"), 100);
    wait_for("the guests to be gone", || board.guests() == 0);
}

#[test]
fn what_a_task_has_saved_when_it_crashes_is_given_to_its_next_guest() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    let mut steps = command(&acme, "steps", "act=save number=3");
    steps.on_crash = OnCrash::Again { times: 3, first_pause_seconds: 0, longest_pause_seconds: 0 };
    assert_eq!(board.send_command(&acme, &steps).status, 201);
    // One that is given nothing, or something old, never gets there.
    board.wait(&acme, "steps", "finished");
    assert_eq!(board.get(&path(&acme, "steps")).json["attempts"], 4);
}

#[test]
fn what_a_running_guest_saves_and_counts_is_shown_and_outlasts_it() {
    let board = board("checkpoint_seconds = 0");
    let acme = board.tenant("acme", QUOTA);
    let mut stay = command(&acme, "stay", "act=stay");
    stay.lifetime = Lifetime::Persistent;
    assert_eq!(board.send_command(&acme, &stay).status, 201);
    board.wait(&acme, "stay", "running");
    let guest = || board.get("/v1/node").json["guests"][0].clone();
    fs::write(board.fake("counters"), "heap_used=1 heap_peak=2 \u{1b}=3").unwrap();
    wait_for("garbage to be named", || board.log().contains("acme/stay counts what cannot be read"));
    assert_eq!(guest()["figures"], Value::Null);
    fs::write(board.fake("counters"), "heap_used=1 heap_peak=2 late=3").unwrap();
    fs::write(board.fake("saved"), "abc").unwrap();
    wait_for("the figures", || guest()["figures"]["counters"]["late"] == 3);
    assert_eq!(guest()["figures"]["heap_peak_bytes"], 2);
    let metrics = board.get("/metrics").text;
    for line in ["spore_guest_heap_used_bytes{tenant=\"acme\",command=\"stay\"} 1", "name=\"late\"} 3"] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    wait_for("the checkpoint to be on disk", || guest()["checkpoint"]["bytes"] == 3);
    // Somebody destroys the guest, and what it has saved with it.
    fs::remove_file(board.fake("saved")).unwrap();
    for file in fs::read_dir(board.fake("guests")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    wait_for("the next guest to be given it", || {
        let guests = fs::read_dir(board.fake("guests")).unwrap();
        let mut guests = guests.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
        guests.any(|guest| guest.contains("\"checkpoint\":[3,[97,98,99]]"))
    });
}

#[test]
fn a_guests_share_of_the_cpus_follows_its_tenants_quota() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    assert_eq!(board.send(&acme, "stay", "act=stay").status, 201);
    board.wait(&acme, "stay", "running");
    let record = TenantRecord {
        tenant: acme.name.clone(),
        keys: vec![acme.key.public().to_pem()],
        quota: Quota { cpu: Cpu { weight: 512, cap_percent: 50 }, ..QUOTA },
    };
    assert_eq!(board.call("PUT", "/v1/tenants/acme", "", &document::encode(&record)).status, 200);
    wait_for("the guest to have its new share", || {
        let guests = fs::read_dir(board.fake("guests")).unwrap();
        let mut guests = guests.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
        guests.any(|guest| guest.contains("\"cpu\":{\"weight\":512,\"cap_percent\":50}"))
    });
}

#[test]
fn what_a_guest_leaves_that_is_no_report_is_a_failure_and_not_the_nodes() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    fs::write(board.fake("garbage"), "").unwrap();
    assert_eq!(board.send(&acme, "one", "act=finish").status, 201);
    board.wait(&acme, "one", "finished");
    let report = board.get(&format!("{}/result", path(&acme, "one"))).json;
    let why = report["outcome"]["failed"]["no_result"]["why"].as_str().unwrap();
    assert!(why.contains("does not fit its type"), "{why}");
}

#[test]
fn what_does_not_fit_a_quota_the_task_or_the_board_is_refused_with_the_numbers() {
    let board = board("");
    let small = Quota { memory_mib: 16, guests: 1, queued: 2, ..QUOTA };
    let acme = board.tenant("acme", small);
    let refused = |command: &protocol::Command, status: u16, numbers: &str| {
        let answer = board.send_command(&acme, command);
        assert_eq!(answer.status, status, "{}", answer.text);
        let problem = answer.json["problem"].as_str().unwrap();
        assert!(problem.contains(numbers), "{problem}");
        assert!(!answer.json["remedy"].as_str().unwrap().is_empty());
    };
    let mut large = command(&acme, "large", "act=finish");
    large.memory = Memory::Mib(17.try_into().unwrap());
    refused(&large, 422, "17 MiB are more than the 16 that tenant \"acme\" may use");
    // The task is not here yet: what is wrong with the parameters is found when it was fetched.
    assert_eq!(board.send(&acme, "wrong", "act=finish number=many").status, 201);
    board.wait(&acme, "wrong", "failed");
    let why = board.get(&path(&acme, "wrong")).json["state"]["failed"]["refused"]["why"].to_string();
    assert!(why.contains("is not a whole number from 0 to 4294967295"), "{why}");
    // Now it is here, and they are refused at once.
    refused(&command(&acme, "again", "act=finish number=many"), 422, "\"many\" is not a whole number");
    for id in ["runs", "waits", "waits-too"] {
        assert_eq!(board.send(&acme, id, "act=stay").status, 201);
        if id == "runs" {
            board.wait(&acme, id, "running");
        }
    }
    refused(&command(&acme, "one-more", "act=stay"), 429, "2 commands of tenant \"acme\" wait already, 2 may");
    let waits = board.get(&path(&acme, "waits")).json["waits_for"].to_string();
    assert!(waits.contains("a guest of its tenant to end") || waits.contains("its task is fetched"), "{waits}");
}

#[test]
fn results_that_nobody_takes_hold_up_their_tenant_and_nobody_else() {
    let board = board("");
    let acme = board.tenant("acme", Quota { result_bytes: 1000, ..QUOTA });
    let other = board.tenant("other", QUOTA);
    assert_eq!(board.send(&acme, "one", "act=finish bytes=1000").status, 201);
    board.wait(&acme, "one", "finished");
    let answer = board.send(&acme, "two", "act=finish");
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert!(
        answer.text.contains("bytes of results of tenant \\\"acme\\\" wait to be taken, 1000 may"),
        "{}",
        answer.text
    );
    assert_eq!(board.send(&other, "one", "act=finish").status, 201);
    assert_eq!(board.get(&format!("{}/result", path(&acme, "one"))).status, 200);
    assert_eq!(board.send(&acme, "two", "act=finish").status, 201);
}

#[test]
fn the_same_command_twice_is_one_and_its_id_stays_taken() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    let first = command(&acme, "one", "act=finish");
    assert_eq!(board.send_command(&acme, &first).status, 201);
    assert_eq!(board.send_command(&acme, &first).status, 200);
    board.wait(&acme, "one", "finished");
    assert_eq!(board.send_command(&acme, &first).status, 200);
    assert_eq!(board.send(&acme, "one", "act=fail").status, 409);
    // Who had no answer signs it once more: that changes when it was signed, and not what it is.
    assert_eq!(board.send(&acme, "one", "act=finish").status, 200);
    assert_eq!(board.call("DELETE", &path(&acme, "one"), "", b"").status, 204);
    assert_eq!(board.get(&path(&acme, "one")).status, 404);
    assert_eq!(board.send_command(&acme, &first).status, 200, "a command that was removed must not run again");
    assert_eq!(made(&board, &acme, "one"), 1);
}

#[test]
fn what_was_forgotten_does_not_run_again() {
    let board = board("kept = { commands = 2 }");
    let acme = board.tenant("acme", QUOTA);
    let first = command(&acme, "c0", "act=finish");
    assert_eq!(board.send_command(&acme, &first).status, 201);
    for number in 1..5 {
        let id = format!("c{number}");
        assert_eq!(board.send(&acme, &id, "act=finish").status, 201);
        board.wait(&acme, &id, "finished");
    }
    // Nobody has taken anything yet: all are still there.
    assert_eq!(board.get("/v1/commands").json["commands"].as_array().unwrap().len(), 5);
    for number in 0..5 {
        assert_eq!(board.get(&format!("{}/result", path(&acme, &format!("c{number}")))).status, 200);
    }
    assert_eq!(board.get("/v1/commands").json["commands"].as_array().unwrap().len(), 2);
    assert!(board.get("/metrics").text.contains("spore_commands_forgotten_total 3"));
    let answer = board.send_command(&acme, &first);
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert!(answer.text.contains("it may have run already"), "{}", answer.text);
}

#[test]
fn a_hundred_commands_at_once_run_once_each() {
    let board = board("");
    let tenants = ["acme", "other"].map(|name| board.tenant(name, Quota { guests: 7, ..QUOTA }));
    std::thread::scope(|scope| {
        for number in 0..100 {
            let (board, tenant) = (&board, &tenants[number % 2]);
            scope.spawn(move || {
                let answer = board.send(tenant, &format!("c{number}"), &format!("act=finish number={number}"));
                assert_eq!(answer.status, 201, "{}", answer.text);
            });
        }
    });
    for number in 0..100 {
        let (tenant, id) = (&tenants[number % 2], format!("c{number}"));
        board.wait(tenant, &id, "finished");
        let report = board.get(&format!("{}/result", path(tenant, &id))).json;
        assert_eq!(report["outcome"]["finished"]["fields"]["answer"], number.to_string());
        assert_eq!(made(&board, tenant, &id), 1);
    }
    wait_for("the guests to be gone", || board.guests() == 0);
}

/// How many guests were made for a command.
fn made(board: &Board, tenant: &TestTenant, id: &str) -> usize {
    let made = fs::read_to_string(board.fake("made")).unwrap_or_default();
    let key = format!("{}/{id} ", tenant.name);
    made.lines().filter(|line| line.starts_with(&key)).count()
}

#[test]
fn a_node_that_is_killed_adopts_what_runs_and_does_the_rest_once() {
    let mut board = board("");
    let acme = board.tenant("acme", Quota { guests: 4, ..QUOTA });
    let mut forever = command(&acme, "forever", "act=stay");
    forever.lifetime = Lifetime::Persistent;
    assert_eq!(board.send_command(&acme, &forever).status, 201);
    board.wait(&acme, "forever", "running");
    for number in 0..30 {
        assert_eq!(board.send(&acme, &format!("c{number}"), "act=hold").status, 201);
        // Wherever it is at that moment.
        if number % 10 == 5 {
            board.kill();
            board.begin();
        }
    }
    fs::write(board.fake("release"), "").unwrap();
    board.wait(&acme, "c7", "finished");
    board.kill();
    board.begin();
    for number in 0..30 {
        let id = format!("c{number}");
        board.wait(&acme, &id, "finished");
        assert_eq!(made(&board, &acme, &id), 1, "{id}");
    }
    assert_eq!(made(&board, &acme, "forever"), 1);
    board.wait(&acme, "forever", "running");
    wait_for("only one guest to be left", || board.guests() == 1);
}

#[test]
fn a_toolstack_that_hangs_or_fails_keeps_nobody_from_asking_and_the_node_goes_on_after_it() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    for fault in ["hang", "list-fails", "destroy-fails", "ended-fails", "unpause-fails"] {
        fs::write(board.fake(fault), "").unwrap();
        assert_eq!(board.send(&acme, fault, "act=finish").status, 201);
        assert_eq!(board.get(&path(&acme, fault)).status, 200);
        if fault != "hang" {
            wait_for("the failure to be said", || board.log().contains(&format!("fake: {fault}")));
        }
        fs::remove_file(board.fake(fault)).unwrap();
        board.wait(&acme, fault, "finished");
        assert_eq!(made(&board, &acme, fault), 1);
    }
    fs::write(board.fake("create-fails"), "").unwrap();
    assert_eq!(board.send(&acme, "start", "act=finish").status, 201);
    wait_for("a start to fail", || board.get(&path(&acme, "start")).json["waits_for"].to_string().contains("a pause"));
    assert!(board.log().contains("could not be made: fake: create-fails"), "{}", board.log());
    fs::remove_file(board.fake("create-fails")).unwrap();
    board.wait(&acme, "start", "finished");
    assert_eq!(board.get(&path(&acme, "start")).json["attempts"], 2);
    wait_for("the guests to be gone", || board.guests() == 0);
}

#[test]
fn a_command_that_is_stopped_is_cancelled_and_its_guest_destroyed() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    assert_eq!(board.send(&acme, "one", "act=stay").status, 201);
    board.wait(&acme, "one", "running");
    assert_eq!(board.call("DELETE", &path(&acme, "one"), "", b"").status, 409, "it has not ended");
    let answer = board.call("POST", &format!("{}/stop", path(&acme, "one")), "", b"");
    assert_eq!((answer.status, &answer.json["state"]), (200, &"cancelled".into()));
    wait_for("the guest to be gone", || board.guests() == 0);
    assert_eq!(board.call("POST", &format!("{}/stop", path(&acme, "one")), "", b"").status, 409);
    let report = board.get(&format!("{}/result", path(&acme, "one"))).json;
    assert_eq!(report["outcome"], "cancelled");
}

#[test]
fn a_task_that_is_not_signed_by_its_tenant_or_not_there_never_starts() {
    let board = board("");
    let (acme, other) = (board.tenant("acme", QUOTA), board.tenant("other", QUOTA));
    let mut foreign = command(&acme, "foreign", "act=finish");
    foreign.task.digest = other.task;
    assert_eq!(board.send_command(&acme, &foreign).status, 201);
    board.wait(&acme, "foreign", "failed");
    let why = |id: &str| board.get(&path(&acme, id)).json["state"]["failed"]["no_task"]["why"].to_string();
    assert!(why("foreign").contains("is a task of tenant"), "{}", why("foreign"));
    let mut missing = command(&acme, "missing", "act=finish");
    missing.task.digest = protocol::Digest::of(b"nothing");
    assert_eq!(board.send_command(&acme, &missing).status, 201);
    board.wait(&acme, "missing", "failed");
    assert!(why("missing").contains("copy it there with `spore pull`"), "{}", why("missing"));
    missing.id = "elsewhere".parse().unwrap();
    missing.task.repository = Some("registry.example/acme/fake".parse().unwrap());
    assert_eq!(board.send_command(&acme, &missing).status, 201);
    board.wait(&acme, "elsewhere", "failed");
    assert!(why("elsewhere").contains("registry.example") && why("elsewhere").contains("the operator allows"));
    assert!(!board.fake("made").exists());
}

#[test]
fn a_tenant_is_not_removed_while_its_commands_run_unless_it_is_forced() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    assert_eq!(board.send(&acme, "one", "act=stay").status, 201);
    board.wait(&acme, "one", "running");
    let answer = board.call("DELETE", "/v1/tenants/acme", "", b"");
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("1 commands of tenant"), "{}", answer.text);
    assert_eq!(board.call("DELETE", "/v1/tenants/acme?force=true", "", b"").status, 204);
    board.wait(&acme, "one", "cancelled");
    wait_for("the guest to be gone", || board.guests() == 0);
    assert_eq!(board.send(&acme, "two", "act=stay").status, 403);
    assert_eq!(board.get("/v1/tenants").json["tenants"], Value::Array(Vec::new()));
}

#[test]
fn a_tenants_starts_are_counted_within_a_minute() {
    let board = board("");
    let acme = board.tenant("acme", Quota { starts_per_minute: 2, ..QUOTA });
    for id in ["one", "two", "three"] {
        assert_eq!(board.send(&acme, id, "act=finish").status, 201);
    }
    board.wait(&acme, "two", "finished");
    wait_for("the third to wait", || {
        board.get(&path(&acme, "three")).json["waits_for"].to_string().contains("a minute")
    });
    // As if the minute had passed.
    let more = protocol::TenantRecord {
        tenant: acme.name.clone(),
        keys: vec![acme.key.public().to_pem()],
        quota: Quota { starts_per_minute: 3, ..QUOTA },
    };
    assert_eq!(board.call("PUT", "/v1/tenants/acme", "", &protocol::document::encode(&more)).status, 200);
    board.wait(&acme, "three", "finished");
}

#[test]
fn a_config_with_an_unknown_key_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    fs::write(&config, "memory_reserve = 3\n").unwrap();
    let output = common::program(&config).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("unknown field `memory_reserve`"), "{error}");
}

#[test]
fn lines_of_the_log_are_json_when_programs_read_them() {
    let board = Board::start(
        |config| {
            let mut program = common::program(config);
            program.args(["--log-format", "json"]);
            program
        },
        "",
    );
    let line: Value = serde_json::from_str(board.log().lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "info");
    assert!(line["message"].as_str().unwrap().starts_with("node \"board\" serves at"));
    let time: Timestamp = line["time"].as_str().unwrap().parse().unwrap();
    assert!(time <= Timestamp::from(SystemTime::now()).after(Duration::from_secs(1)));
}
