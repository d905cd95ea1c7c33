//! Ollama's store: `manifests/<host>/<namespace>/<model>/<tag>` and `blobs/sha256-<digest>`.
//!
//! A blob counts through a manifest only, and with the size that the manifest states: what is being downloaded has its full
//! size from the start, under another name. Many of its models are of formats of its own; whether the engine loads one is seen
//! at the load.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Store, StoreFile, entries, json, place_of};
use crate::path::file_name;

/// The namespace that is left out of a name.
const LIBRARY: &str = "library";
/// Ollama's own host, which is left out of a name.
const HOST: &str = "registry.ollama.ai";
const MODEL: &str = "application/vnd.ollama.image.model";
const PROJECTOR: &str = "application/vnd.ollama.image.projector";

#[derive(Deserialize)]
struct Manifest {
    config: Option<Layer>,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
}

#[derive(Deserialize)]
struct Settings {
    /// A model that runs elsewhere.
    remote_host: Option<String>,
}

pub(super) fn read(folder: &Path) -> Store {
    let mut store = Store { watched: vec![folder.join("manifests")], ..Store::default() };
    for host in entries(&folder.join("manifests")) {
        for namespace in entries(&host) {
            for model in entries(&namespace) {
                store.watched.extend([&host, &namespace, &model].map(Clone::clone));
                for tag in entries(&model).iter().filter(|tag| !file_name(tag).starts_with('.')) {
                    store.watched.push(tag.clone());
                    let parts = [&host, &namespace, &model].map(|path| file_name(path));
                    add(folder, tag, &name_of(&parts, &file_name(tag)), &mut store);
                }
            }
        }
    }
    store.watched.sort();
    store.watched.dedup();
    store
}

/// The name as its users write it: `gemma3:4b`, `me/model:latest`, `hf.co/owner/repo:Q4_K_M`.
fn name_of([host, namespace, model]: &[String; 3], tag: &str) -> String {
    match (&**host, &**namespace) {
        (HOST, LIBRARY) => format!("{model}:{tag}"),
        (HOST, _) => format!("{namespace}/{model}:{tag}"),
        _ => format!("{host}/{namespace}/{model}:{tag}"),
    }
}

fn add(folder: &Path, tag: &Path, name: &str, store: &mut Store) {
    let Some(manifest) = json::<Manifest>(tag) else { return };
    let blob = |layer: &Layer| -> Option<PathBuf> {
        let digest =
            layer.digest.strip_prefix("sha256:").filter(|digest| digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Some(folder.join("blobs").join(format!("sha256-{}", digest?)))
    };
    let settings = manifest.config.as_ref().and_then(|config| json::<Settings>(&blob(config)?));
    if settings.is_some_and(|settings| settings.remote_host.is_some_and(|host| !host.is_empty())) {
        return;
    }
    let is_whole =
        |layer: &&Layer| blob(layer).and_then(|path| path.metadata().ok()).is_some_and(|file| file.len() == layer.size);
    let of = |kind: &str| manifest.layers.iter().filter(|layer| layer.media_type == kind).collect::<Vec<_>>();
    // Several are the shards of one model, in a form that the engine does not find.
    let (models, projectors) = (of(MODEL), of(PROJECTOR));
    let [model] = models[..] else { return };
    if !is_whole(&model) || !projectors.iter().all(is_whole) {
        return;
    }
    // Both `gemma3` and `gemma3:latest` are then found.
    let name = name.strip_suffix(":latest").unwrap_or(name);
    let place = place_of(name);
    let projector = projectors.first().and_then(|layer| blob(layer)).map(|path| StoreFile {
        path,
        place: place.with_file_name("mmproj.gguf"),
        name: None,
    });
    let model = blob(model).map(|path| StoreFile { path, place, name: Some(name.to_owned()) });
    store.files.extend(model.into_iter().chain(projector));
}
