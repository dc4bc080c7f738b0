//! The interface as an OpenAPI document, made of the table of routes and of the types that are read and written.

use protocol::api::{About, CommandList, CommandStatus, Problem, TaskList, TenantList, TenantStatus};
use protocol::{Envelope, NodeState, Report, TenantRecord};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Content, ROUTES, Route, Who};

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Spore's node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a board's node does for its operator and its tenants, on a unix socket and with TLS.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "access": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "Spore and, in base64, an access document in a signed envelope. The operator needs none.",
                },
            },
        },
    })
}

fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator: SchemaGenerator = settings.into_generator();
    generator.subschema_for::<About>();
    generator.subschema_for::<Envelope>();
    generator.subschema_for::<CommandStatus>();
    generator.subschema_for::<CommandList>();
    generator.subschema_for::<Report>();
    generator.subschema_for::<NodeState>();
    generator.subschema_for::<TaskList>();
    generator.subschema_for::<TenantList>();
    generator.subschema_for::<TenantRecord>();
    generator.subschema_for::<TenantStatus>();
    generator.subschema_for::<Problem>();
    generator.take_definitions(true)
}

fn operation(route: &Route) -> Value {
    let parts = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        parts.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": "string" } })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let who = match route.who {
        Who::Anyone => "everyone",
        Who::Tenant => "the operator, and each tenant for what is its own",
        Who::Operator => "the operator",
    };
    let mut operation = json!({
        "operationId": format!("{:?}", route.call),
        "summary": route.summary,
        "description": format!("For {who}."),
        "parameters": parameters,
        "responses": {
            "2XX": content(route.gives, "It was done."),
            "default": content(Content::Json("Problem"), "It was not done: what is at fault, and what to do."),
        },
    });
    if let Some(takes) = route.takes {
        operation["requestBody"] = content(takes, "What is sent.");
    }
    if route.who == Who::Tenant {
        operation["security"] = json!([{ "access": [] }, {}]);
    }
    operation
}

fn content(content: Content, description: &str) -> Value {
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    match content {
        Content::Empty => json!({ "description": description }),
        Content::Json(name) => {
            json!({ "description": description, "content": { "application/json": { "schema": schema(name) } } })
        }
        Content::Other(kind) => json!({ "description": description, "content": { kind: {} } }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::routes::ROUTES;
    use super::document;

    /// Every reference in a document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_has_every_route_and_every_type_that_it_names() {
        let document = document();
        let count: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(count, ROUTES.len());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
