//! A job as it came, with all that has to be looked for in its whole text.
//!
//! Made once, where the message is parsed: for a large one that is off the token path.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use auxot_llama::has_images;
use auxot_protocol::Job;
use serde_json::value::RawValue;

/// Identical tool rounds at the end of a conversation that make a loop.
pub(crate) const LOOP_ROUNDS: usize = 3;

/// One job, looked through.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) job: Arc<Job>,
    /// Tells one conversation from another under the same id; not a secret, so no cryptography.
    pub(crate) fingerprint: u64,
    pub(crate) has_images: bool,
    /// Whether it ends with the same single tool call and the same result, [`LOOP_ROUNDS`] times.
    pub(crate) is_tool_loop: bool,
}

impl Order {
    /// Looks a job through: as long as it takes to read its messages once, or twice where they hold tool calls.
    pub(crate) fn new(job: Job) -> Self {
        let messages = job.messages.as_deref();
        let mut hasher = DefaultHasher::new();
        messages.map(RawValue::get).hash(&mut hasher);
        Self {
            fingerprint: hasher.finish(),
            has_images: messages.is_some_and(has_images),
            is_tool_loop: messages.is_some_and(is_tool_loop),
            job: Arc::new(job),
        }
    }
}

fn is_tool_loop(messages: &RawValue) -> bool {
    if !messages.get().contains("tool_calls") {
        return false;
    }
    let Ok(messages) = serde_json::from_str::<Vec<serde_json::Value>>(messages.get()) else { return false };
    let Some(tail) = messages.len().checked_sub(LOOP_ROUNDS * 2).map(|from| &messages[from..]) else { return false };
    let mut rounds = tail.chunks_exact(2).map(tool_round);
    match rounds.next().flatten() {
        Some(first) => rounds.all(|round| round == Some(first)),
        None => false,
    }
}

/// Name, arguments and result of one tool round, if these two messages are one.
fn tool_round(pair: &[serde_json::Value]) -> Option<(&serde_json::Value, &serde_json::Value, &serde_json::Value)> {
    let (call, result) = (pair.first()?, pair.get(1)?);
    let calls = call.get("tool_calls")?.as_array()?;
    let [only] = calls.as_slice() else { return None };
    let function = only.get("function")?;
    if result.get("role")?.as_str()? != "tool" {
        return None;
    }
    Some((function.get("name")?, function.get("arguments")?, result.get("content")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(results: &[&str]) -> Box<RawValue> {
        let mut messages = vec![serde_json::json!({"role":"user","content":"hi"})];
        for result in results {
            messages.push(serde_json::json!({"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]}));
            messages.push(serde_json::json!({"role":"tool","content":result}));
        }
        serde_json::value::to_raw_value(&messages).expect("valid")
    }

    #[test]
    fn three_identical_rounds_are_a_loop_and_nothing_less_is() {
        assert!(is_tool_loop(&conversation(&["a", "a", "a"])));
        assert!(is_tool_loop(&conversation(&["b", "a", "a", "a"])));
        assert!(!is_tool_loop(&conversation(&["a", "a"])));
        assert!(!is_tool_loop(&conversation(&["a", "b", "a"])));
        assert!(!is_tool_loop(&serde_json::value::to_raw_value("text").expect("valid")));
    }
}
