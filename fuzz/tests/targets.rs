//! Every target over its corpus, and over random bytes that are the same at each run.

use std::fs;
use std::path::Path;

use fuzz::{TARGETS, Target};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngSeed, TestRunner};

fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("there is no target {name}")).1
}

/// Runs a target over its corpus.
fn corpus(name: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {name} is empty");
    for file in files {
        println!("{}", file.display());
        target(name)(&fs::read(&file).expect("a readable file"));
    }
}

/// Runs a target over so many random inputs.
fn random(name: &str, cases: u32) {
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    let run = target(name);
    let outcome = TestRunner::new(config).run(&vec(any::<u8>(), 0..1500), |bytes| {
        run(&bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

macro_rules! targets {
    ($($name:ident: $cases:literal),* $(,)?) => {
        $(
            mod $name {
                #[test]
                fn survives_its_corpus() {
                    super::corpus(stringify!($name));
                }

                #[test]
                fn survives_random_bytes() {
                    super::random(stringify!($name), $cases);
                }
            }
        )*

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), tested);
        }
    };
}

targets! {
    backend: 300,
    broker: 1000,
    channel: 2000,
    commands: 5000,
    device_tree: 5000,
    dhcp: 1000,
    feed: 3000,
    filter: 2000,
    frames: 2000,
    mqtt: 3000,
    parameters: 5000,
    senml: 3000,
    xenstore: 5000,
}
