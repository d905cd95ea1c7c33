//! Parses `null` as absent, as the measured router means it, and leaves out optional fields of a wrong type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Parses `null` as the type's default, for list and number fields.
pub(crate) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Parses a text, and anything else as absent.
pub(crate) fn text_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    })
}

/// For `skip_serializing_if`: `false` is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// The fields of an object. Unusable fields are left out and listed: one odd field must not keep a worker from serving.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Fields {
    raw: BTreeMap<String, Box<RawValue>>,
    #[serde(skip)]
    pub(crate) dropped: Vec<String>,
}

impl Fields {
    /// A field of some type; `None` when it is absent, `null` or of another type.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let raw = self.raw.remove(name)?;
        match serde_json::from_str::<Option<T>>(raw.get()) {
            Ok(value) => value,
            Err(_) => self.drop(name, &raw),
        }
    }

    /// A whole number, also when it is written as `5.0`.
    pub(crate) fn number<T: TryFrom<i64>>(&mut self, name: &str) -> Option<T> {
        let raw = self.raw.remove(name)?;
        let number = match serde_json::from_str::<Option<serde_json::Number>>(raw.get()) {
            Ok(None) => return None,
            Ok(Some(number)) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
            Err(_) => None,
        };
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Some(number),
            None => self.drop(name, &raw),
        }
    }

    fn drop<T>(&mut self, name: &str, raw: &RawValue) -> Option<T> {
        let found: String = raw.get().chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.dropped.push(format!("`{name}` cannot be {found}"));
        None
    }
}

/// A number without a fraction that a float holds exactly.
fn whole(number: f64) -> Option<i64> {
    let exact = 2_f64.powi(53);
    (number.fract() == 0.0 && number.abs() <= exact).then_some(number as i64)
}
