//! The OpenAPI document of a control socket, made from the table of its operations and the types of its messages.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::messages::Failure;
use crate::operation::{Answer, Operation, Parameter, Place};

/// What the document says about the program.
#[derive(Debug, Clone, Copy)]
pub struct Info<'a> {
    /// The program.
    pub title: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What its operations are for.
    pub description: &'a str,
    /// What a 404 means.
    pub not_found: &'a str,
}

/// The OpenAPI 3.1 document of these operations.
#[must_use]
pub fn document<'a, S: 'static>(info: Info<'_>, operations: impl IntoIterator<Item = &'a Operation<S>>) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.for_serialize().into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation, info.not_found, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": info.title, "version": info.version, "description": info.description},
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn describe<S: 'static>(operation: &Operation<S>, not_found: &str, generator: &mut SchemaGenerator) -> Value {
    let name = format!("{}{}", operation.method, operation.path.replace(['/', '-', '.'], "_").replace(['{', '}'], ""));
    let mut described = json!({"summary": operation.summary, "operationId": name, "responses": {}});
    if !operation.parameters.is_empty() {
        described["parameters"] = operation.parameters.iter().map(parameter).collect();
    }
    if let Some(request) = operation.request {
        let schema = request(generator);
        described["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    let responses = &mut described["responses"];
    responses["200"] = match operation.answer {
        Answer::Message(of) => {
            json!({"description": "Carried out", "content": {"application/json": {"schema": of(generator)}}})
        }
        Answer::Stream(of) => json!({
            "description": "Server-sent events; the data of each is a JSON text of this schema, and its id the number to go on after",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": of(generator)}},
        }),
    };
    let failure = generator.subschema_for::<Failure>();
    for status in operation.failures {
        let meaning = if *status == 404 { not_found } else { meaning(*status) };
        responses[status.to_string()] =
            json!({"description": meaning, "content": {"application/json": {"schema": failure}}});
    }
    described
}

fn parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name, "in": place, "required": parameter.place == Place::Path,
        "description": parameter.about, "schema": schema_of(parameter.kind),
    })
}

/// A number is never negative here.
fn schema_of(kind: &str) -> Value {
    if kind == "integer" { json!({"type": kind, "minimum": 0}) } else { json!({"type": kind}) }
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read",
        409 => "Not possible now",
        413 => "The body is too long",
        415 => "The body is not JSON",
        422 => "The values cannot be used",
        503 => "Not possible now",
        _ => "Failed",
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use schemars::JsonSchema;
    use serde::Serialize;

    use super::*;
    use crate::operation::schema;

    #[derive(Serialize, JsonSchema)]
    struct Inner {
        count: u32,
    }

    #[derive(Serialize, JsonSchema)]
    struct Outer {
        inner: Vec<Inner>,
    }

    const ID: Parameter = Parameter { name: "id", place: Place::Path, about: "Its id", kind: "integer" };
    const OPERATIONS: &[Operation<()>] = &[
        Operation::reads("/v1/things", "All things", schema::<Outer>, || get(async || ())),
        Operation {
            parameters: &[ID],
            failures: &[404],
            ..Operation::commands("/v1/things/{id}/drop", "Drop one", schema::<Inner>, || post(async || ()))
        },
    ];

    #[test]
    fn a_document_describes_operations_parameters_and_messages() {
        let info = Info { title: "t", version: "1", description: "d", not_found: "There is no such thing" };
        let document = document(info, OPERATIONS);
        let text = document.to_string();
        assert!(!text.contains("$schema") && !text.contains("$defs"), "{text}");
        assert!(document.pointer("/components/schemas/Outer").is_some_and(Value::is_object), "{text}");
        let dropped = &document["paths"]["/v1/things/{id}/drop"]["post"];
        assert_eq!(dropped["responses"]["404"]["description"], "There is no such thing");
        assert_eq!(dropped["parameters"][0]["schema"]["minimum"], 0);
        assert!(document["components"]["schemas"]["Inner"]["properties"]["count"].is_object());
    }
}
