//! The shape of a settings tree, read off its serialised defaults.

use figment::value::{Dict, Value};
use serde::Serialize;

use crate::fault::{Fault, Origin};

/// Stands for any name in a table whose names are the user's.
pub(crate) const ANY: &str = "*";

/// Which sections and keys exist.
///
/// A section refuses to serialise its secrets, so a key that is missing here is unknown, secret, or
/// named by the user; in all three cases its value must not be quoted.
#[derive(Debug, Clone)]
pub(crate) struct Tree(Value);

impl Tree {
    pub(crate) fn of(settings: &impl Serialize) -> Result<Self, Fault> {
        Value::serialize(settings).map(Self).map_err(|error| Fault {
            origin: Origin::Default,
            key: String::new(),
            text: format!("cannot serialise the settings: {error}"),
        })
    }

    /// The value at a key; `None` for what is unknown or secret.
    pub(crate) fn get(&self, key: &[String]) -> Option<&Value> {
        key.iter().try_fold(&self.0, |value, part| inside(value, part))
    }

    /// Parts of a variable's name in the case of the tree: fixed keys are lower case, while keys that the
    /// user names (those in a map, which by default is empty or holds [`ANY`]) keep theirs.
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

/// What lies under a name; the names of a table that the user names all lie where [`ANY`] does.
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
