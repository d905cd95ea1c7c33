//! Key files of earlier versions: TOML with a table for each key or pair.

use jiff::Timestamp;
use serde::Deserialize;

use super::hash::KeyHash;
use super::key::{Key, KeyId, KeyKind};

/// Comments that the program wrote at the head of such files.
const HEADS: [&str; 4] = [
    "# Key pairs of auxot-router: Argon2id hashes only. Written by `auxot-router keys create`;",
    "# remove a [[pair]] to withdraw its keys.",
    "# API keys of auxot-worker: Argon2id hashes only. Written by `auxot-worker keys create`;",
    "# `auxot-worker keys revoke` removes one.",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldFile {
    #[serde(default, alias = "key")]
    pair: Vec<OldPair>,
}

/// A key, or a pair.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldPair {
    name: String,
    created: Timestamp,
    worker: Option<String>,
    api: String,
    worker_hint: Option<String>,
    api_hint: Option<String>,
}

impl OldPair {
    fn keys(self) -> Result<Vec<Key>, String> {
        let Self { name, created, worker, api, worker_hint, api_hint } = self;
        let worker = worker.map(|phc| (KeyKind::Worker, phc, worker_hint));
        let key = |(kind, phc, hint): (KeyKind, String, Option<String>)| {
            let hash = KeyHash::parse(&phc, hint.as_deref())
                .ok_or_else(|| format!("the key `{name}` has a value that is no Argon2id hash"))?;
            let id = KeyId::of_hash(&hash);
            Ok(Key { name: name.as_str().into(), kind, id, hash, created, expires: None, terms: None })
        };
        worker.into_iter().chain([(KeyKind::Api, api, api_hint)]).map(key).collect()
    }
}

/// The keys of a file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Key>, String> {
    let file: OldFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let keys: Result<Vec<Vec<Key>>, String> = file.pair.into_iter().map(OldPair::keys).collect();
    Ok(keys?.concat())
}

/// The comments of its owner.
pub(super) fn comments(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with('#') && !HEADS.contains(line))
}
