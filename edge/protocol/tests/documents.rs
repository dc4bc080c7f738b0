//! What is written comes back, equal values are equal bytes, and what is not understood is refused by its name.

use std::num::NonZeroU32;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use protocol::command::{Contract, Destination, Lifetime, Memory, OnCrash, Sensors, Task, Window};
use protocol::document::{decode, encode};
use protocol::{Command, Digest, DocumentError, Parameters, Timestamp, Version};
use serde_json::{Value, json};

fn name<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
    pattern: &str,
) -> impl Strategy<Value = T> + use<T> {
    proptest::string::string_regex(pattern).unwrap().prop_map(|text| text.parse().unwrap())
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?";
const REPOSITORY: &str = "[a-z]{1,9}\\.example(:[1-9][0-9]{2})?(/[a-z0-9]{1,9}){1,3}";
const PATTERN: &str = "[-A-Za-z0-9_:*]{1,9}(/[-A-Za-z0-9_:*]{1,9}){0,3}";

prop_compose! {
    fn timestamp()(milliseconds in 0u64..300_000_000_000_000) -> Timestamp {
        Timestamp::from_milliseconds(milliseconds)
    }
}

prop_compose! {
    fn sensors()(
        name in name(PATTERN),
        kind in option::of(name(PATTERN)),
        unit in option::of(name(PATTERN)),
        place in option::of(name(PATTERN)),
    ) -> Sensors {
        Sensors { name, kind, unit, place }
    }
}

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![Just(Window::Live), (timestamp(), timestamp()).prop_map(|(from, until)| Window::Past { from, until }),]
}

fn nonzero() -> impl Strategy<Value = NonZeroU32> {
    (1..=u32::MAX).prop_map(|number| NonZeroU32::new(number).unwrap())
}

prop_compose! {
    fn contract()(sensors in vec(sensors(), 1..4), window in window(), most in nonzero()) -> Contract {
        Contract { sensors, window, most_readings_per_second: most }
    }
}

prop_compose! {
    fn task()(bytes: [u8; 32], repository in option::of(name(REPOSITORY))) -> Task {
        Task { digest: Digest::from_sha256(bytes), repository }
    }
}

fn on_crash() -> impl Strategy<Value = OnCrash> {
    prop_oneof![
        Just(OnCrash::GiveUp),
        (any::<u16>(), any::<u32>(), any::<u32>()).prop_map(|(times, first_pause_seconds, longest_pause_seconds)| {
            OnCrash::Again { times, first_pause_seconds, longest_pause_seconds }
        }),
    ]
}

fn destination() -> impl Strategy<Value = Destination> {
    prop_oneof![
        Just(Destination::Node),
        any::<String>().prop_map(|url| Destination::Http { url }),
        any::<String>().prop_map(|topic| Destination::Mqtt { topic }),
    ]
}

prop_compose! {
    fn command()(
        (tenant, id, issued, task) in (name(LABEL), name(LABEL), timestamp(), task()),
        parameters in btree_map(name("[a-z_][a-z0-9_]{0,9}"), any::<String>(), 0..5),
        contract in option::of(contract()),
        memory in prop_oneof![Just(Memory::WhatTheContractNeeds), nonzero().prop_map(Memory::Mib)],
        lifetime in prop_oneof![Just(Lifetime::Ephemeral), Just(Lifetime::Persistent)],
        priority: u8,
        deadline in option::of(timestamp()),
        longest_run_seconds in option::of(nonzero()),
        on_crash in on_crash(),
        result in destination(),
    ) -> Command {
        Command {
            version: Version, tenant, id, issued, task, parameters: Parameters(parameters), contract, memory, lifetime,
            priority, deadline, longest_run_seconds, on_crash, result,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_command_comes_back_as_it_was(command in command()) {
        prop_assert_eq!(decode::<Command>(&encode(&command)).unwrap(), command);
    }

    #[test]
    fn equal_commands_are_equal_bytes_however_they_were_written(command in command()) {
        // Keys in another order, with white space: what another program may have written.
        let loose: Value = serde_json::from_slice(&encode(&command)).unwrap();
        let text = serde_json::to_string_pretty(&loose).unwrap();
        prop_assert_eq!(encode(&decode::<Command>(text.as_bytes()).unwrap()), encode(&command));
    }
}

/// A command with all that must be there.
fn least() -> Value {
    json!({
        "version": 1,
        "tenant": "acme",
        "id": "one",
        "issued": "2026-11-30T12:00:00Z",
        "task": { "digest": Digest::of(b"").to_string() },
        "memory": { "mib": 4 },
    })
}

fn refusal(text: &str) -> String {
    decode::<Command>(text.as_bytes()).unwrap_err().to_string()
}

/// The refusal of a command that was changed.
fn refusal_after(change: impl FnOnce(&mut Value)) -> String {
    let mut command = least();
    change(&mut command);
    refusal(&command.to_string())
}

#[test]
fn the_least_command_is_read() {
    let command: Command = decode(least().to_string().as_bytes()).unwrap();
    assert_eq!((command.lifetime, command.priority, command.on_crash), (Lifetime::Ephemeral, 0, OnCrash::GiveUp));
}

#[test]
fn unknown_fields_are_refused_by_name_and_place_at_every_depth() {
    let error = refusal_after(|command| command["prioritty"] = json!(1));
    assert!(error.contains("unknown field `prioritty`, expected one of `version`, `tenant`"), "{error}");
    let error = refusal_after(|command| command["task"]["tag"] = json!("latest"));
    assert!(error.contains("at task") && error.contains("unknown field `tag`"), "{error}");
    let error = refusal_after(|command| command["on_crash"] = json!({ "again": { "time": 1 } }));
    assert!(error.contains("at on_crash") && error.contains("unknown field `time`"), "{error}");
    let error = refusal_after(|command| command["on_crash"] = json!("restart"));
    assert!(error.contains("unknown variant `restart`, expected `give_up` or `again`"), "{error}");
}

#[test]
fn a_field_that_is_there_twice_is_refused() {
    let twice = least().to_string().replacen('{', "{\"tenant\":\"other\",", 1);
    assert!(refusal(&twice).contains("duplicate field `tenant`"), "{}", refusal(&twice));
    let parameters = least().to_string().replacen('{', r#"{"parameters":{"port":"1","port":"2"},"#, 1);
    assert!(refusal(&parameters).contains("duplicate parameter `port`"), "{}", refusal(&parameters));
}

#[test]
fn a_missing_field_another_version_and_a_wrong_value_are_named() {
    let error = refusal_after(|command| drop(command.as_object_mut().unwrap().remove("memory")));
    assert!(error.contains("missing field `memory`"), "{error}");
    let error = refusal_after(|command| command["version"] = json!(2));
    assert!(
        error.contains("at version") && error.contains("version 2 of this format is not known here, 1 is"),
        "{error}"
    );
    let error = refusal_after(|command| command["tenant"] = json!("../other"));
    assert!(error.contains("at tenant") && error.contains("\"../other\" is not the name of a tenant"), "{error}");
    let error = refusal_after(|command| command["memory"] = json!({ "mib": 0 }));
    assert!(error.contains("at memory.mib"), "{error}");
}

#[test]
fn a_long_document_and_what_follows_one_are_refused() {
    let long = format!("{}{}", least(), " ".repeat(64 * 1024));
    assert!(matches!(decode::<Command>(long.as_bytes()), Err(DocumentError::TooLong { most: 65536, .. })));
    let error = refusal(&format!("{} {{}}", least()));
    assert!(error.contains("trailing characters"), "{error}");
}

#[test]
fn each_schema_names_its_fields_and_forbids_others() {
    let schemas = protocol::schema::all();
    assert_eq!(schemas.len(), 5);
    for (name, schema) in &schemas {
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
    }
    let (_, command) = &schemas[0];
    for field in ["version", "tenant", "contract", "deadline", "on_crash"] {
        assert!(command["properties"].get(field).is_some(), "{field}");
    }
    let required: Vec<_> =
        command["required"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()).collect();
    assert_eq!(required, ["version", "tenant", "id", "issued", "task", "memory"]);
}
