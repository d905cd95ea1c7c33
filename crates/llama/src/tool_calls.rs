//! Puts the fragments of tool calls together, and lets no call through that a caller could not read.

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
    /// Never empty, and unlike those of the other calls of the same answer.
    pub id: String,
    /// `function`.
    pub kind: String,
    /// Name of the function; never empty.
    pub name: String,
    /// Text of a JSON object.
    pub arguments: String,
}

/// A call that cannot be passed on, because it has no name or its arguments are no JSON object and guessing
/// what was meant would run a tool with the wrong arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the call of tool {name:?}: its arguments are not a JSON object")]
pub struct BadCall {
    /// The tool that was called; empty when even that is missing.
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
    /// An assembler that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no call has begun.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes one fragment.
    pub fn push(&mut self, delta: &ToolCallDelta<'_>) {
        let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        // Nearly always the last one.
        let known = self.calls.iter_mut().rev().find(|call| call.index == delta.index);
        // Some templates leave the index out: a new id with a new name is a new call then.
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

    /// The calls in the order of their index: what was missing is filled in, what is broken is repaired where
    /// there is only one way to do it.
    pub fn finish(self) -> Result<Vec<ToolCall>, BadCall> {
        self.collect(Err)
    }

    /// The calls of an answer that was cut at its longest: one in the middle of which it was cut is none.
    pub fn finish_cut(mut self) -> Vec<ToolCall> {
        // What looks whole may have lacked more: nothing is mended here.
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
                // A fragment that never became a call.
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
