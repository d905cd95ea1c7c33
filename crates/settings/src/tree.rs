//! The keys of a settings tree, taken from its serialised defaults.

use figment::value::{Dict, Value};
use serde::Serialize;

use crate::fault::{Origin, SettingFault};

/// Stands for any name in a table with user-defined names.
pub(crate) const ANY: &str = "*";

/// The sections and keys that exist.
///
/// A section does not serialise its secrets. A key that is missing here is therefore unknown, secret or user-defined;
/// in all three cases its value must not be printed.
#[derive(Debug, Clone)]
pub(crate) struct Tree(Value);

impl Tree {
    pub(crate) fn of(settings: &impl Serialize) -> Result<Self, SettingFault> {
        Value::serialize(settings).map(Self).map_err(|error| SettingFault {
            origin: Origin::Default,
            key: String::new(),
            text: format!("cannot serialise the settings: {error}"),
        })
    }

    /// The value of a key; `None` for an unknown or secret one.
    pub(crate) fn get(&self, key: &[String]) -> Option<&Value> {
        key.iter().try_fold(&self.0, |value, part| inside(value, part))
    }

    /// The parts of a variable's name in the case of the tree: fixed keys are lower case; user-defined keys (in a map
    /// that is empty by default or contains [`ANY`]) keep their case.
    pub(crate) fn in_own_case(&self, parts: &[&str]) -> Vec<String> {
        let mut here = Some(&self.0);
        parts
            .iter()
            .map(|part| {
                let names = here.and_then(|value| value.as_dict());
                let fixed = names.is_some_and(|dict| !dict.is_empty() && !dict.contains_key(ANY));
                let name = if fixed { part.to_ascii_lowercase() } else { (*part).to_owned() };
                here = here.and_then(|value| inside(value, &name));
                name
            })
            .collect()
    }

    /// Every leaf with its key, in order; an empty section is a leaf.
    pub(crate) fn leaves(&self) -> Vec<(Vec<String>, Value)> {
        let mut found = Vec::new();
        if let Some(dict) = self.0.as_dict() {
            collect(dict, &mut Vec::new(), &mut found);
        }
        found
    }
}

/// The value under a name; in a table with user-defined names all names map to [`ANY`].
fn inside<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let dict = value.as_dict()?;
    dict.get(name).or_else(|| dict.get(ANY))
}

fn collect(dict: &Dict, at: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    for (name, value) in dict {
        at.push(name.clone());
        match value.as_dict() {
            Some(inner) if !inner.is_empty() => collect(inner, at, found),
            _ => found.push((at.clone(), value.clone())),
        }
        at.pop();
    }
}
