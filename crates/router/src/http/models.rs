//! `GET /models` and `GET /models/{id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;

use super::api_key::ClientKey;
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
    let known = shared.hub.models(&key);
    match shared.hub.resolve(&requested) {
        Resolution::Model(model) if known.contains(&model) => Ok(Json(ModelObject::new(&shared, model))),
        _ if known.contains(&requested) => Ok(Json(ModelObject::new(&shared, requested))),
        Resolution::Ambiguous(mut candidates) if candidates.iter().any(|model| known.contains(model)) => {
            candidates.retain(|model| known.contains(model));
            Err(Failure::Ambiguous { requested, candidates })
        }
        _ => Err(Failure::UnknownModel { requested, known }),
    }
}
