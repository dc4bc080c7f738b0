//! What a guest is made of, and what it is given: by its command line or through xenstore.

use artifact::{Config, Feature};
use kernel::nodes;
use protocol::{Cpu, Parameters};

use crate::toolstack::{COMMAND_LINE_MAX, quote_for};
use crate::{Entry, GuestSpec};

impl GuestSpec {
    /// That of an entry's attempt; none before its task was fetched.
    #[must_use]
    pub fn of(entry: &Entry, cpu: Cpu) -> Option<Self> {
        let prepared = entry.prepared.as_ref()?;
        let (parameters, nodes) = parameters(&entry.command.parameters, &prepared.config);
        Some(Self {
            id: entry.guest(),
            key: entry.key(),
            image: prepared.image,
            network: prepared.config.needs(Feature::Network),
            memory_mib: prepared.memory_mib,
            cpu,
            parameters,
            nodes,
        })
    }
}

/// The parameters that go by the command line, and nodes with the others. All go by the line where they can: whoever
/// looks at a guest sees them there. Those of the network stack go by the line alone.
fn parameters(given: &Parameters, config: &Config) -> (Parameters, Vec<(String, Vec<u8>)>) {
    let line = given.words().join(" ");
    if quote_for(&line).is_some() && line.len() <= COMMAND_LINE_MAX {
        return (given.clone(), Vec::new());
    }
    let description = config.description();
    // They were judged when the command was admitted; what does not fit all the same is refused by the toolstack, with
    // the reason.
    let Ok(postcard) = description.encode(&given.words(), config.needs(Feature::Network)) else {
        return (given.clone(), Vec::new());
    };
    let mut line = given.clone();
    line.0.retain(|name, _| !description.takes(name.as_str()));
    let parts = nodes::split(&postcard).enumerate();
    (line, parts.map(|(number, part)| (nodes::path(nodes::PARAMETERS, number), part.to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use artifact::{Config, Feature};
    use description::Description;
    use kernel::nodes;
    use postcard_schema::Schema;
    use protocol::Parameters;
    use serde::Deserialize;

    use super::parameters;

    #[derive(Debug, PartialEq, Schema, Deserialize)]
    struct Taken {
        topics: Vec<String>,
        port: Option<u16>,
    }

    fn given(topics: &str) -> Parameters {
        let pairs = [("topics", topics), ("port", "80"), ("ip", "10.0.0.2/24")];
        Parameters(pairs.map(|(name, value)| (name.parse().unwrap(), value.to_owned())).into())
    }

    #[test]
    fn what_does_not_fit_the_command_line_goes_through_xenstore_but_for_the_networks() {
        let config = Config::new(Description::of::<Taken, ()>("task"), 4, vec![Feature::Network]).unwrap();
        assert_eq!(parameters(&given("a"), &config), (given("a"), Vec::new()));
        let long = vec!["x".repeat(40); 400];
        for topics in [long, vec!["both'\"".to_owned()], vec!["back\\slash".to_owned()]] {
            let (line, written) = parameters(&given(&topics.join(",")), &config);
            let names: Vec<_> = line.0.keys().map(|name| name.as_str()).collect();
            assert_eq!(names, ["ip"]);
            let written: BTreeMap<_, _> = written.into_iter().collect();
            let Ok(joined) =
                nodes::join(nodes::PARAMETERS, |path| Ok::<_, std::convert::Infallible>(written.get(path).cloned()));
            let read: Taken = postcard::from_bytes(&joined.unwrap()).unwrap();
            assert_eq!(read, Taken { topics, port: Some(80) });
        }
    }
}
