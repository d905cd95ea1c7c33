//! The TOML file as entries, each with the line and column of its key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};
use toml::de::{DeTable, DeValue};

use crate::entry::Entry;
use crate::fault::{Fault, Origin};
use crate::toml_text::dotted;

/// A file that was read, perhaps with faults.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) entries: Vec<Entry>,
    pub(crate) faults: Vec<Fault>,
    /// Where each key and each section stands, by dotted key.
    pub(crate) places: BTreeMap<String, Origin>,
}

impl File {
    /// Parses `text`. A file with a syntax fault yields no entries: what its other lines mean is a guess.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let reader = Reader { path: path.to_owned(), text };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let faults = errors.iter().map(|error| Fault {
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

struct Reader<'t> {
    path: PathBuf,
    text: &'t str,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, at: &mut Vec<String>, file: &mut File) {
        for (key, value) in table {
            at.push(key.get_ref().to_string());
            let origin = self.origin(Some(key.span().start));
            file.places.insert(dotted(at), origin.clone());
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.table(inner, at, file),
                leaf => match plain(leaf) {
                    Some(value) => file.entries.push(Entry { key: at.clone(), value, origin }),
                    None => file.faults.push(Fault {
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

/// A value without its spans; `None` for a number that is out of range.
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

/// A list written inside a variable: `["--tensor-split", "3,1"]`, for items that hold commas.
pub(crate) fn bracketed(text: &str) -> Option<Value> {
    let value = text.starts_with('[').then(|| DeValue::parse(text).ok()).flatten()?;
    plain(value.get_ref())
}
