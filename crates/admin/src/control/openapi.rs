//! The OpenAPI document of the control socket.

use auxot_control_socket::openapi::{self, Info};
use serde_json::Value;

use super::operations::{OPERATIONS, SOCKET_OPERATIONS};

/// The OpenAPI 3.1 document.
pub(crate) fn document(version: &str) -> Value {
    let info = Info {
        title: "auxot-worker",
        version,
        description: "See and steer a running worker, over the socket in its runtime directory.",
        not_found: "There is no such model",
    };
    openapi::document(info, OPERATIONS.iter().chain(SOCKET_OPERATIONS))
}

#[cfg(test)]
mod tests {
    use auxot_control_socket::Place;

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
