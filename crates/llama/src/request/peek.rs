//! What a proxy must know of a body that it passes on as it is: the model, whether the answer is a stream, and that an
//! engine can safely read it.
//!
//! One pass over the bytes, without a copy: pictures are megabytes of text in which only the closing quote is looked for.
//! The engine parses the same bytes again and has the last word, so only what is needed here is checked.

use std::borrow::Cow;
use std::ops::Range;

use super::RequestError;
use super::limits::{MOST_LEVELS, MOST_TOOLS, is_data};

/// A longer URL is cut in messages.
const SHOWN_URL: usize = 100;

/// What is known of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek {
    /// The model that it names.
    pub model: Option<ModelName>,
    /// Whether it wants a stream of events.
    pub stream: bool,
    /// Where the list of its messages is, with the brackets.
    pub conversation: Option<Range<usize>>,
    /// What it wants of its answer, where that is no stream and the body has any field.
    pub whole: Option<WholeAnswer>,
}

/// What a request wants of an answer that is no stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WholeAnswer {
    /// The bytes from the closing brace of its body to the end.
    pub behind: usize,
    /// What its answer has or may have beside one text.
    pub options: Vec<AnswerOption>,
}

/// A field of a request that decides about the form of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOption {
    /// Several answers to one prompt.
    Several,
    /// Sequences that end the text.
    Stops,
    /// The probabilities of tokens.
    Probabilities,
    /// The numbers of the tokens.
    Tokens,
    /// Only these fields of an answer.
    Fields,
    /// All that the engine knows of the request.
    Verbose,
}

/// The name of a model in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The name.
    pub name: String,
    /// Where its JSON string is, with the quotes.
    pub place: Range<usize>,
}

/// Why a body is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// It is not JSON.
    #[error("cannot read the request: its body is not JSON (near byte {at})")]
    NotJson {
        /// Where that shows.
        at: usize,
    },
    /// An engine cannot safely read it.
    #[error(transparent)]
    Limit(#[from] RequestError),
    /// The engine would fetch something, in the name of this host.
    #[error("cannot fetch {url}: pictures must be data: URLs")]
    ForeignUrl {
        /// The URL, cut where it is long.
        url: String,
    },
}

impl Peek {
    /// Looks into a body.
    ///
    /// # Errors
    /// When it is not JSON, is nested deeper or has more tools than an engine can safely read, or names a URL that the
    /// engine would fetch.
    pub fn into(body: &[u8]) -> Result<Self, PeekError> {
        let mut scan = Scan { bytes: body, at: 0, levels: 0 };
        let mut peek = Self::default();
        if scan.next()? != b'{' {
            // A list of adapters, for example: nothing in it is looked for.
            scan.value(Role::Other)?;
            return scan.end().map(|()| peek);
        }
        let (mut options, mut is_empty) = (Vec::new(), true);
        scan.object(|scan, key| {
            is_empty = false;
            match key {
                b"model" => peek.model = scan.model()?,
                b"stream" => peek.stream = scan.is_true()?,
                b"tools" => scan.tools()?,
                // Conversations of the three APIs.
                b"messages" | b"input" => {
                    let is_list = scan.next()? == b'[';
                    let from = scan.at;
                    scan.value(Role::Content)?;
                    peek.conversation = is_list.then_some(from..scan.at);
                }
                b"system" => scan.value(Role::Content)?,
                _ => match AnswerOption::of(key) {
                    Some((option, without)) => {
                        if !scan.is_one_of(without)? {
                            options.push(option);
                        }
                    }
                    None => scan.value(Role::Other)?,
                },
            }
            Ok(())
        })?;
        let end = scan.at - 1;
        scan.end()?;
        peek.whole = (!peek.stream && !is_empty).then(|| WholeAnswer { behind: body.len() - end, options });
        Ok(peek)
    }
}

/// The position behind each element of a list, such as that of [`Peek::conversation`]; none behind the first fault.
#[must_use]
pub fn element_ends(list: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut scan = Scan { bytes: list, at: 0, levels: 0 };
    let _ended = scan.list(|scan| {
        scan.value(Role::Other)?;
        ends.push(scan.at);
        Ok(())
    });
    ends
}

impl AnswerOption {
    /// The option that a field chooses, and the values with which it does not.
    fn of(key: &[u8]) -> Option<(Self, &'static [&'static [u8]])> {
        const NONE: &[&[u8]] = &[b"0", b"null", b"false"];
        Some(match key {
            b"n" | b"n_cmpl" => (Self::Several, &[b"1", b"null"]),
            b"stop" | b"stop_sequences" => (Self::Stops, NONE),
            b"logprobs" | b"top_logprobs" | b"n_probs" => (Self::Probabilities, NONE),
            b"return_tokens" => (Self::Tokens, NONE),
            b"response_fields" => (Self::Fields, NONE),
            b"verbose" => (Self::Verbose, NONE),
            _ => return None,
        })
    }
}

/// What a value may be to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
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

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    levels: usize,
}

impl<'a> Scan<'a> {
    fn not_json(&self) -> PeekError {
        PeekError::NotJson { at: self.at }
    }

    /// Only blanks may follow.
    fn end(&mut self) -> Result<(), PeekError> {
        self.blanks();
        if self.at < self.bytes.len() { Err(self.not_json()) } else { Ok(()) }
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank, which stays.
    fn next(&mut self) -> Result<u8, PeekError> {
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
    fn object(&mut self, mut field: impl FnMut(&mut Self, &[u8]) -> Result<(), PeekError>) -> Result<(), PeekError> {
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
    fn list(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), PeekError>) -> Result<(), PeekError> {
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

    fn value(&mut self, role: Role) -> Result<(), PeekError> {
        match self.next()? {
            b'{' => self.object(|scan, key| scan.value(role.of(key))),
            b'[' => self.list(|scan| scan.value(role)),
            b'"' if role == Role::Url => {
                let url = self.string()?;
                if is_data(&String::from_utf8_lossy(&url)) { Ok(()) } else { Err(foreign(&url)) }
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

    fn model(&mut self) -> Result<Option<ModelName>, PeekError> {
        if self.next()? != b'"' {
            self.value(Role::Other)?;
            return Ok(None);
        }
        let from = self.at;
        let name = String::from_utf8(self.string()?.into_owned()).map_err(|_| self.not_json())?;
        Ok(Some(ModelName { name, place: from..self.at }))
    }

    fn is_true(&mut self) -> Result<bool, PeekError> {
        if self.next()? == b't' {
            return Ok(self.scalar()? == b"true");
        }
        self.value(Role::Other)?;
        Ok(false)
    }

    /// Whether the value is one of these numbers or words, or an empty list.
    fn is_one_of(&mut self, words: &[&[u8]]) -> Result<bool, PeekError> {
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

    fn tools(&mut self) -> Result<(), PeekError> {
        if self.next()? != b'[' {
            return self.value(Role::Other);
        }
        let mut count = 0;
        self.list(|scan| {
            count += 1;
            scan.value(Role::Other)
        })?;
        if count > MOST_TOOLS {
            return Err(RequestError::TooManyTools { count, limit: MOST_TOOLS }.into());
        }
        Ok(())
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

fn foreign(url: &[u8]) -> PeekError {
    PeekError::ForeignUrl { url: String::from_utf8_lossy(url).chars().take(SHOWN_URL).collect() }
}

#[cfg(test)]
mod tests;
