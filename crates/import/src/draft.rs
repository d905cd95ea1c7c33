//! Settings in the making.

use std::collections::{BTreeMap, BTreeSet};

use crate::Imported;
use crate::toml::{key, list, string};

/// Settings in the making, and what has no counterpart in them.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Addresses for local programs.
    pub(crate) addresses: Vec<String>,
    /// Folders of the models' files.
    pub(crate) folders: BTreeSet<String>,
    /// Further names, each with the model's own.
    pub(crate) aliases: Vec<(String, String)>,
    /// Models to load at the start.
    pub(crate) autoload: Vec<String>,
    /// Seconds without a job after which a model is unloaded.
    pub(crate) ttl: Option<u64>,
    pub(crate) log_level: Option<String>,
    /// By the model's name.
    pub(crate) models: BTreeMap<String, Model>,
    pub(crate) notes: Vec<String>,
}

/// The table of one model.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) slots: Option<u32>,
    pub(crate) ctx_size: Option<u32>,
    pub(crate) gpu_layers: Option<String>,
    pub(crate) kv_type: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) is_pinned: bool,
    pub(crate) priority: Option<i32>,
    pub(crate) ttl: Option<u64>,
}

impl Draft {
    /// Notes that something has no counterpart: what it is, and what to do or why.
    pub(crate) fn note(&mut self, what: &str, why: &str) {
        self.notes.push(format!("{what}: {why}"));
    }

    /// Gives a model one more name.
    pub(crate) fn alias(&mut self, name: &str, model: &str) {
        if name.contains(['=', ',']) {
            return self.note(&format!("the name {name:?} of {model}"), "a name cannot have `=` or `,`");
        }
        if name != model {
            self.aliases.push((name.to_owned(), model.to_owned()));
        }
    }

    /// The settings as text.
    pub(crate) fn finish(self, source: &str) -> Imported {
        let mut text = format!("# Made from {source}. Check it with `auxot-worker --config FILE doctor`.\n");
        if !self.notes.is_empty() {
            text.push_str("#\n# What has no counterpart:\n");
            for note in &self.notes {
                text.push_str(&format!("# - {}\n", note.replace('\n', " ")));
            }
        }
        if !self.addresses.is_empty() {
            let addresses = list(self.addresses.iter().map(String::as_str));
            text.push_str(&format!("\n[gateway]\naddr = {addresses}\n"));
        }
        if !self.folders.is_empty() || !self.aliases.is_empty() {
            text.push_str("\n[catalog]\n");
            if !self.folders.is_empty() {
                text.push_str(&format!("models_dir = {}\n", list(self.folders.iter().map(String::as_str))));
            }
            if !self.aliases.is_empty() {
                let aliases: Vec<String> = self.aliases.iter().map(|(name, model)| format!("{name}={model}")).collect();
                text.push_str(&format!("aliases = {}\n", list(aliases.iter().map(String::as_str))));
            }
        }
        if let Some(level) = &self.log_level {
            text.push_str(&format!("\n[log]\nlevel = {}\n", string(level)));
        }
        if !self.autoload.is_empty() || self.ttl.is_some() {
            text.push_str("\n[fleet]\n");
            if !self.autoload.is_empty() {
                text.push_str(&format!("autoload = {}\n", list(self.autoload.iter().map(String::as_str))));
            }
            if let Some(seconds) = self.ttl {
                text.push_str(&format!("ttl = \"{seconds}s\"\n"));
            }
        }
        for (name, model) in self.models.iter().filter(|(_, model)| **model != Model::default()) {
            text.push_str(&format!("\n[fleet.models.{}]\n{}", key(name), model.fields()));
        }
        Imported { settings: text, notes: self.notes }
    }
}

impl Model {
    fn fields(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{} = {}", key(name), string(value)));
        let env = env.collect::<Vec<_>>().join(", ");
        // A number of layers is no string, a word is one.
        let layers = |text: &String| if text.parse::<u32>().is_ok() { text.clone() } else { string(text) };
        let fields = [
            ("slots", self.slots.map(|slots| slots.to_string())),
            ("ctx_size", self.ctx_size.map(|size| size.to_string())),
            ("gpu_layers", self.gpu_layers.as_ref().map(layers)),
            ("kv_type", self.kv_type.as_deref().map(string)),
            ("args", (!self.args.is_empty()).then(|| list(self.args.iter().map(String::as_str)))),
            ("env", (!env.is_empty()).then(|| format!("{{ {env} }}"))),
            ("pin", self.is_pinned.then(|| "true".to_owned())),
            ("priority", self.priority.map(|priority| priority.to_string())),
            ("ttl", self.ttl.map(|seconds| format!("\"{seconds}s\""))),
        ];
        fields.into_iter().filter_map(|(name, value)| Some(format!("{name} = {}\n", value?))).collect()
    }
}
