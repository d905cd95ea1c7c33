//! `GET /v1/models`: the models that can serve, in the words of OpenAI's API and with what local programs want to know.

use auxot_catalog::Task;
use auxot_fleet::{Fleet, ModelState, ModelView, Refusal};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

/// Models that are listed beside those of the fleet.
const MOST_UNLOADED: usize = 1_000;
/// Aliases that are listed.
const MOST_ALIASES: usize = 100;

#[derive(Debug, Serialize)]
struct ModelObject {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// `ready`, `loading`, `on_disk` and so on: the fleet's word.
    state: &'static str,
    /// `chat`, `embedding` or `rerank`.
    task: String,
    /// Tokens of context that one request has, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u32>,
    input_modalities: Vec<&'static str>,
    /// Further names that mean it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
}

/// All models.
pub(crate) fn list(fleet: &Fleet) -> Bytes {
    let data = objects(fleet);
    text(&json!({"object": "list", "data": data}))
}

/// The model that a name means.
pub(crate) fn one(fleet: &Fleet, name: &str) -> Result<Bytes, Refusal> {
    let meant = fleet.canonical_name(name).unwrap_or_else(|| name.to_owned());
    let mut all = objects(fleet);
    match all.iter().position(|object| object.id == meant) {
        Some(at) => Ok(text(&json!(all.swap_remove(at)))),
        None => {
            let serves = all.into_iter().map(|object| object.id).collect();
            Err(Refusal::UnknownModel { name: name.to_owned(), serves })
        }
    }
}

fn text(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn objects(fleet: &Fleet) -> Vec<ModelObject> {
    let aliases: Vec<(String, Option<String>)> = fleet
        .aliases(MOST_ALIASES)
        .into_iter()
        .map(|(alias, _)| {
            let model = fleet.canonical_name(&alias);
            (alias, model)
        })
        .collect();
    let loaded = fleet.report().models.into_iter().filter(can_serve).map(|view| of_view(&view));
    let unloaded = fleet.unloaded_models(MOST_UNLOADED).into_iter().map(|model| {
        let vision = model.capabilities.iter().any(|word| word == "vision");
        let task = model.capabilities.into_iter().find(|word| word != "vision").unwrap_or_default();
        ModelObject {
            context_length: model.ctx_train,
            ..object(model.name, ModelState::OnDisk.name(), task, vision, false)
        }
    });
    let mut all: Vec<ModelObject> = loaded.chain(unloaded).collect();
    for object in &mut all {
        let own = aliases.iter().filter(|(_, model)| model.as_ref() == Some(&object.id));
        object.aliases = own.map(|(alias, _)| alias.clone()).collect();
    }
    all
}

/// A model that has failed serves nothing until something changes.
fn can_serve(view: &ModelView) -> bool {
    view.state != ModelState::Failed
}

fn of_view(view: &ModelView) -> ModelObject {
    let state = view.state.name();
    let vision = view.ready.as_ref().map_or(view.model.vision, |ready| ready.props.vision);
    let object = object(view.model.name.clone(), state, view.model.task.to_string(), vision, view.model.audio);
    ModelObject { context_length: Some(view.ctx_size).filter(|size| *size > 0), ..object }
}

fn object(id: String, state: &'static str, task: String, vision: bool, audio: bool) -> ModelObject {
    let more =
        [("image", vision), ("audio", audio)].into_iter().filter(|(_, has)| *has && task == Task::Chat.to_string());
    let input_modalities = std::iter::once("text").chain(more.map(|(word, _)| word)).collect();
    ModelObject {
        id,
        object: "model",
        created: 0,
        owned_by: "auxot",
        state,
        task,
        context_length: None,
        input_modalities,
        aliases: Vec::new(),
    }
}
