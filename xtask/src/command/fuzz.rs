//! `fuzz`: one of the fuzzer's targets for a while.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result};

use crate::process;
use crate::terminal;
use crate::workspace::Workspace;

/// Inputs after which a process is replaced: each leaves some memory behind, as a guest's stack lives for ever.
const RUNS: u32 = 10_000;

/// The longest input.
const LENGTH: usize = 4096;

/// What the compiler adds for libFuzzer: counters and comparisons, and the address sanitizer. The same that cargo-fuzz asks
/// for, which is therefore not needed.
const FLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Zsanitizer=address",
    "--cfg=fuzzing",
];

/// Run a target of the fuzzer: what others may send to a guest, guided by the code that it reaches.
///
/// The tests run every target for a bounded time; this goes on for as long as wanted. What is found to lead further is kept
/// in target/fuzz/corpus, an input that fails in target/fuzz/failures: put it into fuzz/corpus with its fix. Needs a C++
/// compiler.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The target; a wrong name lists the targets there are.
    target: String,
    /// How long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let directory = workspace.target.join("fuzz");
    // Named, so that build scripts and macros are built without the flags.
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).args([
        "build",
        "--profile",
        "fuzz",
        "--package",
        "fuzz",
        "--features",
        "libfuzzer",
    ]);
    cargo.args(["--bin", &arguments.target, "--target", &triple, "--target-dir"]).arg(&directory);
    // For the sanitizer, which the stable compiler has but does not promise.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    process::run(&mut cargo)?;

    let binary = directory.join(&triple).join("fuzz").join(&arguments.target);
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        fuzz(&workspace, &binary, &directory, &arguments.target, left)?;
    }
}

/// Runs one process of libFuzzer.
fn fuzz(workspace: &Workspace, binary: &Path, directory: &Path, target: &str, seconds: u64) -> Result<()> {
    let found = directory.join("corpus").join(target);
    let failures = directory.join("failures").join(target);
    for directory in [&found, &failures] {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    }
    let mut command = std::process::Command::new(binary);
    command.arg(&found).arg(workspace.root.join("fuzz/corpus").join(target));
    command.arg(format!("-artifact_prefix={}/", failures.display()));
    command.args([format!("-max_total_time={seconds}"), format!("-runs={RUNS}"), format!("-max_len={LENGTH}")]);
    command.args(["-rss_limit_mb=4096", "-print_final_stats=1"]).env("ASAN_OPTIONS", "detect_leaks=0");
    process::run(&mut command).with_context(|| format!("what failed is in {}", workspace.shown(&failures)))?;
    terminal::say(format_args!("kept what led further in {}", workspace.shown(&found)));
    Ok(())
}
