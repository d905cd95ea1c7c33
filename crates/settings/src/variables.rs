//! The environment as entries: flat historical names by table, all other keys in nested form.

use std::ffi::OsString;

use figment::value::Value;

use crate::entry::Entry;
use crate::fault::{Fault, Origin};
use crate::names::{CONFIG, Names, PREFIX, nested_variable};
use crate::toml_text::dotted;
use crate::tree::{ANY, Tree};

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    pub(crate) entries: Vec<Entry>,
    pub(crate) faults: Vec<Fault>,
    /// Variables of sibling programs, set but without a meaning here.
    pub(crate) ignored: Vec<String>,
}

impl Variables {
    /// Reads every variable of ours, in the order of their names. An empty value is the same as none.
    pub(crate) fn read(environment: &[(OsString, OsString)], names: &Names, tree: &Tree) -> Self {
        let mut ours: Vec<(&str, &OsString)> = environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, value)| name.starts_with(PREFIX) && *name != CONFIG && !value.is_empty())
            .collect();
        ours.sort_unstable();
        let mut found = Self::default();
        for (name, value) in ours {
            found.read_one(name, value, names, tree);
        }
        found
    }

    fn read_one(&mut self, name: &str, value: &OsString, names: &Names, tree: &Tree) {
        let origin = Origin::Variable(name.to_owned());
        let fault =
            |key: &str, text: String| Fault { origin: Origin::Variable(name.to_owned()), key: key.to_owned(), text };
        if let Some(why) = names.refusal(name) {
            return self.faults.push(fault("", why.to_owned()));
        }
        if names.is_foreign(name) {
            return self.ignored.push(name.to_owned());
        }
        let Some(key) = key_of(name, names, tree) else {
            return self.faults.push(fault("", unknown(name, names, tree)));
        };
        let dotted = dotted(&key);
        let Some(text) = value.to_str().map(str::trim) else {
            return self.faults.push(fault(&dotted, "the value is not UTF-8".to_owned()));
        };
        if text.is_empty() {
            return;
        }
        if let Some(Entry { origin: Origin::Variable(other), .. }) = self.entries.iter().find(|entry| entry.key == key)
        {
            let text = format!("set as {other} too; keep one of the two");
            return self.faults.push(fault(&dotted, text));
        }
        self.entries.push(Entry { key, value: Value::from(text), origin });
    }
}

/// The key that a variable stands for; `None` when its form is none of ours.
fn key_of(variable: &str, names: &Names, tree: &Tree) -> Option<Vec<String>> {
    if let Some(name) = names.by_variable(variable) {
        return Some(name.key.split('.').map(str::to_owned).collect());
    }
    let parts: Vec<&str> = variable.strip_prefix(PREFIX)?.split("__").collect();
    let nested = parts.len() > 1 && parts.iter().all(|part| !part.is_empty());
    nested.then(|| tree.in_own_case(&parts))
}

fn unknown(variable: &str, names: &Names, tree: &Tree) -> String {
    let leaves = tree.leaves();
    let nested: Vec<String> = leaves
        .iter()
        .filter(|(key, _)| !key.iter().any(|part| part == ANY))
        .map(|(key, _)| nested_variable(key))
        .collect();
    match names.nearest_variable(variable, &nested) {
        Some(near) => format!("unknown variable; did you mean {near}?"),
        None => "unknown variable; `auxot-worker --help` lists the known ones".to_owned(),
    }
}
