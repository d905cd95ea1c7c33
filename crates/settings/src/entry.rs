//! One key given one value by one source, as a figment provider of its own.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};

use crate::fault::Origin;

/// A value that somebody set, before its type is known.
///
/// Each is its own provider: figment can then merge them in order, while every one of them can also
/// be tried alone, which is how all faults are found and not only the first.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key, part by part: a part may hold dots, so a dotted text would not do.
    pub(crate) key: Vec<String>,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

impl Entry {
    /// The same entry with another reading of its value.
    pub(crate) fn with_value(&self, value: Value) -> Self {
        Self { key: self.key.clone(), value, origin: self.origin.clone() }
    }

    /// Whether the value was written as bare text that may mean a list or a number.
    pub(crate) fn is_textual(&self) -> bool {
        matches!(self.origin, Origin::Variable(_) | Origin::Flag(_))
    }
}

impl Provider for Entry {
    fn metadata(&self) -> Metadata {
        Metadata::named("setting").source(Source::Custom(self.origin.to_string()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = self
            .key
            .iter()
            .rev()
            .fold(self.value.clone(), |inner, part| Value::from(Dict::from([(part.clone(), inner)])));
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}
