//! The request to the engine, made from a job: what is checked first, and what a second try changes.

use auxot_fleet::Lease;
use auxot_llama::{ChatRequest, EngineError, has_images, reduce_tools};
use auxot_protocol::Job;
use serde_json::value::RawValue;

use crate::ending::Ending;

/// Identical tool rounds at the end of a conversation that make a loop.
const LOOP_ROUNDS: usize = 3;

/// One job's request, which a refusal of its tool schemas may change once.
#[derive(Debug)]
pub(crate) struct Attempt {
    reduced: Option<Box<RawValue>>,
    has_images: bool,
}

impl Attempt {
    /// Checks what can be checked without an engine.
    pub(crate) fn first(job: &Job, guard_tool_loop: bool) -> Result<Self, Ending> {
        if guard_tool_loop && job.messages.as_deref().is_some_and(is_tool_loop) {
            return Err(Ending::BadJob(format!(
                "the last {LOOP_ROUNDS} tool rounds are identical, so the next one would be too"
            )));
        }
        Ok(Self { reduced: None, has_images: job.messages.as_deref().is_some_and(has_images) })
    }

    /// The request's body for the engine behind this lease.
    pub(crate) fn body(&self, job: &Job, lease: &Lease) -> Result<Vec<u8>, Ending> {
        if self.has_images && !lease.vision() {
            return Err(Ending::BadJob(format!("{} cannot see images", lease.model())));
        }
        let request = ChatRequest {
            model: lease.model(),
            messages: job.messages.as_deref(),
            tools: self.reduced.as_deref().or(job.tools.as_deref()),
            temperature: job.temperature,
            max_tokens: job.max_tokens,
            reasoning_effort: job.reasoning_effort.as_deref(),
            progress: true,
        };
        request.to_body().map_err(|error| Ending::BadJob(error.to_string()))
    }

    /// Whether simpler tool schemas might satisfy an engine that said this.
    pub(crate) fn can_reduce(&self, error: &EngineError) -> bool {
        self.reduced.is_none() && error.is_template_fault()
    }

    /// Reduces the tool schemas for the next try. Tools that cannot be read stay as they are, and the
    /// engine's refusal of them stays the answer.
    pub(crate) fn reduce(&mut self, job: &Job) -> bool {
        self.reduced = job.tools.as_deref().and_then(|tools| reduce_tools(tools).ok());
        self.reduced.is_some()
    }
}

/// Whether a conversation ends with the same single tool call and the same result, [`LOOP_ROUNDS`] times.
fn is_tool_loop(messages: &RawValue) -> bool {
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
