//! The counts of tokens at the end of an answer that is passed on unread.
//!
//! An engine writes its counts into the last event of a stream, and behind the text of an answer that is none. So the last bytes are
//! kept, and read once at the end: a part of an answer costs a copy of its bytes, and nothing is parsed.

use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The counts are within so many bytes of the end.
const KEPT: usize = 2 << 10;

/// The last bytes of an answer.
#[derive(Debug, Clone, Default)]
pub struct AnswerTail {
    /// At most twice [`KEPT`], so that not every part moves the bytes before it.
    bytes: Vec<u8>,
}

/// Tokens of one answer, where the engine has counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Tokens generated.
    pub generated: Option<u64>,
    /// Tokens of the prompt that were processed.
    pub processed: Option<u64>,
    /// Tokens of the prompt that were taken from the cache.
    pub cached: Option<u64>,
}

impl AnswerTail {
    /// Takes the next part of the answer's body.
    pub fn push(&mut self, part: &[u8]) {
        if part.len() >= KEPT {
            self.bytes.clear();
            self.bytes.extend_from_slice(&part[part.len() - KEPT..]);
            return;
        }
        if self.bytes.len() + part.len() > 2 * KEPT {
            self.bytes.drain(..self.bytes.len() - KEPT);
        }
        self.bytes.extend_from_slice(part);
    }

    /// The counts of the answer, which is complete.
    #[must_use]
    pub fn counts(&self) -> TokenCounts {
        // Quotes in a text are escaped, so that no text of a model looks like these names.
        let timings: Timings = last(&self.bytes, b"\"timings\":").unwrap_or_default();
        let usage: Usage = last(&self.bytes, b"\"usage\":").unwrap_or_default();
        let details = usage.prompt_tokens_details.or(usage.input_tokens_details).unwrap_or_default();
        let cached = timings.cache_n.or(details.cached_tokens).or(usage.cache_read_input_tokens);
        let prompt = || Some(usage.prompt_tokens.or(usage.input_tokens)?.saturating_sub(cached.unwrap_or_default()));
        TokenCounts {
            generated: timings.predicted_n.or(usage.completion_tokens).or(usage.output_tokens),
            processed: timings.prompt_n.or_else(prompt),
            cached,
        }
    }
}

/// The engine's own counts.
#[derive(Debug, Default, Deserialize)]
struct Timings {
    cache_n: Option<u64>,
    prompt_n: Option<u64>,
    predicted_n: Option<u64>,
}

/// The counts of the APIs, in the words of each.
#[derive(Debug, Default, Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// The value behind the last occurrence of a name, where it can be read.
fn last<T: DeserializeOwned>(bytes: &[u8], name: &[u8]) -> Option<T> {
    let at = memmem::rfind(bytes, name)? + name.len();
    serde_json::Deserializer::from_slice(&bytes[at..]).into_iter().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(parts: &[&[u8]]) -> TokenCounts {
        let mut tail = AnswerTail::default();
        parts.iter().for_each(|part| tail.push(part));
        tail.counts()
    }

    #[test]
    fn the_last_event_of_a_stream_has_the_counts() {
        let text = br#"data: {"choices":[{"delta":{"content":" and \"timings\":{\"predicted_n\":9}"}}]}"#;
        let end = br#"data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"timings":{"cache_n":3,"prompt_n":5,"prompt_ms":1.5,"predicted_n":16,"predicted_ms":2.0}}

data: [DONE]

"#;
        let all = TokenCounts { generated: Some(16), processed: Some(5), cached: Some(3) };
        assert_eq!(counts(&[text, b"\n\n", end]), all);
        // Wherever the bytes are cut.
        for at in 0..end.len() {
            assert_eq!(counts(&[&[b'x'; 5000], &end[..at], &end[at..]]), all, "{at}");
        }
        assert_eq!(counts(&[text]), TokenCounts::default());
    }

    #[test]
    fn each_api_has_its_own_words() {
        let of = |text: &str| counts(&[text.as_bytes()]);
        let openai = r#"{"choices":[],"usage":{"completion_tokens":7,"prompt_tokens":20,"total_tokens":27,"prompt_tokens_details":{"cached_tokens":12}}}"#;
        assert_eq!(of(openai), TokenCounts { generated: Some(7), processed: Some(8), cached: Some(12) });
        let anthropic = "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":4}}\n\nevent: message_stop\ndata: {}\n\n";
        assert_eq!(of(anthropic), TokenCounts { generated: Some(4), ..TokenCounts::default() });
        let responses = r#"{"type":"response.completed","response":{"usage":{"input_tokens":9,"output_tokens":2}}}"#;
        assert_eq!(of(responses), TokenCounts { generated: Some(2), processed: Some(9), cached: None });
        for broken in [r#"{"usage":null}"#, r#"{"usage":{"completion_tokens":-1}}"#, r#"{"timings":{"predicted_n":"#] {
            assert_eq!(of(broken), TokenCounts::default(), "{broken}");
        }
    }

    #[test]
    fn little_is_kept_of_a_long_answer() {
        let mut tail = AnswerTail::default();
        for length in (1..3000).step_by(7) {
            tail.push(&vec![b'x'; length]);
            assert!(tail.bytes.len() <= 2 * KEPT && tail.bytes.len() >= KEPT.min(length));
        }
    }
}
