//! Finds reasoning and tool calls that a model wrote as markers into its text.
//!
//! A fallback for engines and templates that do not parse them. Text is returned as soon as it cannot be the start of a
//! marker, so at most ten bytes are held back, except inside a call, which is held back to its end: anything that is not a
//! call is returned as text.

mod schema;
mod xml;

use memchr::{memchr_iter, memmem};
use serde_json::value::RawValue;

use self::schema::Schema;
use crate::ToolCall;

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const CALL: &str = "<tool_call>";
const CALL_END: &str = "</tool_call>";
/// A longer call is text that starts like a call.
const CALL_LIMIT: usize = 1 << 20;

/// A part of the model's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Visible text.
    Visible(String),
    /// Chain of thought.
    Reasoning(String),
    /// A complete call.
    Call(ToolCall),
}

/// The splitter of one answer.
#[derive(Debug, Default)]
pub struct Markers {
    /// The possible start of a marker, or a call from its marker on.
    held: String,
    thinking: bool,
    /// Inside a call: how much of it was searched for its end.
    searched: Option<usize>,
    schema: Schema,
}

impl Markers {
    /// A splitter at the start of an answer. The tools of the request give the types of values, which are only text in the
    /// markers.
    pub fn new(tools: Option<&RawValue>) -> Self {
        Self { schema: tools.map(Schema::of).unwrap_or_default(), ..Self::default() }
    }

    /// Whether `text` is visible text without markers, so that it need not be fed.
    pub fn passes(&self, text: &str) -> bool {
        self.held.is_empty() && !self.thinking && memchr::memchr(b'<', text.as_bytes()).is_none()
    }

    /// Adds the next part of the answer and returns the pieces that are certain.
    pub fn feed(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.held.push_str(text);
        let text = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let used =
                if self.searched.is_some() { self.in_call(rest, &mut pieces) } else { self.in_text(rest, &mut pieces) };
            match used {
                Some(used) => at += used,
                None => break,
            }
        }
        // A long call arrives in thousands of parts, so the held text is not copied for each.
        if at == 0 {
            self.held = text;
        } else {
            self.held.push_str(&text[at..]);
        }
        pieces
    }

    /// The answer is complete: returns what was held back.
    pub fn finish(mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let held = std::mem::take(&mut self.held);
        let cut = held.strip_prefix(CALL).filter(|_| self.searched.is_some());
        match cut.and_then(|body| xml::parse_unfinished(body, &self.schema)) {
            Some(calls) => pieces.extend(calls.into_iter().map(Piece::Call)),
            None => self.say(&held, &mut pieces),
        }
        pieces
    }

    /// Returns text up to a marker, and consumes the marker. `None`: the rest is held back.
    fn in_text(&mut self, text: &str, pieces: &mut Vec<Piece>) -> Option<usize> {
        for start in memchr_iter(b'<', text.as_bytes()) {
            let rest = &text[start..];
            let Some(marker) = [THINK, THINK_END, CALL].into_iter().find(|marker| rest.starts_with(marker)) else {
                if [THINK, THINK_END, CALL].iter().any(|marker| marker.starts_with(rest)) {
                    if start == 0 {
                        return None;
                    }
                    self.say(&text[..start], pieces);
                    return Some(start);
                }
                continue;
            };
            self.say(&text[..start], pieces);
            if marker == CALL {
                self.searched = Some(CALL.len());
                // The marker is kept: it is text when no call follows.
                return Some(start);
            }
            self.thinking = marker == THINK;
            return Some(start + marker.len());
        }
        self.say(text, pieces);
        Some(text.len())
    }

    /// Searches the end of a call. `None`: it has not arrived.
    fn in_call(&mut self, text: &str, pieces: &mut Vec<Piece>) -> Option<usize> {
        let searched = self.searched.unwrap_or(CALL.len()).min(text.len());
        let Some(end) = memmem::find(&text.as_bytes()[searched..], CALL_END.as_bytes()).map(|end| searched + end)
        else {
            self.searched = Some(text.len().saturating_sub(CALL_END.len() - 1).max(CALL.len()));
            if text.len() <= CALL_LIMIT {
                return None;
            }
            self.searched = None;
            self.say(text, pieces);
            return Some(text.len());
        };
        self.searched = None;
        let used = end + CALL_END.len();
        match xml::parse(&text[CALL.len()..end], &self.schema) {
            Some(calls) => pieces.extend(calls.into_iter().map(Piece::Call)),
            None => self.say(&text[..used], pieces),
        }
        Some(used)
    }

    fn say(&self, text: &str, pieces: &mut Vec<Piece>) {
        if text.is_empty() {
            return;
        }
        match (pieces.last_mut(), self.thinking) {
            (Some(Piece::Reasoning(last)), true) | (Some(Piece::Visible(last)), false) => last.push_str(text),
            (_, true) => pieces.push(Piece::Reasoning(text.to_owned())),
            (_, false) => pieces.push(Piece::Visible(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
