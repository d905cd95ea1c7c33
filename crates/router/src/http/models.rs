//! `GET /models` and `GET /models/{id}`.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use crate::failure::Failure;
use crate::resolver::Meaning;
use crate::shared::Shared;

#[derive(Debug, Serialize)]
pub(crate) struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl Model {
    fn new(shared: &Shared, id: String) -> Self {
        Self { id, object: "model", created: shared.started, owned_by: "auxot" }
    }
}

pub(crate) async fn list(State(shared): State<Shared>) -> Json<List> {
    let data = shared.hub.models().into_iter().map(|id| Model::new(&shared, id)).collect();
    Json(List { object: "list", data })
}

pub(crate) async fn one(State(shared): State<Shared>, Path(asked): Path<String>) -> Result<Json<Model>, Failure> {
    let known = shared.hub.models();
    match shared.hub.meaning(&asked) {
        Meaning::Model(model) if known.contains(&model) => Ok(Json(Model::new(&shared, model))),
        Meaning::Several(candidates) => Err(Failure::Ambiguous { asked, candidates }),
        Meaning::Model(_) | Meaning::Nothing => Err(Failure::UnknownModel { asked, known }),
    }
}
