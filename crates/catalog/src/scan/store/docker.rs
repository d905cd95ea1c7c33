//! Docker's model runner: `models.json` with tags and digests, `blobs/sha256/<digest>`.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::{Store, StoreFile, json, place_of};

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    models: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
}

pub(super) fn read(folder: &Path) -> Store {
    let index = folder.join("models.json");
    let mut store = Store { watched: vec![index.clone()], ..Store::default() };
    for entry in json::<Index>(&index).map(|index| index.models).unwrap_or_default() {
        let blobs = entry.files.iter().filter_map(|digest| digest.strip_prefix("sha256:"));
        let blobs = blobs.filter(|digest| digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let models: Vec<_> =
            blobs.map(|digest| folder.join("blobs/sha256").join(digest)).filter(|blob| is_gguf(blob)).collect();
        // Licences and settings are blobs too; a model of several files has no order here.
        let ([model], Some(tag)) = (&models[..], entry.tags.first()) else { continue };
        let name = tag.strip_suffix(":latest").unwrap_or(tag);
        store.files.push(StoreFile { path: model.clone(), place: place_of(name), name: Some(name.to_owned()) });
    }
    store
}

fn is_gguf(blob: &Path) -> bool {
    let mut magic = [0; 4];
    std::fs::File::open(blob).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"GGUF"
}
