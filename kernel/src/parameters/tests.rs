//! What a person gets to read for each mistake, and what reads well.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;

use super::{Error, Parameters};

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Safe,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Task {
    port: u16,
    gain: Option<f64>,
    topics: Option<Vec<String>>,
    mode: Option<Mode>,
    offset: Option<i8>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Net {
    ip: Option<String>,
}

fn read(command_line: &str) -> Result<Task, Box<Error>> {
    let mut parameters = Parameters::parse(command_line)?;
    let task = parameters.read()?;
    let _: Net = parameters.read()?;
    parameters.finish()?;
    Ok(task)
}

fn message(command_line: &str) -> String {
    read(command_line).unwrap_err().to_string()
}

#[test]
fn each_reader_takes_its_keys() {
    let mut parameters = Parameters::parse("ip=dhcp  port=7 gain=-1.5e3 topics=a/#,b mode=safe offset=-128").unwrap();
    let net: Net = parameters.read().unwrap();
    let task: Task = parameters.read().unwrap();
    parameters.finish().unwrap();
    assert_eq!(net, Net { ip: Some("dhcp".into()) });
    let topics = Some(["a/#", "b"].map(String::from).to_vec());
    assert_eq!(task, Task { port: 7, gain: Some(-1500.0), topics, mode: Some(Mode::Safe), offset: Some(-128) });
}

#[test]
fn optional_keys_may_be_left_out() {
    assert_eq!(read("port=1"), Ok(Task { port: 1, gain: None, topics: None, mode: None, offset: None }));
}

#[test]
fn an_unknown_key_is_named_with_the_keys_there_are() {
    assert_eq!(
        message("port=1 prot=2"),
        "parameter \"prot\" is unknown; there are: port, gain, topics, mode, offset, ip"
    );
}

#[test]
fn keys_of_a_reader_that_failed_are_known() {
    let mut parameters = Parameters::parse("gain=much mode=safe").unwrap();
    assert!(parameters.read::<Task>().is_err());
    parameters.finish().unwrap();
}

#[test]
fn a_missing_key_is_named() {
    assert_eq!(message("gain=1"), "parameter \"port\" is missing: add port=...");
}

#[test]
fn a_malformed_value_is_named_with_its_key_and_what_would_be_right() {
    assert_eq!(message("port=70000"), "parameter \"port\": \"70000\" is not a whole number from 0 to 65535");
    assert_eq!(message("port=1 gain=much"), "parameter \"gain\": \"much\" is not a number");
    assert_eq!(message("port=1 offset=128"), "parameter \"offset\": \"128\" is not a whole number from -128 to 127");
    assert_eq!(message("port=1 mode=slow"), "parameter \"mode\": \"slow\" is not one of fast, safe");
    assert_eq!(message("port="), "parameter \"port\": \"\" is not a whole number from 0 to 65535");
}

#[test]
fn a_word_that_is_no_pair_is_named() {
    assert_eq!(message("port=1 fast"), "parameter \"fast\": expected key=value");
    assert_eq!(message("port=1 =2"), "parameter \"=2\": expected key=value");
}

#[test]
fn a_type_says_what_it_wants_in_its_own_words() {
    let refusal = <super::Refusal as serde::de::Error>::custom("a colour");
    assert_eq!(refusal.to_string(), "a colour");
}

#[test]
fn a_key_given_twice_is_named() {
    assert_eq!(message("port=1 port=2"), "parameter \"port\" is given twice");
}
