//! A task's parameters.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::ParameterName;

/// Parameters as a person would write them on a guest's command line: names and texts.
///
/// What the texts mean is said by the schema in the task's artifact, in the node as in the guest. A name that is
/// there twice is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Parameters(pub BTreeMap<ParameterName, String>);

impl Parameters {
    /// The words of a command line.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Parameters;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of parameters, each value a text")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut parameters = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<ParameterName, String>()? {
            let text = name.to_string();
            if parameters.insert(name, value).is_some() {
                return Err(A::Error::custom(format_args!("duplicate parameter `{text}`")));
            }
        }
        Ok(Parameters(parameters))
    }
}
