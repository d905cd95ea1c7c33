//! One value for one key from one source, as a figment provider.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};

use crate::fault::Origin;

/// A value from a source, before its type is known.
///
/// Each entry is its own provider: figment merges them in order, and each can also be checked alone, so that all faults
/// are found and not only the first.
#[derive(Debug, Clone)]
pub(crate) struct SettingEntry {
    /// The parts of the key. A part may contain dots, so that a dotted text would not do.
    pub(crate) key: Vec<String>,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

impl SettingEntry {
    /// The same entry with another value.
    pub(crate) fn with_value(&self, value: Value) -> Self {
        Self { key: self.key.clone(), value, origin: self.origin.clone() }
    }

    /// Whether the value is bare text that may represent a list or a number.
    pub(crate) fn is_textual(&self) -> bool {
        matches!(self.origin, Origin::Variable(_) | Origin::Flag(_))
    }
}

impl Provider for SettingEntry {
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
