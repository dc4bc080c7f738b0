//! JSON schemas of the documents, made from the types that read them.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use crate::{Command, Document, Envelope, Event, NodeState, Report};

/// A schema (JSON Schema, draft 2020-12) for each document, by its name.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    vec![of::<Command>(), of::<Envelope>(), of::<Event>(), of::<NodeState>(), of::<Report>()]
}

fn of<D: Document + JsonSchema>() -> (&'static str, Value) {
    (D::NAME, SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<D>().to_value())
}
