//! The difference between two versions of the settings, and which part of it can be applied while the worker runs.

use std::collections::{BTreeMap, BTreeSet};

use bytesize::ByteSize;
use figment::value::Value;
use secrecy::ExposeSecret;

use crate::entry::SettingEntry;
use crate::fault::Origin;
use crate::interpret::{is_size, whole_number};
use crate::load::Loaded;
use crate::settings::Settings;
use crate::toml_text::dotted;
use crate::tree::Tree;

/// Sections and keys that are used once, when the worker starts.
const AT_START: [&[&str]; 12] = [
    &["router"],
    &["gateway"],
    &["gpu"],
    &["metrics"],
    &["page"],
    &["traces"],
    &["log"],
    &["engine", "binary"],
    &["engine", "runtime_dir"],
    &["engine", "log_dir"],
    &["engine", "log_file_size"],
    &["engine", "log_total_size"],
];

/// The tables of single models. One that is added or removed is one change.
const MODELS: [&str; 2] = ["fleet", "models"];

/// A key with a different value. The values are left out, because one may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// The dotted key, or the table of a model that was added or removed.
    pub key: String,
    /// When the new value can be applied.
    pub when: When,
}

/// When a new value can be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// While the worker runs.
    Now,
    /// At the next start; until then the current value stays.
    NextStart,
}

impl When {
    pub(crate) fn of(key: &[String]) -> Self {
        if AT_START
            .iter()
            .any(|start| key.len() >= start.len() && key.iter().zip(*start).all(|(one, other)| one == other))
        {
            Self::NextStart
        } else {
            Self::Now
        }
    }
}

impl Loaded<Settings> {
    /// The changes, key by key, from these settings to `read`.
    #[must_use]
    pub fn changes(&self, read: &Self) -> Vec<SettingChange> {
        let (old, new) = (self.exact(), read.exact());
        let mut keys: BTreeSet<Vec<String>> = BTreeSet::new();
        for key in old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)) {
            let table_changed = table_of(key).filter(|name| {
                self.value.fleet.models.contains_key(*name) != read.value.fleet.models.contains_key(*name)
            });
            keys.insert(if table_changed.is_some() { key[..=MODELS.len()].to_vec() } else { key.clone() });
        }
        if key_of(&self.value) != key_of(&read.value) {
            keys.insert(vec!["router".to_owned(), "key".to_owned()]);
        }
        keys.into_iter().map(|key| SettingChange { when: When::of(&key), key: dotted(&key) }).collect()
    }

    /// These settings with every value of `read` that can be applied now.
    #[must_use]
    pub fn with(self, read: Self) -> Self {
        let (old, new) = (self.value, read.value);
        let engine = auxot_engine::Config {
            binary: old.engine.binary,
            runtime_dir: old.engine.runtime_dir,
            log_dir: old.engine.log_dir,
            log_file_size: old.engine.log_file_size,
            log_total_size: old.engine.log_total_size,
            ..new.engine
        };
        let value =
            Settings { fleet: new.fleet, placement: new.placement, catalog: new.catalog, hub: new.hub, engine, ..old };
        let kept = self.given.into_iter().filter(|(key, _)| When::of(key) == When::NextStart);
        let taken = read.given.into_iter().filter(|(key, _)| When::of(key) == When::Now);
        Self {
            value,
            file: read.file,
            ignored: read.ignored,
            old_names: read.old_names,
            given: kept.chain(taken).collect(),
        }
    }

    /// Every key with its value. Sizes are in bytes, because they are serialised rounded.
    fn exact(&self) -> BTreeMap<Vec<String>, Value> {
        // A test ensures that these settings can be serialised.
        let leaves = Tree::of(&self.value).map(|tree| tree.leaves()).unwrap_or_default();
        // An empty table is the same as none.
        let leaves = leaves.into_iter().filter(|(_, value)| value.as_dict().is_none());
        leaves.map(|(key, value)| self.exactly(key, value)).collect()
    }

    fn exactly(&self, key: Vec<String>, value: Value) -> (Vec<String>, Value) {
        let origin = Origin::Default;
        let shown = SettingEntry { key, value, origin };
        if shown.value.as_str().is_none() || !is_size::<Settings>(&shown) {
            return (shown.key, shown.value);
        }
        let written = self.given.get(&shown.key).and_then(|written| written.value.as_ref()).unwrap_or(&shown.value);
        let bytes = match written {
            Value::Num(_, number) => whole_number(number),
            text => text.as_str().and_then(|text| Some(text.parse::<ByteSize>().ok()?.as_u64().into())),
        };
        (shown.key, bytes.map_or(shown.value, Value::from))
    }
}

/// The model whose table contains a key.
fn table_of(key: &[String]) -> Option<&str> {
    key.strip_prefix(&MODELS.map(str::to_owned))?.first().map(String::as_str)
}

fn key_of(settings: &Settings) -> Option<&str> {
    settings.router.key.as_ref().map(ExposeSecret::expose_secret)
}
