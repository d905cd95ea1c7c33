//! The words of one answer, known before the first is sent: reasoning, then text in a circle, then a tool call.

use serde_json::{Value, json};

use crate::request::ChatRequest;
use crate::switches::Tool;

const WORDS: &str = "the quick brown fox jumps over a lazy dog while seven wizards mix liquid potions ";
const DEFAULT_TOKENS: u64 = 16;

/// One answer: its deltas by number, how many there are, and why they end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Deltas said once, at the beginning.
    lead: Vec<String>,
    /// Deltas said again and again until the count is reached.
    cycle: Vec<String>,
    /// Deltas said once, at the end.
    tail: Vec<String>,
    text: Vec<String>,
    reasoning: Option<String>,
    tool: Option<Tool>,
    whole: u64,
    /// How many tokens are sent.
    pub total: u64,
    /// `stop`, `length` or `tool_calls`.
    pub finish: &'static str,
}

impl Answer {
    /// What the switches and the request's own limit make of it.
    pub(crate) fn plan(request: &ChatRequest) -> Answer {
        let switches = &request.switches;
        let text = match &switches.count {
            Some(word) => (0..switches.tokens.unwrap_or(DEFAULT_TOKENS)).map(|n| format!("{word}{n} ")).collect(),
            None => pieces(switches.text.as_deref().unwrap_or(WORDS)),
        };
        let lead: Vec<String> = switches
            .reasoning
            .iter()
            .flat_map(|text| pieces(text))
            .map(|piece| json!({"reasoning_content": piece}).to_string())
            .collect();
        let tail = switches.tool.as_ref().map(tool_deltas).unwrap_or_default();
        let said = match (switches.tokens, &switches.text, &switches.tool) {
            (Some(tokens), ..) => tokens,
            (None, Some(_), _) => text.len() as u64,
            (None, None, Some(_)) => 0,
            (None, None, None) => DEFAULT_TOKENS,
        };
        let whole = lead.len() as u64 + said + tail.len() as u64;
        let total = whole.min(request.max_tokens.unwrap_or(whole));
        let finish = match (total < whole, &switches.tool) {
            (true, _) => "length",
            (false, Some(_)) => "tool_calls",
            (false, None) => "stop",
        };
        let cycle = text.iter().map(|piece| json!({"content": piece}).to_string()).collect();
        let (reasoning, tool) = (switches.reasoning.clone(), switches.tool.clone());
        Answer { lead, cycle, tail, text, reasoning, tool, whole, total, finish }
    }

    /// All different deltas, as JSON, in an order that `index` refers to.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = &str> {
        self.lead.iter().chain(&self.cycle).chain(&self.tail).map(String::as_str)
    }

    /// Which of the deltas is token number `n`.
    pub(crate) fn index(&self, n: u64) -> usize {
        let lead = self.lead.len() as u64;
        let tail_from = self.whole - self.tail.len() as u64;
        if n < lead {
            n as usize
        } else if n < tail_from {
            self.lead.len() + ((n - lead) % self.cycle.len() as u64) as usize
        } else {
            self.lead.len() + self.cycle.len() + (n - tail_from) as usize
        }
    }

    /// The whole answer as one message.
    pub(crate) fn message(&self) -> Value {
        let lead = self.lead.len() as u64;
        let said = self.total.min(self.whole - self.tail.len() as u64).saturating_sub(lead);
        let content: String = self.text.iter().cycle().take(said as usize).map(String::as_str).collect();
        let mut message = json!({"role": "assistant", "content": content});
        if let Some(reasoning) = &self.reasoning {
            let said = pieces(reasoning).into_iter().take(self.total as usize);
            message["reasoning_content"] = Value::String(said.collect());
        }
        if let (Some(tool), "tool_calls") = (&self.tool, self.finish) {
            let mut call = json!({"type": "function", "function": {"name": tool.name, "arguments": tool.arguments}});
            if let Some(id) = &tool.id {
                call["id"] = json!(id);
            }
            message["tool_calls"] = json!([call]);
        }
        message
    }
}

/// Words with the blank that follows them, as the tokens of most models are cut.
fn pieces(text: &str) -> Vec<String> {
    let pieces: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    if pieces.is_empty() { vec![String::new()] } else { pieces }
}

/// The first delta carries name and id with the first byte of the arguments, later ones the rest, as captured.
fn tool_deltas(tool: &Tool) -> Vec<String> {
    let (first, rest) = match tool.arguments.chars().next() {
        Some(c) => tool.arguments.split_at(c.len_utf8()),
        None => ("", ""),
    };
    let mut call = json!({"index": 0, "type": "function", "function": {"name": tool.name, "arguments": first}});
    if let Some(id) = &tool.id {
        call["id"] = json!(id);
    }
    let more = rest.split_inclusive(' ').map(|part| json!({"index": 0, "function": {"arguments": part}}));
    std::iter::once(call).chain(more).map(|call| json!({"tool_calls": [call]}).to_string()).collect()
}
