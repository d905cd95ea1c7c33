//! Joins the fragments of tool calls, and returns only calls that a caller can read.

mod arguments;
mod ids;

pub(crate) use self::{
    arguments::{Care, is_object, tidy},
    ids::fresh,
};
use crate::ToolCallDelta;

/// A complete tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Never empty, and unique in the answer.
    pub id: String,
    /// `function`.
    pub kind: String,
    /// Name of the function; never empty.
    pub name: String,
    /// A JSON object as text.
    pub arguments: String,
}

/// A call that cannot be used, because it has no name or its arguments are not a JSON object; a guess would run a tool with
/// wrong arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the call of tool {name:?}: its arguments are not a JSON object")]
pub struct BadCall {
    /// The name of the tool; empty when it is missing.
    pub name: String,
}

/// Collects the fragments of one answer.
#[derive(Debug, Default)]
pub struct Assembler {
    calls: Vec<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    index: u32,
    id: String,
    kind: String,
    name: String,
    arguments: String,
}

impl Assembler {
    /// An empty assembler.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one fragment.
    pub fn push(&mut self, delta: &ToolCallDelta<'_>) {
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        // Nearly always the last call.
        let known = self.calls.iter_mut().rev().find(|call| call.index == delta.index);
        // Some templates omit the index: a new id with a new name is then a new call.
        let other = |call: &&mut Parts| {
            let id = delta.id.as_deref().unwrap_or_default();
            delta.name.is_some() && !id.is_empty() && !call.id.is_empty() && call.id != id
        };
        match known.filter(|call| !other(call)) {
            Some(call) => {
                for (whole, part) in
                    [(&mut call.id, &delta.id), (&mut call.kind, &delta.kind), (&mut call.name, &delta.name)]
                {
                    if whole.is_empty() {
                        *whole = text(part);
                    }
                }
                call.arguments.push_str(delta.arguments.as_deref().unwrap_or_default());
            }
            None => self.calls.push(Parts {
                index: delta.index,
                id: text(&delta.id),
                kind: text(&delta.kind),
                name: text(&delta.name),
                arguments: text(&delta.arguments),
            }),
        }
    }

    /// The calls in the order of their index. Missing parts are added; broken arguments are repaired when there is only one
    /// way.
    ///
    /// # Errors
    /// When a call has no name, or its arguments cannot be made a JSON object without a guess.
    pub fn finish(self) -> Result<Vec<ToolCall>, BadCall> {
        self.collect(Err)
    }

    /// The calls of an answer that was cut at its limit; an incomplete call is left out.
    pub fn finish_cut(mut self) -> Vec<ToolCall> {
        // A call that looks complete may lack more, so nothing is repaired here.
        if self.calls.last().is_some_and(|call| !is_object(&call.arguments)) {
            self.calls.pop();
        }
        self.collect(|_| Ok::<_, std::convert::Infallible>(())).unwrap_or_default()
    }

    fn collect<E>(mut self, mut bad: impl FnMut(BadCall) -> Result<(), E>) -> Result<Vec<ToolCall>, E> {
        self.calls.sort_by_key(|call| call.index);
        let mut calls: Vec<ToolCall> = Vec::with_capacity(self.calls.len());
        for Parts { id, kind, name, arguments, .. } in self.calls {
            if name.is_empty() && arguments.trim().is_empty() {
                // A fragment without name and arguments.
                continue;
            }
            let Some(arguments) = tidy(&arguments, Care::Execute).filter(|_| !name.is_empty()) else {
                bad(BadCall { name })?;
                continue;
            };
            let arguments = arguments.into_owned();
            let taken = id.is_empty() || calls.iter().any(|call| call.id == id);
            let id = if taken { fresh("call_") } else { id };
            let kind = if kind.is_empty() { "function".to_owned() } else { kind };
            calls.push(ToolCall { id, kind, name, arguments });
        }
        Ok(calls)
    }
}

#[cfg(test)]
mod tests;
