//! What a proxy must know of a body that it passes on as it is: the model, whether the answer is a stream, and that an
//! engine can safely read it.
//!
//! One pass over the bytes, without a copy: pictures are megabytes of text in which only the closing quote is looked for.
//! The engine parses the same bytes again and has the last word, so only what is needed here is checked.

mod form;
mod scan;

use std::ops::Range;

use self::scan::{Role, Scan};
use super::RequestError;

/// What is known of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek {
    /// The model that it names.
    pub model: Option<ModelName>,
    /// Whether another server may find another model in it: there is a further field `model`, of which engines take the
    /// last, or one with capital letters, which some servers take for the same.
    pub has_other_models: bool,
    /// Whether it wants a stream of events.
    pub stream: bool,
    /// Where the list of its messages is, with the brackets.
    pub conversation: Option<Range<usize>>,
    /// Where the list of its tools is, with the brackets.
    pub tools: Option<Range<usize>>,
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
    /// It is no form, or one that servers may read in different ways.
    #[error("cannot read the request: its body is no form (near byte {at})")]
    NotForm {
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
    /// Looks into a body. No URL that the engine would fetch is allowed.
    ///
    /// # Errors
    /// When it is not JSON, is nested deeper or has more tools than an engine can safely read, or names a URL that the
    /// engine would fetch.
    pub fn into(body: &[u8]) -> Result<Self, PeekError> {
        Self::fetching(body, &|_| false)
    }

    /// Looks into a form of this content type: only for its model.
    ///
    /// # Errors
    /// When it is no form, or when servers may read it in different ways.
    pub fn into_form(content_type: &str, body: &[u8]) -> Result<Self, PeekError> {
        form::peek(content_type, body)
    }

    /// Looks into a body whose URLs the engine may fetch where `may_fetch` says so.
    ///
    /// # Errors
    /// As [`Peek::into`].
    pub fn fetching(body: &[u8], may_fetch: &dyn Fn(&str) -> bool) -> Result<Self, PeekError> {
        let mut scan = Scan::of(body, may_fetch);
        let mut peek = Self::default();
        if scan.next()? != b'{' {
            // A list of adapters, for example: nothing in it is looked for.
            scan.value(Role::Other)?;
            return scan.end().map(|()| peek);
        }
        let (mut options, mut is_empty, mut has_model) = (Vec::new(), true, false);
        scan.object(|scan, key| {
            is_empty = false;
            match key {
                b"model" => {
                    peek.has_other_models |= std::mem::replace(&mut has_model, true);
                    peek.model = scan.model()?;
                }
                _ if key.eq_ignore_ascii_case(b"model") => {
                    peek.has_other_models = true;
                    scan.value(Role::Other)?;
                }
                b"stream" => peek.stream = scan.is_true()?,
                b"tools" => peek.tools = scan.tools()?,
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
    let mut scan = Scan::of(list, &|_| false);
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

#[cfg(test)]
mod tests;
