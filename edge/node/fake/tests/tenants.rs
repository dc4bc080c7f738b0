//! What a tenant sees, and what it does not: each call of the interface as the operator, as two tenants, and as nobody.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use common::{board, path};
use node_fake::board::{Answer, Board, QUOTA, TestTenant};
use protocol::Purpose;
use serde_json::Value;

fn as_tenant(board: &Board, tenant: &TestTenant, method: &str, path: &str) -> Answer {
    board.call(method, path, &tenant.access(Purpose::Manage), b"")
}

#[test]
fn anothers_command_is_as_unknown_as_one_that_never_was() {
    let board = board("");
    let (acme, other) = (board.tenant("acme", QUOTA), board.tenant("other", QUOTA));
    assert_eq!(board.send(&acme, "secret", "act=stay").status, 201);
    assert_eq!(board.send(&acme, "ended", "act=finish").status, 201);
    board.wait(&acme, "secret", "running");
    board.wait(&acme, "ended", "finished");
    for id in ["secret", "ended"] {
        for (method, end) in [
            ("GET", ""),
            ("GET", "/result"),
            ("GET", "/logs"),
            ("GET", "/logs?follow=true"),
            ("POST", "/stop"),
            ("DELETE", ""),
        ] {
            let answer = as_tenant(&board, &other, method, &format!("{}{end}", path(&acme, id)));
            let never = as_tenant(&board, &other, method, &format!("{}{end}", path(&acme, "never")));
            assert_eq!(answer.status, 404, "{method} {end}: {}", answer.text);
            assert_eq!(answer.text.replace(id, "never"), never.text, "{method} {end}");
        }
    }
    // Nothing of it has happened.
    board.wait(&acme, "secret", "running");
    assert_eq!(as_tenant(&board, &acme, "GET", &format!("{}/result", path(&acme, "ended"))).status, 200);
}

#[test]
fn lists_show_a_tenant_what_is_its_own() {
    let board = board("");
    let (acme, other) = (board.tenant("acme", QUOTA), board.tenant("other", QUOTA));
    for tenant in [&acme, &other] {
        assert_eq!(board.send(tenant, "runs", "act=stay").status, 201);
        assert_eq!(board.send(tenant, "ends", "act=finish").status, 201);
        board.wait(tenant, "runs", "running");
        board.wait(tenant, "ends", "finished");
    }
    for path in ["/v1/commands", "/v1/commands?tenant=acme", "/v1/node", "/v1/tasks", "/v1/tenants"] {
        let answer = as_tenant(&board, &other, "GET", path);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(!answer.text.contains("acme"), "{path}: {}", answer.text);
        let all = board.get(path);
        assert!(all.text.contains("acme"), "{path}: {}", all.text);
    }
    let guests = |answer: Answer| answer.json["guests"].as_array().unwrap().len();
    assert_eq!(guests(as_tenant(&board, &other, "GET", "/v1/node")), 1);
    assert_eq!(guests(board.get("/v1/node")), 2);
}

/// The data of a stream's next events.
fn events(lines: &mut impl Iterator<Item = String>, count: usize) -> Vec<Value> {
    let data = lines.filter_map(|line| Some(serde_json::from_str(line.strip_prefix("data: ")?).unwrap()));
    data.take(count).collect()
}

#[test]
fn events_are_numbered_without_a_gap_for_each_reader_over_a_restart() {
    let mut board = board("");
    let (acme, other) = (board.tenant("acme", QUOTA), board.tenant("other", QUOTA));
    for tenant in [&acme, &other] {
        assert_eq!(board.send(tenant, "one", "act=finish").status, 201);
        board.wait(tenant, "one", "finished");
    }
    let read = |board: &Board, authorization: &str, after: u64, count: usize| {
        events(&mut board.stream(&format!("/v1/events?after={after}"), authorization), count)
    };
    let numbers = |events: &[Value]| events.iter().map(|event| event["number"].as_u64().unwrap()).collect::<Vec<_>>();
    // Accepted, queued, starting, running, finished.
    let theirs = read(&board, &other.access(Purpose::Read), 0, 5);
    assert_eq!(numbers(&theirs), [1, 2, 3, 4, 5]);
    assert!(theirs.iter().all(|event| event["tenant"] == "other"));
    assert_eq!(theirs[4]["state"], "finished");
    assert_eq!(numbers(&read(&board, "", 0, 10)), (1..=10).collect::<Vec<_>>());
    board.kill();
    board.begin();
    // Who had seen three goes on with the fourth, and hears what comes after.
    let mut stream = board.stream("/v1/events?after=3", &other.access(Purpose::Read));
    assert_eq!(numbers(&events(&mut stream, 2)), [4, 5]);
    assert_eq!(board.send(&acme, "two", "act=finish").status, 201);
    assert_eq!(board.send(&other, "two", "act=finish").status, 201);
    assert_eq!(numbers(&events(&mut stream, 5)), [6, 7, 8, 9, 10]);
    assert_eq!(numbers(&read(&board, "", 10, 10)), (11..=20).collect::<Vec<_>>());
}

#[test]
fn an_access_for_reading_changes_nothing_and_a_bad_one_lets_nobody_in() {
    let board = board("");
    let (acme, other) = (board.tenant("acme", QUOTA), board.tenant("other", QUOTA));
    assert_eq!(board.send(&acme, "one", "act=stay").status, 201);
    board.wait(&acme, "one", "running");
    let read = acme.access(Purpose::Read);
    assert_eq!(board.call("GET", &path(&acme, "one"), &read, b"").status, 200);
    let answer = board.call("POST", &format!("{}/stop", path(&acme, "one")), &read, b"");
    assert_eq!((answer.status, &answer.json["problem"]), (403, &"this access is good for reading only".into()));
    // Signed by another's key: root's own rights do not help it.
    let forged = TestTenant { name: acme.name.clone(), key: other.key.clone(), task: acme.task };
    for header in [forged.access(Purpose::Manage), "Spore nonsense".to_owned(), "Basic YTpi".to_owned()] {
        let answer = board.call("GET", "/v1/commands", &header, b"");
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert!(!answer.json["remedy"].as_str().unwrap().is_empty());
    }
    for (method, path) in [("PUT", "/v1/tenants/acme"), ("DELETE", "/v1/tenants/acme"), ("GET", "/metrics")] {
        assert_eq!(as_tenant(&board, &acme, method, path).status, 403, "{method} {path}");
    }
    board.wait(&acme, "one", "running");
}

#[test]
fn a_command_that_another_has_signed_is_refused_and_says_nothing_of_who_is_known() {
    let board = board("");
    let (acme, other) = (board.tenant("acme", QUOTA), board.tenant("other", QUOTA));
    let send = |tenant: &str, authorization: &str| {
        let mut command = node_fake::board::command(&acme, "one", "act=finish");
        command.tenant = tenant.parse().unwrap();
        let sealed = protocol::SignedCommand::seal(&command, &other.key).to_bytes();
        board.call("POST", "/v1/commands", authorization, &sealed)
    };
    let access = other.access(Purpose::Read);
    let (known, unknown) = (send("acme", &access), send("nobody", &access));
    assert_eq!((known.status, unknown.status), (403, 403));
    assert_eq!(known.text, unknown.text.replace("nobody", "acme"));
    // The operator is told which of the two it is.
    assert!(send("nobody", "").text.contains("knows no tenant"));
    assert!(send("acme", "").text.contains("is by the key"));
}

/// Run by [`another_user_is_nobody_until_it_proves_to_be_a_tenant`] as another user, with its socket and header.
#[test]
#[ignore = "a part of another test, in a process of its own"]
fn as_another_user() {
    use std::io::{Read, Write};
    let (socket, header) = (std::env::var("SOCKET").unwrap(), std::env::var("HEADER").unwrap());
    for path in
        ["/v1/commands", "/v1/node", "/v1/tenants", "/v1/tasks", "/v1/events?after=0", "/metrics", "/v1/openapi.json"]
    {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let header = if header.is_empty() { String::new() } else { format!("authorization: {header}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        println!("STATUS {path} {}", String::from_utf8_lossy(&status[9..]));
    }
}

#[test]
fn another_user_is_nobody_until_it_proves_to_be_a_tenant() {
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0) {
        println!("not root: there is no other user to be");
        return;
    }
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    fs::set_permissions(board.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Where every user can run it.
    let copy = board.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let statuses = |header: &str| {
        let mut command = Command::new(&copy);
        command.args(["--ignored", "--exact", "as_another_user", "--nocapture"]).uid(65534).gid(65534);
        let output = command.env("SOCKET", board.socket()).env("HEADER", header).current_dir("/").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let statuses = text.lines().filter_map(|line| line.split_once("STATUS ")?.1.rsplit(' ').next()?.parse().ok());
        statuses.collect::<Vec<u16>>()
    };
    assert_eq!(statuses(""), [401, 401, 401, 401, 401, 403, 200]);
    assert_eq!(statuses(&acme.access(Purpose::Read)), [200, 200, 200, 200, 200, 403, 200]);
}

#[test]
fn the_interface_is_what_its_document_says() {
    let board = board("");
    let document = board.get("/v1/openapi.json").json;
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{tenant}", "acme").replace("{id}", "one");
        for method in operations.as_object().unwrap().keys() {
            if path == "/v1/events" {
                continue;
            }
            let answer = board.call(&method.to_uppercase(), &path, "", b"");
            let is_there = answer.status != 405 && !answer.text.contains("there is nothing at");
            assert!(is_there, "{method} {path}: {} {}", answer.status, answer.text);
            count += 1;
        }
        let answer = board.call("PATCH", &path, "", b"");
        assert_eq!(answer.status, 405, "{path}");
    }
    assert!(count > 10);
    assert_eq!(board.get("/v1/nothing").status, 404);
    assert_eq!(board.get("/v1/commands?colour=red").status, 400);
}
