//! The stores of other programs, read through their own indexes and never written.
//!
//! A store is recognised by its layout, wherever it is. Its index says which file is which model: a folder of blobs, or of
//! snapshots, has files under names that mean nothing, files that are not finished, and files of older versions.

mod docker;
mod hugging_face;
mod jan;
mod ollama;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The largest index that is read.
const LARGEST_INDEX: u64 = 4 << 20;

/// What a store has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) files: Vec<StoreFile>,
    /// Files and folders of the index; a change of one makes another store.
    pub(crate) watched: Vec<PathBuf>,
}

/// A file of a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoreFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Where it would be under the names that people know, below the store's folder.
    pub(crate) place: PathBuf,
    /// What its model is called there.
    pub(crate) name: Option<String>,
}

/// Reads the store of this folder; `None` where it is none.
pub(crate) fn read(folder: &Path) -> Option<Store> {
    let has = |name: &str| folder.join(name).exists();
    if has("snapshots") && hugging_face::repository(folder).is_some() {
        Some(hugging_face::read(folder))
    } else if has("blobs") && has("manifests") && !has("models.json") {
        Some(ollama::read(folder))
    } else if has("blobs") && has("models.json") {
        Some(docker::read(folder))
    } else if has("model.yml") {
        Some(jan::read(folder))
    } else {
        None
    }
}

/// A small JSON file, where it can be read: another program may write it just now.
fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&text(path)?).ok()
}

/// A small text file.
fn text(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LARGEST_INDEX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The entries of a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// The place of a model's only file: `gemma3:4b` is `gemma3-4b/gemma3-4b.gguf`, `ai/x` is `ai/x/x.gguf`.
fn place_of(name: &str) -> PathBuf {
    let plain = name.replace(':', "-");
    let safe = plain.split('/').filter(|part| !part.is_empty() && *part != "." && *part != "..");
    let folder: PathBuf = safe.collect();
    let file = format!("{}.gguf", folder.file_name().unwrap_or_default().to_string_lossy());
    folder.join(file)
}

#[cfg(test)]
mod tests;
