//! What others send to a guest or a node, at random.
//!
//! Each target is a function of bytes that panics when something is wrong. The tests run it over the corpus in
//! `fuzz/corpus` and over random bytes from a fixed seed; `cargo xtask fuzz` (or `cargo fuzz`) runs it under libFuzzer for as
//! long as wanted. An input that found a bug goes into the corpus, named after the bug.
//!
//! ```
//! // A sensor's pack, and one that breaks off: the target panics if what is read of them is wrong.
//! for bytes in [&br#"[{"n":"t","u":"Cel","v":21.5}]"#[..], br#"[{"n":"t","v":2e"#] {
//!     fuzz::senml::run(bytes);
//! }
//! ```
//!
//! | target | who sends | to what |
//! |---|---|---|
//! | [`backend`] | a network backend, and the toolstack's nodes about it | netfront, from the handshake to the rings |
//! | [`channel`] | the other end of a channel | ours |
//! | [`commands`] | a tenant, or who would like to be one | a node: documents and signatures |
//! | [`xenstore`] | the store | the client of the store |
//! | [`device_tree`] | the toolstack, on ARM | its reader |
//! | [`parameters`] | who starts the guest | the command line, and parameters as postcard |
//! | [`dhcp`] | a second DHCP server | the client of the first |
//! | [`frames`] | the network | the stack: Ethernet, ARP, IPv4, DHCP, ICMP, UDP, TCP, DNS |
//! | [`mqtt`] | both brokers | `collect` |
//! | [`senml`] | sensors | `collect` |
//! | [`filter`] | an HTTP server | `filter` |
//! | [`broker`] | the sensors' MQTT broker, and a database of what was before | `broker` |
//! | [`feed`] | who feeds a task | the reader of feeds, and `summary` |

pub mod backend;
pub mod broker;
pub mod channel;
pub mod commands;
pub mod device_tree;
pub mod dhcp;
pub mod feed;
pub mod filter;
pub mod frames;
pub mod input;
pub mod mqtt;
pub mod parameters;
pub mod senml;
pub mod xenstore;

/// A target: a function of bytes that panics when something is wrong.
pub type Target = fn(&[u8]);

/// All targets by their names, which are those of their corpora and programs.
pub const TARGETS: [(&str, Target); 13] = [
    ("backend", backend::run),
    ("broker", broker::run),
    ("channel", channel::run),
    ("commands", commands::run),
    ("device_tree", device_tree::run),
    ("dhcp", dhcp::run),
    ("feed", feed::run),
    ("filter", filter::run),
    ("frames", frames::run),
    ("mqtt", mqtt::run),
    ("parameters", parameters::run),
    ("senml", senml::run),
    ("xenstore", xenstore::run),
];
