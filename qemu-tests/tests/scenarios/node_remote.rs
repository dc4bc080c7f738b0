//! A board's node by TCP with TLS: whom it lets in.

use crate::board::Board;
use anyhow::Result;
use qemu_tests::check;
use qemu_tests::harness::{Context, Scenario};
use qemu_tests::node::CONFIG;
use tls_testing::{Authority, Valid};

/// All of this module's.
pub const SCENARIOS: &[Scenario] =
    &[Scenario { name: "node: an operator by TCP with a certificate, and a stranger who is refused", run: remote }];

/// Where certificates and keys lie in dom0.
const FOLDER: &str = "/root/certificates";

fn remote(context: &Context<'_>) -> Result<()> {
    let mut board = Board::start(context, &["hello"], "")?;
    board.kill()?;
    let (authority, other) = (Authority::new(), Authority::new());
    let bring = |name: &str, path| context.bed.put(&format!("{FOLDER}/{name}"), &std::fs::read(path)?);
    bring("ca.pem", authority.ca())?;
    for (authority, name, host) in [
        (&authority, "node", "127.0.0.1"),
        (&authority, "operator", "ops.example"),
        (&authority, "tenant", "acme.example"),
        (&other, "stranger", "ops.example"),
    ] {
        let (certificate, key) = authority.issue(name, &[host], Valid::Now);
        bring(&format!("{name}.pem"), certificate)?;
        bring(&format!("{name}.key"), key)?;
    }
    let listen = format!(
        "[listen]\naddress = \"127.0.0.1:7443\"\ncertificate = \"{FOLDER}/node.pem\"\nkey = \"{FOLDER}/node.key\"\n\
         client_ca = \"{FOLDER}/ca.pem\"\noperators = [\"ops.example\"]"
    );
    context.bed.must(&format!("echo '{listen}' >> {CONFIG}"))?;
    board.begin()?;
    let node = format!("--node https://127.0.0.1:7443 --ca-file {FOLDER}/ca.pem");
    let of = |name: &str| format!("{node} --cert-file {FOLDER}/{name}.pem --key-file {FOLDER}/{name}.key");

    let printed = board.spore(&Board::run("hello", "one", &format!("--wait {}", of("tenant"))))?;
    check!(printed.contains("total_bytes"), "the result is {printed}");
    let listed = board.spore(&format!("ps --all {}", of("operator")))?;
    check!(listed.contains("acme/one"), "an operator sees {listed}");
    for (who, reason) in [
        (of("tenant"), "neither the board's operator nor has it proved to be a tenant"),
        (of("stranger"), "does it take your certificate?"),
        (node, "does it take your certificate?"),
    ] {
        let said = board.try_spore(&format!("ps {who}"))?;
        check!(said.as_ref().is_err_and(|said| said.contains(reason)), "\"{reason}\" is not in {said:?}");
    }
    let metrics = board.spore("metrics")?;
    check!(metrics.contains("spore_connections_refused_total 2"), "{metrics}");
    println!("       spored with TLS: {} KiB", board.memory_kib()?);
    board.leaves_nothing()
}
