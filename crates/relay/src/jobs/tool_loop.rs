//! Conversations that end with the same tool round several times: the next round would be the same.

use auxot_llama::element_ends;
use serde_json::Value;

/// The number of identical tool rounds at the end of a conversation that make a loop.
pub(crate) const LOOP_ROUNDS: usize = 3;

/// Messages of one round: a call and its result.
const ROUND: usize = 2;

/// Whether a list of messages ends with [`LOOP_ROUNDS`] times the same single tool call and result. It is one of a chat, of
/// the API of Anthropic (`/v1/messages`) or of `/v1/responses`.
pub(crate) fn is_tool_loop(messages: &[u8]) -> bool {
    // Most conversations have none.
    let has = |sign: &str| memchr::memmem::find(messages, sign.as_bytes()).is_some();
    if !["tool_calls", "tool_use", "function_call"].into_iter().any(has) {
        return false;
    }
    let ends = element_ends(messages);
    // The last messages, and the position before them.
    let Some([from, last @ ..]) = ends.len().checked_sub(LOOP_ROUNDS * ROUND + 1).map(|first| &ends[first..]) else {
        return false;
    };
    let mut from = *from;
    let mut tail = Vec::with_capacity(last.len());
    for end in last {
        let message = messages[from..*end].trim_ascii_start().strip_prefix(b",").unwrap_or_default();
        let Ok(message) = serde_json::from_slice::<Value>(message) else { return false };
        tail.push(message);
        from = *end;
    }
    let mut rounds = tail.chunks_exact(ROUND).map(ToolRound::of);
    match rounds.next().flatten() {
        Some(first) => rounds.all(|round| round.as_ref() == Some(&first)),
        None => false,
    }
}

/// What a tool was called with, and what it returned.
#[derive(Debug, PartialEq)]
struct ToolRound<'a> {
    name: &'a Value,
    arguments: &'a Value,
    result: &'a Value,
}

impl<'a> ToolRound<'a> {
    /// The round of two messages, if they are one with a single call.
    fn of(pair: &'a [Value]) -> Option<Self> {
        let (call, result) = (pair.first()?, pair.get(1)?);
        Self::of_chat(call, result)
            .or_else(|| Self::of_messages(call, result))
            .or_else(|| Self::of_responses(call, result))
    }

    fn of_chat(call: &'a Value, result: &'a Value) -> Option<Self> {
        let [only] = call.get("tool_calls")?.as_array()?.as_slice() else { return None };
        let function = only.get("function")?;
        let is_result = result.get("role")? == "tool";
        let (name, arguments) = (function.get("name")?, function.get("arguments")?);
        is_result.then_some(Self { name, arguments, result: result.get("content")? })
    }

    fn of_messages(call: &'a Value, result: &'a Value) -> Option<Self> {
        let call = only_part(call, "tool_use")?;
        let result = only_part(result, "tool_result")?;
        Some(Self { name: call.get("name")?, arguments: call.get("input")?, result: result.get("content")? })
    }

    fn of_responses(call: &'a Value, result: &'a Value) -> Option<Self> {
        let is = |item: &Value, kind: &str| item.get("type").is_some_and(|found| found == kind);
        let is_round = is(call, "function_call") && is(result, "function_call_output");
        let (name, arguments) = (call.get("name")?, call.get("arguments")?);
        is_round.then_some(Self { name, arguments, result: result.get("output")? })
    }
}

/// The part of this kind, if a message has exactly one.
fn only_part<'a>(message: &'a Value, kind: &str) -> Option<&'a Value> {
    let parts = message.get("content")?.as_array()?;
    let mut of_kind = parts.iter().filter(|part| part.get("type").is_some_and(|found| found == kind));
    of_kind.next().filter(|_| of_kind.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A conversation of each API whose tool rounds have these results.
    fn conversations(results: &[&str]) -> [String; 3] {
        let first = || vec![json!({"role": "user", "content": "hi"})];
        let (mut chat, mut messages, mut responses) = (first(), first(), first());
        for (id, result) in results.iter().enumerate() {
            let function = json!({"name": "f", "arguments": "{}"});
            chat.push(
                json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": function}]}),
            );
            chat.push(json!({"role": "tool", "content": result}));
            let call = json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
            messages.push(json!({"role": "assistant", "content": [{"type": "text", "text": id.to_string()}, call]}));
            messages.push(
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": result}]}),
            );
            responses.push(json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"}));
            responses.push(json!({"type": "function_call_output", "call_id": id, "output": result}));
        }
        [chat, messages, responses].map(|list| serde_json::to_string_pretty(&list).expect("JSON"))
    }

    #[test]
    fn only_three_identical_rounds_are_a_loop() {
        for (results, want) in [
            (&["a", "a", "a"][..], true),
            (&["b", "a", "a", "a"], true),
            (&["a", "a"], false),
            (&["a", "b", "a"], false),
            (&["a", "a", "b"], false),
        ] {
            for conversation in conversations(results) {
                assert_eq!(is_tool_loop(conversation.as_bytes()), want, "{conversation}");
            }
        }
        for other in ["\"tool_calls\"", "[", "[\"tool_use\",1,2,3,4,5,6,7]"] {
            assert!(!is_tool_loop(other.as_bytes()), "{other}");
        }
    }
}
