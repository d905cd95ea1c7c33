//! The documented default file `config/auxot-worker.toml` against the tree, and the tree against the names.

use std::collections::BTreeSet;
use std::time::Duration;

use auxot_fleet::ModelConfig;

use crate::file::ConfigFile;
use crate::tree::Tree;
use crate::{NAMES, Settings, Sources, load, nested_variable};

pub(super) const FILE: &str = include_str!("../../../../config/auxot-worker.toml");
const MODELS: &str = include_str!("../../../../config/example.toml");

/// The table of one model is commented out like its keys.
const ONE_MODEL: &str = "#[fleet.models.NAME]";

/// A commented key: `#key = value`, without a blank after the `#`.
pub(super) fn as_key(line: &str) -> Option<&str> {
    let key = line.strip_prefix('#')?;
    if line == ONE_MODEL {
        return Some(key);
    }
    let name = key.split_once(" = ")?.0;
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then_some(key)
}

/// The file with every key active.
fn uncommented() -> String {
    FILE.lines().map(|line| as_key(line).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn settings(text: &str) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auxot-worker.toml");
    std::fs::write(&path, text).unwrap();
    let sources = Sources { config: Some(path), ..Sources::default() };
    load::<Settings>(&sources, &NAMES).unwrap_or_else(|faults| panic!("{faults}")).value
}

#[test]
fn the_file_equals_the_defaults_with_and_without_its_commented_keys() {
    assert_eq!(format!("{:?}", settings(FILE)), format!("{:?}", Settings::default()));
    assert_eq!(format!("{:?}", settings(&uncommented())), format!("{:?}", with_one_model()));
}

/// The defaults, with a table of defaults for one model.
fn with_one_model() -> Settings {
    let mut settings = Settings::default();
    settings.fleet.models.insert("NAME".to_owned(), ModelConfig::default());
    settings
}

#[test]
fn the_example_has_three_models() {
    let settings = settings(MODELS);
    let models = &settings.fleet.models;
    assert_eq!(models.len(), 3);
    assert_eq!(models["llama-3.3-70b-q4_k_m"].devices, ["0", "1"]);
    assert_eq!(models["qwen3-8b-q4_k_m"].kv_type, Some(auxot_catalog::KvType::Q8_0));
    assert!(models["nomic-embed-text-v1.5-f16"].pin);
    assert_eq!(settings.fleet.ttl, Some(Duration::from_secs(30 * 60)));
    let only = Settings { fleet: settings.fleet.clone(), ..Settings::default() };
    assert_eq!(format!("{settings:?}"), format!("{only:?}"), "the example sets nothing outside of [fleet]");
}

#[test]
fn no_key_is_missing_from_the_file() {
    let parsed = ConfigFile::parse("f".as_ref(), &uncommented());
    let documented: BTreeSet<String> = parsed.entries.iter().map(|entry| entry.key.join(".")).collect();
    let leaves = Tree::of(&with_one_model()).unwrap().leaves();
    let mut wanted: BTreeSet<String> = leaves.iter().map(|(key, _)| key.join(".")).collect();
    wanted.extend(NAMES.table.iter().map(|name| name.key.to_owned()));
    assert_eq!(documented, wanted);
}

#[test]
fn every_key_is_explained_and_has_its_variable_above_it() {
    let mut section = "";
    let mut above = "";
    let mut explained = false;
    for line in FILE.lines() {
        let shown = as_key(line).unwrap_or(line);
        if let Some(name) = shown.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some(key) = as_key(line) {
            let key = format!("{section}.{}", key.split_once(" = ").unwrap().0);
            let flat = NAMES.table.iter().find(|name| name.key == key).map(|name| name.variable.to_owned());
            let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
            assert_eq!(above, format!("# {}", flat.unwrap_or_else(|| nested_variable(&parts))), "above {key}");
            assert!(explained, "{key} stands without an explanation");
        }
        // One explanation may stand above several keys; a blank line ends its reach.
        explained = !line.is_empty() && (explained || (line.starts_with("# ") && !line.starts_with("# AUXOT_")));
        above = line;
    }
}

#[test]
fn every_name_is_a_key_and_its_flag_is_its_variable() {
    let tree = Tree::of(&Settings::default()).unwrap();
    for name in NAMES.table {
        let key: Vec<String> = name.key.split('.').map(str::to_owned).collect();
        assert!(tree.get(&key).is_some() || name.key == "router.key", "{} is not a key", name.key);
        let flag = name.variable.strip_prefix("AUXOT_").unwrap().to_ascii_lowercase().replace('_', "-");
        assert_eq!(flag, name.flag);
        assert!(!NAMES.is_foreign(name.variable), "{}", name.variable);
    }
    for renamed in NAMES.renamed {
        let parts = |key: &str| key.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert!(tree.get(&parts(renamed.key)).is_some(), "{} is not a key", renamed.key);
        assert!(tree.get(&parts(renamed.old)).is_none(), "{} is still a key", renamed.old);
        let now = NAMES.table.iter().find(|name| name.key == renamed.key);
        assert_eq!(renamed.flat.is_some(), now.is_some(), "{} has flat names then and now, or never", renamed.old);
        let Some(flat) = renamed.flat else { continue };
        let flag = flat.variable.strip_prefix("AUXOT_").unwrap().to_ascii_lowercase().replace('_', "-");
        assert_eq!(flag, flat.flag);
        assert!(!NAMES.table.iter().any(|name| name.flag == flat.flag), "{} is still a flag", flat.flag);
    }
    let flags: BTreeSet<&str> = NAMES.table.iter().map(|name| name.flag).collect();
    assert_eq!(flags.len(), NAMES.table.len());
}
