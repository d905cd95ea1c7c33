//! What another reading of the settings changes, and what of that can be applied while the worker runs.

use std::collections::{BTreeMap, BTreeSet};

use bytesize::ByteSize;
use figment::value::Value;
use secrecy::ExposeSecret;

use crate::entry::Entry;
use crate::fault::Origin;
use crate::load::Loaded;
use crate::readings::{is_size, whole};
use crate::settings::Settings;
use crate::toml_text::dotted;
use crate::tree::Tree;

/// Sections and keys that are used once, when the worker starts.
const AT_START: [&[&str]; 6] =
    [&["router"], &["gpu"], &["metrics"], &["log"], &["engine", "binary"], &["engine", "runtime_dir"]];

/// The tables of single models lie here. One that comes or goes is one change.
const MODELS: [&str; 2] = ["fleet", "models"];

/// A key whose value another reading changes; the values themselves are not told, for one may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The dotted key, or the table of a model that came or went.
    pub key: String,
    /// When the new value can come into force.
    pub when: When,
}

/// When a new value can come into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// While the worker runs.
    Now,
    /// When it starts the next time; until then the running value stays.
    NextStart,
}

impl When {
    fn of(key: &[String]) -> Self {
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
    /// What changes, key by key, if `read` comes in the place of these settings.
    #[must_use]
    pub fn changes(&self, read: &Self) -> Vec<Change> {
        let (old, new) = (self.exact(), read.exact());
        let mut keys: BTreeSet<Vec<String>> = BTreeSet::new();
        for key in old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)) {
            let came_or_went = table_of(key).filter(|name| {
                self.value.fleet.models.contains_key(*name) != read.value.fleet.models.contains_key(*name)
            });
            keys.insert(if came_or_went.is_some() { key[..=MODELS.len()].to_vec() } else { key.clone() });
        }
        if key_of(&self.value) != key_of(&read.value) {
            keys.insert(vec!["router".to_owned(), "key".to_owned()]);
        }
        keys.into_iter().map(|key| Change { when: When::of(&key), key: dotted(&key) }).collect()
    }

    /// These settings with all of `read` that can come into force now.
    #[must_use]
    pub fn with(self, read: Self) -> Self {
        let (old, new) = (self.value, read.value);
        let engine =
            auxot_engine::Config { binary: old.engine.binary, runtime_dir: old.engine.runtime_dir, ..new.engine };
        let value = Settings { fleet: new.fleet, placement: new.placement, catalog: new.catalog, engine, ..old };
        let kept = self.given.into_iter().filter(|(key, _)| When::of(key) == When::NextStart);
        let taken = read.given.into_iter().filter(|(key, _)| When::of(key) == When::Now);
        Self { value, file: read.file, ignored: read.ignored, given: kept.chain(taken).collect() }
    }

    /// Every key with its value, sizes in bytes: they are serialised rounded.
    fn exact(&self) -> BTreeMap<Vec<String>, Value> {
        // That these settings can be serialised is tested.
        let leaves = Tree::of(&self.value).map(|tree| tree.leaves()).unwrap_or_default();
        // An empty table is the same as none.
        let leaves = leaves.into_iter().filter(|(_, value)| value.as_dict().is_none());
        leaves.map(|(key, value)| self.exactly(key, value)).collect()
    }

    fn exactly(&self, key: Vec<String>, value: Value) -> (Vec<String>, Value) {
        let origin = Origin::Default;
        let shown = Entry { key, value, origin };
        if shown.value.as_str().is_none() || !is_size::<Settings>(&shown) {
            return (shown.key, shown.value);
        }
        let written = self.given.get(&shown.key).and_then(|written| written.value.as_ref()).unwrap_or(&shown.value);
        let bytes = match written {
            Value::Num(_, number) => whole(number),
            text => text.as_str().and_then(|text| Some(text.parse::<ByteSize>().ok()?.as_u64().into())),
        };
        (shown.key, bytes.map_or(shown.value, Value::from))
    }
}

/// The model whose table a key lies in.
fn table_of(key: &[String]) -> Option<&str> {
    key.strip_prefix(&MODELS.map(str::to_owned))?.first().map(String::as_str)
}

fn key_of(settings: &Settings) -> Option<&str> {
    settings.router.key.as_ref().map(ExposeSecret::expose_secret)
}
