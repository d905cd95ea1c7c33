//! The effective settings as text: a TOML file with the source of each value beside it.

use std::fmt::Write;

use figment::value::Value;
use serde::Serialize;

use crate::fault::Origin;
use crate::load::Loaded;
use crate::toml_text::{bare, dotted, toml};
use crate::tree::Tree;

/// One line of the text: a key with its value, or a comment for a key without one.
struct SettingLine {
    key: Vec<String>,
    text: String,
    origin: Origin,
}

impl<T: Serialize> Loaded<T> {
    /// The effective settings. Secrets are printed as `***`; keys without a value and without a default are comments,
    /// so that the text can be used as a file again.
    #[must_use]
    pub fn effective(&self) -> String {
        let Ok(tree) = Tree::of(&self.value) else { return String::new() };
        let mut lines: Vec<SettingLine> =
            tree.leaves().into_iter().map(|(key, value)| self.line(key, &value)).collect();
        let secrets = self.given.keys().filter(|key| tree.get(key).is_none());
        lines.extend(secrets.map(|key| self.line(key.clone(), &Value::from("***"))));
        // Sections in order of nesting: the keys of a section before those of the sections inside it.
        lines.sort_by(|one, other| section(&one.key).cmp(section(&other.key)).then(one.key.cmp(&other.key)));
        let mut text = match &self.file {
            Some(path) => format!("# file: {}\n", path.display()),
            None => "# no file\n".to_owned(),
        };
        let mut open: &[String] = &[];
        for line in &lines {
            if section(&line.key) != open {
                open = section(&line.key);
                let _ = writeln!(text, "\n[{}]", dotted(open));
            }
            let _ = writeln!(text, "{}  # {}", line.text, origin_text(&line.origin));
        }
        text
    }

    fn line(&self, key: Vec<String>, value: &Value) -> SettingLine {
        let name = key.last().map(|name| bare(name)).unwrap_or_default();
        let given = self.given.get(&key);
        // A type may serialise rounded text (sizes do): the given text is more exact.
        let value = match (value, given.and_then(|given| given.value.as_ref())) {
            (Value::String(..), Some(as_written)) => as_written,
            _ => value,
        };
        let text = match toml(value) {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} is not set"),
        };
        let origin = given.map_or(Origin::Default, |given| given.origin.clone());
        SettingLine { key, text, origin }
    }
}

/// The defaults of all keys, as TOML.
#[derive(Debug)]
pub struct Defaults(Option<Tree>);

impl Defaults {
    /// The defaults of `T`.
    #[must_use]
    pub fn of<T: Default + Serialize>() -> Self {
        Self(Tree::of(&T::default()).ok())
    }

    /// The default of a dotted key; `None` for a key without a default, or a secret.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        let key: Vec<String> = key.split('.').map(str::to_owned).collect();
        toml(self.0.as_ref()?.get(&key)?)
    }
}

fn section(key: &[String]) -> &[String] {
    key.split_last().map_or(&[], |(_, section)| section)
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        other => other.to_string(),
    }
}
