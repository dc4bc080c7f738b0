//! What the node does at its limits: a full disk, many commands, many guests, receivers that do not answer.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use common::{board, path, program};
use node_fake::board::{Board, QUOTA, command, wait_for};
use protocol::Quota;
use protocol::command::Destination;
use serde_json::Value;

/// The most that may be written for a command, from its acceptance until its result was taken, in bytes. Measured: 256 KB.
const WRITTEN_MAX: u64 = 400 * 1024;

/// The most bytes of a file that the process may write from now on.
fn limit_files(board: &Board, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let status = Command::new("prlimit").args(["--pid", &board.process().to_string(), &limit]).status().unwrap();
    assert!(status.success(), "prlimit is a part of util-linux");
}

#[test]
fn a_full_disk_refuses_commands_with_the_reason_and_loses_nothing() {
    // A write beyond the limit is an error then, not the process's end.
    let ignoring_the_signal = |config: &std::path::Path| {
        let inner = program(config);
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
        command
    };
    let board = Board::start(ignoring_the_signal, "");
    let acme = board.tenant("acme", QUOTA);
    assert_eq!(board.send(&acme, "stays", "act=stay").status, 201);
    board.wait(&acme, "stays", "running");
    let length = fs::metadata(board.path().join("state/journal")).unwrap().len();
    limit_files(&board, &length.to_string());
    let mut taken = Vec::new();
    let mut refused = None;
    for number in 0..10_000 {
        let large = command(&acme, &format!("c{number}"), &format!("act={}", "x".repeat(30_000)));
        let answer = board.send_command(&acme, &large);
        if answer.status != 201 {
            refused = Some(answer);
            break;
        }
        taken.push(format!("c{number}"));
    }
    let refused = refused.expect("the disk was never full");
    assert_eq!(refused.status, 507, "{}", refused.text);
    assert!(refused.json["problem"].as_str().unwrap().starts_with("the journal: "), "{}", refused.text);
    // What runs goes on, and who asks is answered.
    assert_eq!(board.get(&path(&acme, "stays")).json["state"], "running");
    limit_files(&board, "unlimited");
    assert_eq!(board.send(&acme, "after", "act=finish number=1").status, 201);
    board.wait(&acme, "after", "finished");
    for id in taken {
        assert_eq!(board.get(&path(&acme, &id)).status, 200, "{id} was taken and is lost");
    }
    board.wait(&acme, "stays", "running");
}

#[test]
fn memory_is_flat_over_thousands_of_commands_and_the_journal_too() {
    let board = board("kept = { commands = 100 }");
    let acme = board.tenant("acme", QUOTA);
    let rounds = |from: usize, until: usize| {
        for number in from..until {
            let id = format!("c{number}");
            assert_eq!(board.send(&acme, &id, "act=finish bytes=500").status, 201);
            // A few at a time, as they come in life.
            if number % 20 == 19 {
                board.wait(&acme, &id, "finished");
                for number in number - 19..=number {
                    let id = format!("c{number}");
                    board.wait(&acme, &id, "finished");
                    assert_eq!(board.get(&format!("{}/result", path(&acme, &id))).status, 200);
                }
            }
        }
    };
    let count = std::env::var("COMMANDS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    rounds(0, count / 4);
    let (memory, disk) = (board.memory_kib("VmRSS"), fs::metadata(board.path().join("state/journal")).unwrap().len());
    rounds(count / 4, count);
    let (memory_then, disk_then) =
        (board.memory_kib("VmRSS"), fs::metadata(board.path().join("state/journal")).unwrap().len());
    let (cpu_milliseconds, written) = (board.cpu_milliseconds(), board.written_bytes());
    println!("{count} commands: {memory} KiB, then {memory_then} KiB; journal {disk}, then {disk_then} bytes");
    let written = written / count as u64;
    println!("each: {} us of CPU, {written} bytes written", cpu_milliseconds * 1000 / count as u64);
    assert!(written < WRITTEN_MAX, "{written} bytes were written for each command");
    assert!(memory_then < memory + 1024, "{memory} KiB grew to {memory_then}");
    assert!(disk_then <= disk * 2, "{disk} bytes grew to {disk_then}");
    assert_eq!(board.guests(), 0);
}

#[test]
fn many_guests_at_once_need_little_memory_of_the_nodes() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    let before = board.memory_kib("VmRSS");
    for number in 0..64 {
        assert_eq!(board.send(&acme, &format!("c{number}"), "act=stay").status, 201);
    }
    for number in 0..64 {
        board.wait(&acme, &format!("c{number}"), "running");
    }
    let (now, peak) = (board.memory_kib("VmRSS"), board.memory_kib("VmHWM"));
    println!("64 guests: {before} KiB before, {now} KiB now, {peak} KiB at most");
    assert!(now < before + 2048, "64 guests took {before} KiB to {now}");
    assert_eq!(board.get("/v1/node").json["guests"].as_array().unwrap().len(), 64);
}

/// Takes one request and answers with this status; the body that came.
fn answer(listener: &TcpListener, status: &str) -> Value {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut stream: TcpStream = reader.into_inner();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn a_result_is_sent_again_until_it_is_taken_also_by_the_next_life_of_the_node() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = listener.local_addr().unwrap();
    let mut board = board(&format!("receivers = [\"{receiver}\"]"));
    let acme = board.tenant("acme", QUOTA);
    let mut pushed = command(&acme, "one", "act=finish number=5");
    pushed.result = Destination::Http { url: format!("http://{receiver}/results") };
    assert_eq!(board.send_command(&acme, &pushed).status, 201);
    let first = answer(&listener, "503 Service Unavailable");
    wait_for("the failure to be said", || board.log().contains("it is kept and tried again"));
    board.kill();
    board.begin();
    let second = answer(&listener, "204 No Content");
    assert_eq!(first, second);
    assert_eq!(first["outcome"]["finished"]["fields"]["answer"], "5");
    wait_for("the delivery to be counted", || board.get("/metrics").text.contains("spore_results_delivered_total 1"));
    // A tenant does not choose what dom0 connects to.
    for url in ["http://127.0.0.1:1/", "http://user@127.0.0.1/"] {
        pushed.id = "two".parse().unwrap();
        pushed.result = Destination::Http { url: url.to_owned() };
        let answer = board.send_command(&acme, &pushed);
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains("may not be sent"), "{}", answer.text);
    }
    pushed.result = Destination::Http { url: format!("ftp://{receiver}/results") };
    assert!(board.send_command(&acme, &pushed).text.contains("is no URL of http or https"));
    // It was taken: nobody is held up by it.
    let usage = &board.get("/v1/tenants").json["tenants"][0]["usage"];
    assert_eq!(usage["result_bytes"], 0);
}

#[test]
fn a_result_for_a_file_is_written_as_a_whole() {
    let board = board("");
    let acme = board.tenant("acme", QUOTA);
    let mut written = command(&acme, "one", "act=fail");
    written.result = Destination::File;
    assert_eq!(board.send_command(&acme, &written).status, 201);
    let file = board.path().join("state/results/acme/one.json");
    wait_for("the file", || file.exists());
    let report: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(report["outcome"]["failed"]["error"]["message"], "no such sensor");
}

#[test]
fn an_image_that_flash_has_forgotten_is_fetched_again_before_its_guest_starts() {
    let board = board("");
    let acme = board.tenant("acme", Quota { guests: 1, ..QUOTA });
    assert_eq!(board.send(&acme, "one", "act=hold").status, 201);
    assert_eq!(board.send(&acme, "two", "act=finish").status, 201);
    board.wait(&acme, "one", "running");
    board.wait(&acme, "two", "queued");
    let image = fs::read_dir(board.path().join("state/images/blobs")).unwrap().next().unwrap().unwrap().path();
    let before = fs::read(&image).unwrap();
    fs::write(&image, b"nonsense").unwrap();
    fs::write(board.fake("release"), "").unwrap();
    board.wait(&acme, "two", "finished");
    assert_eq!(board.get(&path(&acme, "two")).json["attempts"], 2);
    assert_eq!(fs::read(image).unwrap(), before);
}

/// A broker for one publication: takes it, and acknowledges it or goes away. The topic and the content.
fn broker(listener: &TcpListener, acknowledges: bool) -> (String, Value) {
    let (mut stream, _) = listener.accept().unwrap();
    let packet = |stream: &mut TcpStream| {
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        let (mut length, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).unwrap();
        (first[0], rest)
    };
    assert_eq!(packet(&mut stream).0, 0x10, "CONNECT");
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
    let (kind, rest) = packet(&mut stream);
    // PUBLISH with QoS 1, not retained.
    assert_eq!(kind & 0xf7, 0x32);
    let topic_length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let topic = String::from_utf8(rest[2..2 + topic_length].to_vec()).unwrap();
    let id = &rest[2 + topic_length..4 + topic_length];
    if acknowledges {
        stream.write_all(&[0x40, 2, id[0], id[1]]).unwrap();
        assert_eq!(packet(&mut stream).0, 0xe0, "DISCONNECT");
    }
    (topic, serde_json::from_slice(&rest[4 + topic_length..]).unwrap())
}

#[test]
fn a_result_is_published_again_until_the_broker_has_acknowledged_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let board = board(&format!("broker = \"{}\"", listener.local_addr().unwrap()));
    let acme = board.tenant("acme", QUOTA);
    let mut published = command(&acme, "one", "act=finish number=5 bytes=50000");
    for topic in ["other/results", "acme", "acme/", "acme/#", "acmeresults"] {
        published.result = Destination::Mqtt { topic: topic.to_owned() };
        assert_eq!(board.send_command(&acme, &published).status, 422, "{topic}");
    }
    published.result = Destination::Mqtt { topic: "acme/results".to_owned() };
    assert_eq!(board.send_command(&acme, &published).status, 201);
    let first = broker(&listener, false);
    let second = broker(&listener, true);
    assert_eq!(first, second);
    assert_eq!(second.0, "acme/results");
    assert_eq!(second.1["outcome"]["finished"]["fields"]["answer"], "5");
    wait_for("the delivery to be counted", || board.get("/metrics").text.contains("spore_results_delivered_total 1"));
}
