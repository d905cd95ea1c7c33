//! One line of a key file.
//!
//! ```text
//! {"name":"laptop","kind":"api","id":"rtr_AbCdEfGh","hash":"sha256:…","created":"2026-01-01T00:00:00Z"}
//! ```
//!
//! A later line with the same hash replaces the earlier one, and one with `revoked` removes it: a change of one key among
//! many is one line at the end of the file.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hash::KeyHash;
use super::key::{Key, KeyId, KeyKind};
use super::terms::KeyTerms;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    kind: KeyKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    hash: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<Cow<'a, str>>,
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terms: Option<Cow<'a, KeyTerms>>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// There is a key, or it has changed.
    Key(Key),
    /// The key is revoked.
    Revoked(Key, Timestamp),
}

impl Line {
    /// Reads a line; `None` for one that is empty or a comment.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, String> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(None);
        }
        let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let unreadable = || format!("the key `{}` has a value that is no hash", fields.name);
        let hash = KeyHash::parse(&fields.hash, fields.hint.as_deref()).ok_or_else(unreadable)?;
        let id = match &fields.id {
            Some(id) => {
                KeyId::parse(id).ok_or_else(|| format!("the key `{}` has an id that is too long", fields.name))?
            }
            None => KeyId::of_hash(&hash),
        };
        let key = Key {
            name: fields.name.into(),
            kind: fields.kind,
            id,
            hash,
            created: fields.created,
            expires: fields.expires,
            terms: fields.terms.and_then(|terms| terms.shared()),
        };
        Ok(Some(match fields.revoked {
            Some(revoked) => Self::Revoked(key, revoked),
            None => Self::Key(key),
        }))
    }

    /// Adds the line to a text.
    ///
    /// # Errors
    /// Never for a key, since all of its parts have a JSON form.
    pub(super) fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        let (key, revoked) = match self {
            Self::Key(key) => (key, None),
            Self::Revoked(key, revoked) => (key, Some(*revoked)),
        };
        write(key, revoked, text)
    }
}

/// Adds the line of a key to a text.
pub(super) fn write(key: &Key, revoked: Option<Timestamp>, text: &mut Vec<u8>) -> serde_json::Result<()> {
    let fields = Fields {
        name: Cow::Borrowed(&key.name),
        kind: key.kind,
        id: key.has_id_in_text().then(|| key.id.as_str().into()),
        hash: key.hash.to_string().into(),
        hint: key.slow_hash().and_then(|slow| slow.hint.as_deref()).map(Cow::Borrowed),
        created: key.created,
        expires: key.expires,
        revoked,
        terms: key.terms.as_deref().map(Cow::Borrowed),
    };
    serde_json::to_writer(&mut *text, &fields)?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_is_written() {
        let terms = KeyTerms { models: Some(vec!["a/\"b".into()]), max_parallel: Some(2), ..KeyTerms::default() };
        let plain = Key::bare("one", KeyKind::Worker, KeyHash::of("k"));
        let full = Key {
            kind: KeyKind::Api,
            expires: Some(Timestamp::from_second(2_000_000_000).unwrap()),
            terms: terms.shared(),
            id: KeyId::parse("rtr_AbCdEfGh").unwrap(),
            ..plain.clone()
        };
        for line in [Line::Key(plain), Line::Key(full.clone()), Line::Revoked(full, Timestamp::UNIX_EPOCH)] {
            let mut text = Vec::new();
            line.write(&mut text).unwrap();
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(Line::parse(&text), Ok(Some(line)));
        }
        assert_eq!((Line::parse(b" # a note\n"), Line::parse(b"\n")), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_field_that_is_not_known_is_refused_since_it_may_be_a_limit() {
        let line = |more: &str| {
            format!(
                r#"{{"name":"a","kind":"api","hash":"{}","created":"2026-01-01T00:00:00Z"{more}}}"#,
                KeyHash::of("k")
            )
        };
        assert!(Line::parse(line("").as_bytes()).is_ok());
        for more in [r#","only_at":"noon""#, r#","terms":{"only_at":1}"#, r#","id":"rtr_much-too-long""#, "}"] {
            assert!(Line::parse(line(more).as_bytes()).is_err(), "{more}");
        }
    }
}
