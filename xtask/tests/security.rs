//! SECURITY.md names the test that shows each line. What it names must be there.

mod common;

use std::fs;
use std::path::Path;

use common::files;

#[test]
fn every_test_that_security_md_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let text = fs::read_to_string(root.join("SECURITY.md")).expect("a readable file");
    let files = files(root, |path| path.extension().is_some_and(|extension| extension == "rs"));
    let tests: String = files.iter().map(|file| fs::read_to_string(file).expect("a readable file")).collect();
    let parts: Vec<_> = text.split('`').collect();
    let (mut kind, mut found, mut missing) = ("", 0, Vec::new());
    // Between the quotes, in turn, what is said and what is named.
    for pair in parts.chunks_exact(2) {
        let [said, name] = [pair[0], pair[1]];
        // "scenarios `reconnect`, `survive`" are both of one kind.
        if said.trim() != "," {
            kind = said.split_whitespace().last().unwrap_or_default();
        }
        let is_there = match kind {
            _ if name.ends_with(".rs") => root.join(name).is_file(),
            // A test states a fact, which takes some words.
            _ if name.matches('_').count() >= 3 => tests.contains(&format!("fn {name}(")),
            "scenario" | "scenarios" => root.join(format!("qemu-tests/tests/scenarios/{name}.rs")).is_file(),
            "fuzz" => root.join(format!("fuzz/src/{name}.rs")).is_file(),
            _ => continue,
        };
        found += 1;
        if !is_there {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not there: {missing:#?}");
    assert!(found > 50, "only {found} names: is this how it names them?");
}
