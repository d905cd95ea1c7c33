//! The TOML file as entries, each with the line and column of its key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};
use toml::de::{DeTable, DeValue};

use crate::entry::SettingEntry;
use crate::fault::{Origin, SettingFault};
use crate::toml_text::dotted;

/// A parsed file, possibly with faults.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    pub(crate) entries: Vec<SettingEntry>,
    pub(crate) faults: Vec<SettingFault>,
    /// The place of each key and section, by dotted key.
    pub(crate) places: BTreeMap<String, Origin>,
}

impl ConfigFile {
    /// Parses `text`. A file with a syntax error yields no entries: the meaning of its other lines is uncertain.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let reader = TomlReader { path: path.to_owned(), text };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let faults = errors.iter().map(|error| SettingFault {
                origin: reader.origin(error.span().map(|span| span.start)),
                key: String::new(),
                text: format!("cannot read this as TOML: {}", error.message().replace('\n', ", ")),
            });
            return Self { faults: faults.collect(), ..Self::default() };
        }
        let mut file = Self::default();
        reader.table(table.get_ref(), &mut Vec::new(), &mut file);
        file
    }
}

struct TomlReader<'t> {
    path: PathBuf,
    text: &'t str,
}

impl TomlReader<'_> {
    fn table(&self, table: &DeTable<'_>, at: &mut Vec<String>, file: &mut ConfigFile) {
        for (key, value) in table {
            at.push(key.get_ref().to_string());
            let origin = self.origin(Some(key.span().start));
            file.places.insert(dotted(at), origin.clone());
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.table(inner, at, file),
                leaf => match plain(leaf) {
                    Some(value) => file.entries.push(SettingEntry { key: at.clone(), value, origin }),
                    None => file.faults.push(SettingFault {
                        origin,
                        key: dotted(at),
                        text: "the number does not fit into 64 bits".to_owned(),
                    }),
                },
            }
            at.pop();
        }
    }

    fn origin(&self, offset: Option<usize>) -> Origin {
        let place = offset.and_then(|offset| self.text.get(..offset)).map(|before| {
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        Origin::File { path: self.path.clone(), place }
    }
}

/// A value without its spans; `None` for a number out of range.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => Value::from(i64::from_str_radix(number.as_str(), number.radix()).ok()?),
        DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().ok()?),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => {
            Value::from(items.iter().map(|item| plain(item.get_ref())).collect::<Option<Vec<_>>>()?)
        }
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(key, value)| Some((key.get_ref().to_string(), plain(value.get_ref())?)));
            Value::from(pairs.collect::<Option<Dict>>()?)
        }
    })
}

/// A list inside a variable, `["--tensor-split", "3,1"]`, for items that contain commas.
pub(crate) fn bracketed(text: &str) -> Option<Value> {
    let value = text.starts_with('[').then(|| DeValue::parse(text).ok()).flatten()?;
    plain(value.get_ref())
}
