//! `GET /models` and `GET /models/{id}`, in the form of each API.

use std::sync::Arc;

use auxot_access::keys::Key;
use auxot_llama::Api;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;

use super::api_key::ClientKey;
use crate::error_body;
use crate::failure::Failure;
use crate::resolver::Resolution;
use crate::shared::RouterState;

#[derive(Debug, Serialize)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<ModelObject>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ModelObject {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl ModelObject {
    fn new(shared: &RouterState, id: String) -> Self {
        Self { id, object: "model", created: shared.started, owned_by: "auxot" }
    }
}

/// All models, as one page.
#[derive(Debug, Serialize)]
pub(crate) struct AnthropicList {
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
    data: Vec<AnthropicModel>,
}

#[derive(Debug, Serialize)]
struct AnthropicModel {
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: String,
    id: String,
    created_at: Timestamp,
}

impl AnthropicModel {
    fn new(shared: &RouterState, id: String) -> Self {
        let started = i64::try_from(shared.started).ok().and_then(|started| Timestamp::from_second(started).ok());
        Self { kind: "model", display_name: id.clone(), id, created_at: started.unwrap_or_default() }
    }
}

pub(crate) async fn list(
    State(shared): State<Arc<RouterState>>,
    Extension(ClientKey(key)): Extension<ClientKey>,
) -> Json<ModelList> {
    let data = shared.hub.models(&key).into_iter().map(|id| ModelObject::new(&shared, id)).collect();
    Json(ModelList { object: "list", data })
}

pub(crate) async fn one(
    State(shared): State<Arc<RouterState>>,
    Extension(ClientKey(key)): Extension<ClientKey>,
    Path(requested): Path<String>,
) -> Result<Json<ModelObject>, Failure> {
    find(&shared, &key, requested).map(|model| Json(ModelObject::new(&shared, model)))
}

pub(crate) async fn anthropic_list(
    State(shared): State<Arc<RouterState>>,
    Extension(ClientKey(key)): Extension<ClientKey>,
) -> Json<AnthropicList> {
    let models = shared.hub.models(&key);
    Json(AnthropicList {
        first_id: models.first().cloned(),
        last_id: models.last().cloned(),
        has_more: false,
        data: models.into_iter().map(|id| AnthropicModel::new(&shared, id)).collect(),
    })
}

pub(crate) async fn anthropic_one(
    State(shared): State<Arc<RouterState>>,
    Extension(ClientKey(key)): Extension<ClientKey>,
    Path(requested): Path<String>,
) -> Response {
    match find(&shared, &key, requested) {
        Ok(model) => Json(AnthropicModel::new(&shared, model)).into_response(),
        Err(failure) => error_body::response(Api::Anthropic, failure),
    }
}

/// The model of this name, among those that the key may use.
fn find(shared: &RouterState, key: &Key, requested: String) -> Result<String, Failure> {
    let known = shared.hub.models(key);
    match shared.hub.resolve(&requested) {
        Resolution::Model(model) if known.contains(&model) => Ok(model),
        _ if known.contains(&requested) => Ok(requested),
        Resolution::Ambiguous(mut candidates) if candidates.iter().any(|model| known.contains(model)) => {
            candidates.retain(|model| known.contains(model));
            Err(Failure::Ambiguous { requested, candidates })
        }
        _ => Err(Failure::UnknownModel { requested, known }),
    }
}
