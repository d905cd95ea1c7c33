//! A model of Jan: `models/<id>/model.yml`, which names its files, perhaps elsewhere.

use std::path::{Path, PathBuf};

use super::{Store, StoreFile, text};
use crate::path::file_name;

pub(super) fn read(folder: &Path) -> Store {
    let yml = folder.join("model.yml");
    let text = text(&yml).unwrap_or_default();
    let id = file_name(folder);
    let place = |name: &str| Path::new(&id).join(name);
    let model = value(&text, "model_path").map(|path| find(folder, &path));
    let model = model.unwrap_or_else(|| folder.join("model.gguf"));
    let projector = value(&text, "mmproj_path").map(|path| find(folder, &path));
    let mut files = vec![StoreFile { path: model, place: place(&format!("{id}.gguf")), name: value(&text, "name") }];
    files.extend(projector.map(|path| StoreFile { path, place: place("mmproj.gguf"), name: None }));
    Store { files, watched: vec![yml] }
}

/// A value of the file's first level.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let value = line.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// A path of the file: absolute, or below the data folder, which is some folders above this one.
fn find(folder: &Path, path: &str) -> PathBuf {
    let below = folder.ancestors().map(|above| above.join(path)).find(|candidate| candidate.exists());
    below.unwrap_or_else(|| folder.join(path))
}
