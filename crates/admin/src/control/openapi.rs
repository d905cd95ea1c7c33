//! The OpenAPI document of the control socket, made from the table of its operations and the types of its messages.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::api::Failure;
use super::operations::{Answer, OPERATIONS, Operation, Parameter, Place, SOCKET_OPERATIONS};

/// The OpenAPI 3.1 document.
pub(crate) fn document(version: &str) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.for_serialize().into_generator();
    let mut paths = Map::new();
    for operation in OPERATIONS.iter().chain(SOCKET_OPERATIONS) {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "auxot-worker",
            "version": version,
            "description": "See and steer a running worker, over the socket in its runtime directory.",
        },
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
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
        responses[status.to_string()] =
            json!({"description": meaning(*status), "content": {"application/json": {"schema": failure}}});
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
        404 => "There is no such model",
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
    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_to_a_schema() {
        let document = document("1.0.0");
        let text = document.to_string();
        let references: Vec<&str> =
            text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference}");
        }
        assert!(!text.contains("$schema") && !text.contains("$defs"), "{text}");
    }

    #[test]
    fn each_operation_is_described_once_with_its_parameters() {
        let document = document("1.0.0");
        for operation in OPERATIONS {
            let described = &document["paths"][operation.path][operation.method];
            assert_eq!(described["summary"], operation.summary);
            let of_path = operation.parameters.iter().filter(|parameter| parameter.place == Place::Path);
            let named = of_path.filter(|parameter| operation.path.contains(&format!("{{{}}}", parameter.name)));
            assert_eq!(named.count(), operation.path.matches('{').count(), "{}", operation.path);
        }
        let mut ids: Vec<&Value> =
            OPERATIONS.iter().map(|one| &document["paths"][one.path][one.method]["operationId"]).collect();
        ids.sort_by_key(|id| id.to_string());
        ids.dedup();
        assert_eq!(ids.len(), OPERATIONS.len());
    }
}
