//! `fuzz::device_tree` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::device_tree::run(bytes));
