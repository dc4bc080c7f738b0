//! The task as a process: its command line, its end, its exit status.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

fn start(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_echo"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the task's program")
}

/// A port that nobody uses.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_wrong_key_is_answered_with_the_keys_there_are() {
    let output = start(&["prot=7007"]).wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(error.starts_with("error: parameter \"prot\" is unknown; there are: port, connections"), "{error}");
    assert!(error.contains("\n  port         a whole number from 0 to 65535\n"), "{error}");
}

#[test]
fn help_lists_the_parameters() {
    let output = start(&["--help"]).wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"usage: echo [key=value ...]\n"));
}

#[test]
fn ctrl_c_ends_the_process_in_order_with_its_report() {
    let port = free_port();
    let mut child = start(&[&format!("port={port}")]);
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert!(line.starts_with("echo: listening on ") && line.ends_with(&format!(":{port}\n")), "{line}");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("the program kill");
    assert!(killed.success());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "result: connections=0 bytes=0 datagrams=0\n");
}
