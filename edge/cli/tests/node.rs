//! The program against a node, of which everything is real but its guests.

use std::path::PathBuf;
use std::process::{Command, Output};

use node_fake::board::{Board, QUOTA};
use node_fake::toolstack::LOG_LINE;
use serde_json::Value;
use tls_testing::{Authority, Valid};

/// The node: this very program, in a process of its own.
#[test]
#[ignore = "a process that other tests start"]
fn node_process() {
    node_fake::process::run();
}

/// A board with its operator and a tenant's desk beside it.
struct Desk {
    board: Board,
}

impl Desk {
    /// A board with tenant "acme", whose key and whose task's digest lie beside it.
    fn new() -> Self {
        Self::with("")
    }

    /// The same, with these lines in the node's config.
    fn with(config: &str) -> Self {
        let board = Board::start(node_fake::process::program, config);
        let acme = board.tenant("acme", QUOTA);
        let file = |name: &str, content: &str| std::fs::write(board.path().join(name), content).unwrap();
        file("acme.key", &acme.key.to_pem());
        file("acme.pub", &acme.key.public().to_pem());
        file("task", &acme.task.to_string());
        Self { board }
    }

    fn spore(&self, words: &str) -> Output {
        let task = std::fs::read_to_string(self.board.path().join("task")).unwrap();
        let words = words.replace("TASK", &format!("oci:tasks@{task}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_spore"));
        command.args(words.split(' ')).current_dir(self.board.path()).env("SPORE_SOCKET", self.board.socket());
        command.output().unwrap()
    }

    fn good(&self, words: &str) -> String {
        let output = self.spore(words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn bad(&self, words: &str) -> String {
        let output = self.spore(words);
        assert!(!output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.good(&format!("{words} --output json"))).unwrap()
    }
}

/// As whom a tenant's words are said.
const ACME: &str = "--tenant acme --key acme.key";

#[test]
fn a_task_runs_with_one_command_and_its_result_is_printed() {
    let desk = Desk::new();
    let printed = desk.good(&format!("run TASK act=finish number=7 {ACME} --wait"));
    assert_eq!(printed, "answer  7\ntext\n");
    let report = desk.json(&format!("run TASK act=finish number=8 {ACME} --id two --wait"));
    assert_eq!((&report["command"], &report["outcome"]["finished"]["fields"]["answer"]), (&"two".into(), &"8".into()));
    let error = desk.bad(&format!("run TASK act=fail {ACME} --id three --wait"));
    assert_eq!(error, "error: acme/three has failed: no such sensor\n");
    let table = desk.good("ps --all");
    assert!(table.starts_with("COMMAND") && table.contains("acme/two") && table.contains("no such sensor"), "{table}");
    assert_eq!(desk.json("ps")["commands"], Value::Array(Vec::new()));
    assert_eq!(desk.good(&format!("result two {ACME}")), "answer  8\ntext\n");
}

#[test]
fn a_running_command_is_seen_followed_stopped_and_removed() {
    let desk = Desk::new();
    assert_eq!(desk.good(&format!("run TASK act=hold {ACME} --id one --memory 8 --priority 3")), "acme/one\n");
    node_fake::board::wait_for("the guest to run", || desk.good("ps").contains("running"));
    let row = desk.good("ps");
    assert!(row.contains("acme/one") && row.contains("8 MiB") && row.contains("fake"), "{row}");
    let board = desk.good("node");
    assert!(board.contains("board") && board.contains("acme/one"), "{board}");
    assert!(desk.good("top --times 1").contains("acme/one"));
    assert!(desk.good("metrics").contains("spore_commands{phase=\"running\"} 1\n"));
    let booting = "booting the image of acme for acme/one\n";
    assert_eq!(desk.good(&format!("logs one {ACME}")), format!("{booting}{LOG_LINE}\n"));
    let raw = desk.spore(&format!("logs one --raw {ACME}")).stdout;
    assert!(raw.starts_with(booting.as_bytes()) && raw[booting.len()] == 0xfe, "{}", raw.escape_ascii());
    let error = desk.bad("result acme/one");
    assert!(
        error.contains("has not ended: it is running") && error.contains("what to do: wait for its end"),
        "{error}"
    );
    std::thread::scope(|scope| {
        let followed = scope.spawn(|| desk.good("logs -f acme/one"));
        assert!(desk.bad("rm acme/one").contains("stop it first"));
        assert_eq!(desk.good("stop acme/one"), "acme/one is stopped\n");
        assert_eq!(followed.join().unwrap(), format!("{booting}{LOG_LINE}\n"));
    });
    assert!(desk.bad("result acme/one").contains("was stopped"));
    desk.good(&format!("rm one {ACME}"));
    assert!(desk.bad("result acme/one").contains("acme/one is not known here"));
}

#[test]
fn tenants_are_added_shown_and_removed_by_root() {
    let desk = Desk::new();
    desk.good("key new other");
    let row = desk.good("tenant add other --key other.pub --guests 2 --memory 16 --cpu-cap 50");
    assert!(row.contains("other") && row.contains("0 of 2") && row.contains("weight 256 <= 50 %"), "{row}");
    let tenants = desk.json("tenant ls");
    assert_eq!(tenants.as_array().unwrap().len(), 2);
    assert_eq!(desk.json("tenant ls --tenant other --key other.key").as_array().unwrap().len(), 1);
    let error = desk.bad("tenant add third --key other.key");
    assert!(error.contains("not a public key"), "{error}");
    desk.good("tenant rm other");
    assert!(desk.bad("tenant rm other").contains("there is no tenant \"other\""));
    // Who is not a tenant any more is not let in, and its commands are refused.
    assert!(desk.bad("ps --tenant other --key other.key").contains("is not known here"));
}

#[test]
fn what_is_refused_says_what_to_do() {
    let desk = Desk::new();
    desk.good(&format!("run TASK act=finish {ACME} --wait"));
    let error = desk.bad(&format!("run TASK {ACME}"));
    assert!(error.contains("act=<text>") && error.contains("what to do: give the parameters"), "{error}");
    assert!(desk.bad(&format!("run TASK act {ACME}")).contains("a parameter is written as key=value"));
    assert!(desk.bad(&format!("run TASK act=finish {ACME} --result nowhere")).contains("mqtt:TOPIC"));
    assert!(desk.bad("logs one").contains("Write TENANT/one"));
    assert!(desk.bad("ps --socket nowhere.sock").contains("no node answers at nowhere.sock: is spored running?"));
    let list = desk.good("task ls");
    assert!(list.contains("acme") && list.contains("4 MiB"), "{list}");
    let command = desk.json(&format!("run TASK act=finish {ACME} --dry-run --deadline 10m --on-crash 3"));
    assert_eq!((&command["task"]["repository"], &command["on_crash"]["again"]["times"]), (&Value::Null, &3.into()));
    assert!(desk.board.get("/v1/commands").json["commands"].as_array().unwrap().len() == 1);
}

#[test]
fn a_node_elsewhere_is_asked_with_a_certificate_and_what_is_wrong_with_one_is_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("node", &["127.0.0.1"], Valid::Now);
    // Free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "[listen]\naddress = \"{address}\"\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {:?}\n\
         operators = [\"ops.example\"]",
        authority.ca()
    );
    let desk = Desk::with(&config);
    node_fake::board::wait_for("the node to listen", || desk.board.log().contains("serves at https://"));
    let node = format!("--node https://{address}");
    let ca = format!("--ca-file {}", authority.ca().display());
    let of = |(certificate, key): (PathBuf, PathBuf)| {
        format!("--cert-file {} --key-file {}", certificate.display(), key.display())
    };
    let tenant = of(authority.issue("tenant", &["tenant.example"], Valid::Now));
    let operator = of(authority.issue("operator", &["ops.example"], Valid::Now));
    assert_eq!(
        desk.good(&format!("run TASK act=finish number=7 {ACME} --wait {node} {ca} {tenant}")),
        "answer  7\ntext\n"
    );
    assert!(desk.good(&format!("ps --all {node} {ca} {operator}")).contains("acme/"));
    let error = desk.bad(&format!("ps {node} {ca} {tenant}"));
    assert!(error.contains("neither the board's operator nor has it proved to be a tenant"), "{error}");
    let error = desk.bad(&format!("ps {node} {operator}"));
    assert!(error.contains("the issuer of its certificate is not known here"), "{error}");
    let error = desk.bad(&format!("ps {node} {ca}"));
    assert!(error.contains("does it take your certificate?"), "{error}");
    assert!(desk.bad(&format!("ps --node http://{address} {ca}")).contains("is written as https://HOST:PORT"));
    assert!(desk.bad(&format!("ps {node} --cert-file a.pem")).contains("--key-file"));
}

#[test]
fn the_doctor_names_what_is_missing_and_what_to_do() {
    let desk = Desk::new();
    let output = desk.spore("doctor --root empty --output json");
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = |what: &str| {
        let found = findings.as_array().unwrap().iter().find(|finding| finding["what"] == what);
        found.unwrap_or_else(|| panic!("{what}: {findings}")).clone()
    };
    assert!(!output.status.success());
    assert_eq!((&finding("dom0")["verdict"], &finding("node")["verdict"]), (&"missing".into(), &"good".into()));
    assert_eq!(finding("bridge")["verdict"], "limited");
    for what in ["dom0", "devices", "xenstored", "bridge"] {
        assert!(!finding(what)["remedy"].as_str().unwrap().is_empty(), "{what}");
    }
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let desk = Desk::new();
    std::fs::create_dir(desk.board.path().join("man")).unwrap();
    desk.good("man man");
    let page = std::fs::read_to_string(desk.board.path().join("man/spore-run.1")).unwrap();
    assert!(page.contains("persistent"), "{page}");
    assert!(desk.board.path().join("man/spore.1").exists());
}
