//! `GET /models` and `GET /models/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

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

pub(crate) async fn list(State(shared): State<Arc<RouterState>>) -> Json<ModelList> {
    let data = shared.hub.models().into_iter().map(|id| ModelObject::new(&shared, id)).collect();
    Json(ModelList { object: "list", data })
}

pub(crate) async fn one(
    State(shared): State<Arc<RouterState>>,
    Path(requested): Path<String>,
) -> Result<Json<ModelObject>, Failure> {
    let known = shared.hub.models();
    match shared.hub.resolve(&requested) {
        Resolution::Model(model) if known.contains(&model) => Ok(Json(ModelObject::new(&shared, model))),
        _ if known.contains(&requested) => Ok(Json(ModelObject::new(&shared, requested))),
        Resolution::Ambiguous(candidates) => Err(Failure::Ambiguous { requested, candidates }),
        Resolution::Model(_) | Resolution::Unknown => Err(Failure::UnknownModel { requested, known }),
    }
}
