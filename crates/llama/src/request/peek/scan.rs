//! One pass over JSON, without a copy.

use std::borrow::Cow;
use std::ops::Range;

use super::super::limits::{MOST_LEVELS, MOST_TOOLS, is_data};
use super::{ModelName, PeekError, RequestError};

/// A longer URL is cut in messages.
const SHOWN_URL: usize = 100;

/// What a value may be to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A message, or a part of one.
    Content,
    /// A URL, or an object with one.
    Url,
    /// The source of a picture in the API of Anthropic.
    Source,
    /// Nothing that is fetched: also arguments of tools, which are the caller's own.
    Other,
}

impl Role {
    /// The role of a field in an object of this role.
    fn of(self, key: &[u8]) -> Self {
        match self {
            Self::Content if key.ends_with(b"_url") => Self::Url,
            Self::Content if key == b"source" => Self::Source,
            Self::Content if matches!(key, b"input" | b"arguments" | b"parameters") => Self::Other,
            Self::Content => Self::Content,
            Self::Url | Self::Source if key == b"url" => Self::Url,
            Self::Url | Self::Source | Self::Other => Self::Other,
        }
    }
}

/// The place in a text up to which it is read.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    /// The next byte.
    pub(super) at: usize,
    levels: usize,
    /// Whether the engine may fetch a URL.
    may_fetch: &'a dyn Fn(&str) -> bool,
}

impl<'a> Scan<'a> {
    /// The beginning of a text.
    pub(super) fn of(bytes: &'a [u8], may_fetch: &'a dyn Fn(&str) -> bool) -> Self {
        Self { bytes, at: 0, levels: 0, may_fetch }
    }

    fn not_json(&self) -> PeekError {
        PeekError::NotJson { at: self.at }
    }

    /// Only blanks may follow.
    pub(super) fn end(&mut self) -> Result<(), PeekError> {
        self.blanks();
        if self.at < self.bytes.len() { Err(self.not_json()) } else { Ok(()) }
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank, which stays.
    pub(super) fn next(&mut self) -> Result<u8, PeekError> {
        self.blanks();
        self.bytes.get(self.at).copied().ok_or_else(|| self.not_json())
    }

    /// Consumes the next byte where it is this one.
    fn takes(&mut self, byte: u8) -> Result<bool, PeekError> {
        let is = self.next()? == byte;
        self.at += usize::from(is);
        Ok(is)
    }

    fn expect(&mut self, byte: u8) -> Result<(), PeekError> {
        if self.takes(byte)? { Ok(()) } else { Err(self.not_json()) }
    }

    fn enter(&mut self) -> Result<(), PeekError> {
        self.levels += 1;
        // The body itself is one level.
        if self.levels > MOST_LEVELS + 1 {
            return Err(RequestError::TooDeep { limit: MOST_LEVELS }.into());
        }
        Ok(())
    }

    /// The fields of an object; `field` consumes the value of each.
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &[u8]) -> Result<(), PeekError>,
    ) -> Result<(), PeekError> {
        self.expect(b'{')?;
        self.enter()?;
        if !self.takes(b'}')? {
            loop {
                let key = self.string()?;
                self.expect(b':')?;
                field(self, &key)?;
                if self.takes(b'}')? {
                    break;
                }
                self.expect(b',')?;
            }
        }
        self.levels -= 1;
        Ok(())
    }

    /// The elements of a list; `element` consumes each.
    pub(super) fn list(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), PeekError>,
    ) -> Result<(), PeekError> {
        self.expect(b'[')?;
        self.enter()?;
        if !self.takes(b']')? {
            loop {
                element(self)?;
                if self.takes(b']')? {
                    break;
                }
                self.expect(b',')?;
            }
        }
        self.levels -= 1;
        Ok(())
    }

    pub(super) fn value(&mut self, role: Role) -> Result<(), PeekError> {
        match self.next()? {
            b'{' => self.object(|scan, key| scan.value(role.of(key))),
            b'[' => self.list(|scan| scan.value(role)),
            b'"' if role == Role::Url => {
                let url = self.string()?;
                let text = String::from_utf8_lossy(&url);
                if is_data(&text) || (self.may_fetch)(&text) { Ok(()) } else { Err(foreign(&text)) }
            }
            b'"' => self.skip_string().map(drop),
            _ => self.scalar().map(drop),
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<&'a [u8], PeekError> {
        let from = self.at;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = self.bytes[from..].iter().take_while(|byte| is_part(byte)).count();
        if length == 0 {
            return Err(self.not_json());
        }
        self.at += length;
        Ok(&self.bytes[from..self.at])
    }

    pub(super) fn model(&mut self) -> Result<Option<ModelName>, PeekError> {
        if self.next()? != b'"' {
            self.value(Role::Other)?;
            return Ok(None);
        }
        let from = self.at;
        let name = String::from_utf8(self.string()?.into_owned()).map_err(|_| self.not_json())?;
        Ok(Some(ModelName { name, place: from..self.at }))
    }

    pub(super) fn is_true(&mut self) -> Result<bool, PeekError> {
        if self.next()? == b't' {
            return Ok(self.scalar()? == b"true");
        }
        self.value(Role::Other)?;
        Ok(false)
    }

    /// Whether the value is one of these numbers or words, or an empty list.
    pub(super) fn is_one_of(&mut self, words: &[&[u8]]) -> Result<bool, PeekError> {
        match self.next()? {
            b'[' => {
                let mut is_empty = true;
                self.list(|scan| {
                    is_empty = false;
                    scan.value(Role::Other)
                })?;
                Ok(is_empty)
            }
            b'"' | b'{' => self.value(Role::Other).map(|()| false),
            _ => {
                let value = self.scalar()?;
                Ok(words.contains(&value))
            }
        }
    }

    /// The place of the list of tools.
    pub(super) fn tools(&mut self) -> Result<Option<Range<usize>>, PeekError> {
        if self.next()? != b'[' {
            return self.value(Role::Other).map(|()| None);
        }
        let from = self.at;
        let mut count = 0;
        self.list(|scan| {
            count += 1;
            scan.value(Role::Other)
        })?;
        if count > MOST_TOOLS {
            return Err(RequestError::TooManyTools { count, limit: MOST_TOOLS }.into());
        }
        Ok((count > 0).then_some(from..self.at))
    }

    /// A string without its quotes, escapes resolved.
    fn string(&mut self) -> Result<Cow<'a, [u8]>, PeekError> {
        self.next()?;
        let from = self.at;
        let inside = self.skip_string()?;
        if memchr::memchr(b'\\', inside).is_none() {
            return Ok(Cow::Borrowed(inside));
        }
        let text: String = serde_json::from_slice(&self.bytes[from..self.at]).map_err(|_| self.not_json())?;
        Ok(Cow::Owned(text.into_bytes()))
    }

    /// The inside of a string as it is written.
    fn skip_string(&mut self) -> Result<&'a [u8], PeekError> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            let rest = &self.bytes[self.at.min(self.bytes.len())..];
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or_else(|| self.not_json())?;
            let is_end = rest[found] == b'"';
            self.at += found + if is_end { 1 } else { 2 };
            if is_end {
                return Ok(&self.bytes[from..self.at - 1]);
            }
        }
    }
}

fn foreign(url: &str) -> PeekError {
    PeekError::ForeignUrl { url: url.chars().take(SHOWN_URL).collect() }
}
