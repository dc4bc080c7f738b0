//! The command line as a person uses it. Nothing here needs a network, Xen, or a guest's toolchain.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::files;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// `cargo xtask` with these words, in the workspace below `root`.
fn xtask(root: &Path, words: &[&str]) -> Command {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.current_dir(root).env("CARGO_MANIFEST_DIR", root.join("xtask")).args(words);
    xtask
}

fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("a program");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{said}\n{}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stdout).expect("text")
}

/// What it says when it fails.
fn fails(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("a program");
    assert!(!status.success(), "{command:?} succeeded:\n{}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stderr).expect("text")
}

/// A copy of the workspace's source, so that a test may change it.
fn copy(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if root.exists() {
        fs::remove_dir_all(&root).expect("a folder of ours");
    }
    for file in files(workspace(), |_| true) {
        let to = root.join(file.strip_prefix(workspace()).expect("below the workspace"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(&file, &to).expect("a copy");
    }
    root
}

#[test]
fn a_new_task_passes_its_test_and_runs_on_this_machine() {
    let root = copy("new-task");
    let next = succeeds(&mut xtask(&root, &["new", "peak"]));
    assert!(next.contains("cargo xtask boot peak -- readings=21,19,24 limit=20"), "{next}");
    succeeds(&mut xtask(&root, &["new", "door-bell", "--network"]));
    let next = succeeds(&mut xtask(&root, &["new", "heat", "--feed"]));
    assert!(next.contains("cargo xtask host heat -- limit=20 feed=tasks/collect/data/weather.csv"), "{next}");
    // A complete Cargo.lock, the formatting, and lints: what `cargo xtask check` asks for.
    let cargo = |words: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        // Not this workspace's own: the copy's crates would take the places of ours, and whatever is still to be built
        // from those would not fit them.
        cargo.current_dir(&root).env("CARGO_TARGET_DIR", root.with_extension("target")).args(words);
        cargo
    };
    succeeds(&mut cargo(&["fmt", "--package", "peak", "--package", "door-bell", "--package", "heat", "--check"]));
    let tests = ["test", "--locked", "--offline", "--package", "peak", "--package", "door-bell", "--package", "heat"];
    let tests = succeeds(&mut cargo(&tests));
    for test in [
        "the_highest_reading_is_found",
        "no_readings_are_an_error",
        "each_peer_is_told_how_much_it_sent",
        "a_feed_without_its_end_is",
    ] {
        assert!(tests.lines().any(|line| line.contains(test) && line.ends_with("... ok")), "{tests}");
    }
    let ran = ["run", "--offline", "--quiet", "--package", "peak", "--", "readings=21,19,24", "limit=20"];
    let ran = succeeds(&mut cargo(&ran));
    assert!(ran.contains("3 readings, 2 above 20\n") && ran.contains("result: highest=24 above_limit=2\n"), "{ran}");
    let weather =
        ["run", "--offline", "--quiet", "--package", "heat", "--", "limit=1000", "feed=tasks/collect/data/weather.csv"];
    let ran = succeeds(&mut cargo(&weather));
    assert!(
        ran.contains("pressure_hPa is a sensor\n") && ran.contains("readings are missing: they were wrong"),
        "{ran}"
    );
    assert!(ran.contains("result: highest=1033.7"), "{ran}");

    let again = fails(&mut xtask(&root, &["new", "peak"]));
    assert_eq!(again, "error: there is a package \"peak\" in the workspace already\n");
    assert_eq!(library_in_readme("peak"), fs::read_to_string(root.join("tasks/peak/src/lib.rs")).expect("a file"));
}

/// The task that README shows.
fn library_in_readme(name: &str) -> String {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("a file");
    let (_, section) = readme.split_once("\n## Write your own task\n").expect("the section");
    let (before, code) = section.split_once("```rust\n").expect("its code");
    assert!(before.contains(&format!("cargo xtask new {name}\n")), "README says how the task came to be");
    code.split("```").next().expect("its end").to_owned()
}

#[test]
fn a_name_that_cannot_be_a_tasks_is_refused_and_leaves_nothing() {
    let root = copy("bad-names");
    for (name, why) in [
        ("Peak", "error: \"Peak\" is no name for a task"),
        ("kernel", "error: there is a package \"kernel\" in the workspace already"),
        ("smoltcp", "error: \"smoltcp\" is a crate that Spore uses"),
        ("loop", "invalid package name `loop`: it is a Rust keyword"),
        ("core", "error: \"core\" is a crate that Rust brings"),
    ] {
        let said = fails(&mut xtask(&root, &["new", name]));
        assert!(said.contains(why), "{said}");
        assert!(!root.join("tasks").join(name).exists(), "{name} is left");
    }
    let unchanged = |file: &str| fs::read(root.join(file)).unwrap() == fs::read(workspace().join(file)).unwrap();
    assert!(unchanged("Cargo.toml") && unchanged("Cargo.lock"));
}

#[test]
fn a_wrong_name_says_what_there_is() {
    for words in [["boot", "hallo"], ["licenses", "hallo"], ["build-image", "hallo"]] {
        let said = fails(&mut xtask(workspace(), &words));
        assert!(said.starts_with("error: there is no task \"hallo\"; the tasks are: "), "{said}");
        assert!(said.contains(" collect, ") && said.contains(" hello, "), "{said}");
    }
    let said = fails(&mut xtask(workspace(), &["size", "--compare", "no-such-revision"]));
    assert_eq!(said, "error: git knows no revision \"no-such-revision\"\n");
}

#[test]
fn a_tool_that_is_missing_is_named_with_what_to_type() {
    // An empty home, and only the folder of the toolchain's own programs.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-tools");
    fs::create_dir_all(&home).expect("a folder");
    let toolchain = Path::new(env!("CARGO")).parent().expect("a folder");
    let mut mutants = xtask(workspace(), &["mutants"]);
    let said = fails(mutants.env("CARGO_HOME", &home).env("PATH", toolchain));
    assert!(
        said.starts_with("error: cargo-mutants is missing; please type: cargo install --locked cargo-mutants"),
        "{said}"
    );
}

#[test]
fn the_notices_name_what_is_in_an_image_and_nothing_else() {
    let notices = succeeds(&mut xtask(workspace(), &["licenses", "hello"]));
    for name in [
        "    talc 5.",
        "    kernel 0.1.0, MIT",
        "Rust's core, alloc and compiler-builtins, MIT",
        "Permission is hereby",
    ] {
        assert!(notices.contains(name), "{name} is not in:\n{notices}");
    }
    // hello has no network; what only runs while it is built is not in it either.
    for name in ["smoltcp", "syn ", "proc-macro2", "xtask"] {
        assert!(!notices.contains(&format!("    {name}")), "{name} is in it");
    }
    assert!(!notices.contains("<copyright holders>"), "a standard text names nobody");
}
