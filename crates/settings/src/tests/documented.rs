//! The documented default file `config/auxot-worker.toml` against the tree, and the tree against the names.

use std::collections::BTreeSet;

use crate::file::File;
use crate::tree::Tree;
use crate::{NAMES, Settings, Sources, load, nested_variable};

const FILE: &str = include_str!("../../../../config/auxot-worker.toml");

/// A remark that is a key: `#key = value`, without a blank after the `#`.
fn as_key(line: &str) -> Option<&str> {
    let key = line.strip_prefix('#')?;
    let name = key.split_once(" = ")?.0;
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then_some(key)
}

/// The file with every key in force.
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
fn the_file_is_the_defaults_as_it_stands_and_with_every_key_in_force() {
    let default = format!("{:?}", Settings::default());
    assert_eq!(format!("{:?}", settings(FILE)), default);
    assert_eq!(format!("{:?}", settings(&uncommented())), default);
}

#[test]
fn no_key_is_missing_from_the_file() {
    let parsed = File::parse("f".as_ref(), &uncommented());
    let documented: BTreeSet<String> = parsed.entries.iter().map(|entry| entry.key.join(".")).collect();
    let leaves = Tree::of(&Settings::default()).unwrap().leaves();
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
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        }
        if let Some(key) = as_key(line) {
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
        assert!(tree.get(&key).is_some() || name.key == "router.key", "{} is no key", name.key);
        let flag = name.variable.strip_prefix("AUXOT_").unwrap().to_ascii_lowercase().replace('_', "-");
        assert_eq!(flag, name.flag);
        assert!(!NAMES.is_foreign(name.variable), "{}", name.variable);
    }
    let flags: BTreeSet<&str> = NAMES.table.iter().map(|name| name.flag).collect();
    assert_eq!(flags.len(), NAMES.table.len());
}
