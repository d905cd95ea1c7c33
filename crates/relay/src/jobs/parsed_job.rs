//! A job as it came, with all that has to be looked for in its whole text.
//!
//! Made once, where the message is parsed: for a large one that is off the token path.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use auxot_llama::{RequestError, check_request, foreign_urls, has_images, text_bytes};
use auxot_protocol::Job;
use serde_json::value::RawValue;

/// Identical tool rounds at the end of a conversation that make a loop.
pub(crate) const LOOP_ROUNDS: usize = 3;

/// An address longer than this is none.
const LONGEST_URL: usize = 2048;

/// One job, looked through.
#[derive(Debug, Clone)]
pub(crate) struct ParsedJob {
    pub(crate) job: Arc<Job>,
    /// Tells one conversation from another under the same id; not a secret, so no cryptography.
    pub(crate) fingerprint: u64,
    /// Bytes of what its caller wrote.
    pub(crate) bytes: usize,
    /// Bytes of the texts that its prompt holds at least.
    pub(crate) text_bytes: usize,
    /// Tells one request from another, whoever sends it and under whatever id.
    pub(crate) request_hash: u64,
    pub(crate) has_images: bool,
    /// Why no engine may see it.
    pub(crate) fault: Option<RequestError>,
    /// Where its pictures would have to be fetched from; empty texts are no plain web address.
    pub(crate) foreign_hosts: BTreeSet<String>,
    /// Whether it ends with the same single tool call and the same result, [`LOOP_ROUNDS`] times.
    pub(crate) is_tool_loop: bool,
}

impl ParsedJob {
    /// Looks a job through: as long as it takes to read its messages once, or twice where they hold tool calls.
    pub(crate) fn new(job: Job) -> Self {
        let messages = job.messages.as_deref();
        let mut hasher = DefaultHasher::new();
        messages.map(RawValue::get).hash(&mut hasher);
        Self {
            fingerprint: hasher.finish(),
            bytes: [messages, job.tools.as_deref()].into_iter().flatten().map(|raw| raw.get().len()).sum(),
            text_bytes: messages.map(text_bytes).unwrap_or_default(),
            request_hash: hash_request(&job),
            fault: check_request(messages, job.tools.as_deref()).err(),
            foreign_hosts: messages.map(foreign_hosts).unwrap_or_default(),
            has_images: messages.is_some_and(has_images),
            is_tool_loop: messages.is_some_and(is_tool_loop),
            job: Arc::new(job),
        }
    }
}

/// The hash of all that an engine is given.
fn hash_request(job: &Job) -> u64 {
    let mut hasher = DefaultHasher::new();
    let raw = [job.messages.as_deref(), job.tools.as_deref()].map(|raw| raw.map(RawValue::get));
    (raw, &job.model, job.temperature.map(f64::to_bits), job.max_tokens, &job.reasoning_effort).hash(&mut hasher);
    hasher.finish()
}

/// The hosts of all addresses that are no data URL. One that is anything but a plain web address stands as an empty text,
/// which nobody can allow: what reads it later may read it otherwise.
fn foreign_hosts(messages: &RawValue) -> BTreeSet<String> {
    let host = |text: &str| {
        let is_plain =
            text.len() <= LONGEST_URL && !text.contains(['\\', '@', ' ']) && !text.contains(char::is_control);
        let url = url::Url::parse(text).ok().filter(|url| is_plain && matches!(url.scheme(), "http" | "https"))?;
        url.host_str().map(str::to_ascii_lowercase)
    };
    foreign_urls(messages).iter().map(|url| host(url).unwrap_or_default()).collect()
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
    fn the_hosts_of_pictures_are_read_strictly() {
        let hosts = |url: &str| {
            let messages =
                serde_json::json!([{"role":"user","content":[{"type":"image_url","image_url":{"url":url}}]}]);
            let hosts = foreign_hosts(&serde_json::value::to_raw_value(&messages).expect("valid"));
            hosts.into_iter().collect::<Vec<_>>()
        };
        assert!(hosts("data:image/png;base64,AA").is_empty());
        assert_eq!(hosts("https://Pictures.example/a.png"), ["pictures.example"]);
        for odd in [
            "file:///etc/passwd",
            "http://good@evil/",
            "http://good\\\\evil/",
            "ftp://h/x",
            "h/x",
            "http://h/\n",
            "AAAA",
        ] {
            assert_eq!(hosts(odd), [""], "{odd}");
        }
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
