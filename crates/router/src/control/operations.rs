//! Every operation of the control socket: its route, and what describes it.

use auxot_control_socket::openapi::{self, Info};
use auxot_control_socket::{
    Operation, PageLink, PageToken, Parameter, Place, no_such_operation, page_link, page_token, routes, schema,
    wrong_method,
};
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use super::api::{CreatedKey, Keys, NewKey, Providers, Revoked, Status, Workers};
use super::handlers::{self as on, ControlState};

/// The longest body of a request.
pub(super) const LONGEST_BODY: usize = 64 << 10;

const NAME: Parameter = Parameter { name: "name", place: Place::Path, about: "The name of the keys", kind: "string" };

/// All operations that the page has too.
const OPERATIONS: &[Operation<ControlState>] = &[
    Operation {
        failures: &[503],
        ..Operation::reads("/v1/status", "The router, its workers, other providers and keys", schema::<Status>, || {
            get(on::status)
        })
    },
    Operation {
        failures: &[503],
        ..Operation::reads("/v1/workers", "The connected workers", schema::<Workers>, || get(on::workers))
    },
    Operation::reads("/v1/providers", "The providers beside the workers", schema::<Providers>, || get(on::providers)),
    Operation::reads("/v1/keys", "The keys of workers and clients", schema::<Keys>, || get(on::keys)),
    Operation {
        request: Some(schema::<NewKey>),
        failures: &[400, 409, 413, 415, 422],
        ..Operation::commands("/v1/keys", "Create a key, which is shown this once", schema::<CreatedKey>, || {
            post(on::create_key)
        })
    },
    Operation {
        parameters: &[NAME],
        failures: &[400, 404, 409],
        ..Operation::commands(
            "/v1/keys/{name}/revoke",
            "Revoke the keys of a name; their connections end within a second",
            schema::<Revoked>,
            || post(on::revoke_key),
        )
    },
];

/// Operations that give access to others: the page does not have them.
const SOCKET_OPERATIONS: &[Operation<ControlState>] = &[
    Operation {
        failures: &[503],
        ..Operation::commands(
            "/v1/page",
            "A link that opens the page in a browser of this host, once",
            schema::<PageLink>,
            || post(page_link),
        )
    },
    Operation {
        failures: &[503],
        ..Operation::commands(
            "/v1/token",
            "A token for programs that use the page's address",
            schema::<PageToken>,
            || post(page_token),
        )
    },
];

/// The operations that the page has too.
pub(super) fn common_routes(state: &ControlState) -> Router {
    routes(OPERATIONS).route("/openapi.json", get(async || Json(document()))).with_state(state.clone())
}

/// All operations.
pub(super) fn all_routes(state: &ControlState) -> Router {
    common_routes(state)
        .merge(routes(SOCKET_OPERATIONS).with_state(state.clone()))
        .fallback(no_such_operation)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
}

/// The OpenAPI 3.1 document.
fn document() -> Value {
    let info = Info {
        title: "auxot-router",
        version: env!("AUXOT_VERSION"),
        description: "See a running router and steer its keys, over the socket in its runtime directory.",
        not_found: "There is no key of that name",
    };
    openapi::document(info, OPERATIONS.iter().chain(SOCKET_OPERATIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        let references: Vec<&str> =
            text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > OPERATIONS.len());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference}");
        }
    }
}
