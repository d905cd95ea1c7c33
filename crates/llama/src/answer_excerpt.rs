//! The counts of tokens in an answer that is passed on unread.
//!
//! An engine writes its counts into the last event of a stream, and behind the text of an answer that is none. Those of the
//! prompt are in the first event of an Anthropic stream, and before the numbers of embeddings. So the first and the last bytes
//! are kept, and read once at the end: a part of an answer costs a copy of its bytes, and nothing is parsed.

use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The counts of the prompt are within so many bytes of the beginning.
const KEPT_FIRST: usize = 1 << 10;
/// The other counts are within so many bytes of the end.
const KEPT_LAST: usize = 2 << 10;
const USAGE: &[u8] = b"\"usage\":";

/// The first and the last bytes of an answer; all of a short one is in both.
#[derive(Debug, Clone, Default)]
pub struct AnswerExcerpt {
    first: Vec<u8>,
    /// At most twice [`KEPT_LAST`], so that not every part moves the bytes before it.
    last: Vec<u8>,
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

impl AnswerExcerpt {
    /// Takes the next part of the answer's body.
    pub fn push(&mut self, part: &[u8]) {
        if self.first.len() < KEPT_FIRST {
            self.first.extend_from_slice(&part[..part.len().min(KEPT_FIRST - self.first.len())]);
        }
        if part.len() >= KEPT_LAST {
            self.last.clear();
            self.last.extend_from_slice(&part[part.len() - KEPT_LAST..]);
            return;
        }
        if self.last.len() + part.len() > 2 * KEPT_LAST {
            self.last.drain(..self.last.len() - KEPT_LAST);
        }
        self.last.extend_from_slice(part);
    }

    /// The counts of the answer, which is complete.
    #[must_use]
    pub fn counts(&self) -> TokenCounts {
        // Quotes in a text are escaped, so that no text of a model looks like these names.
        let timings: Timings = value(&self.last, last_of, b"\"timings\":").unwrap_or_default();
        let end: Usage = value(&self.last, last_of, USAGE).unwrap_or_default();
        let begin = || value::<Usage>(&self.first, memmem::find, USAGE);
        let prompt = end.prompt().or_else(|| begin()?.prompt()).unwrap_or_default();
        TokenCounts {
            generated: timings.predicted_n.or(end.completion_tokens).or(end.output_tokens),
            processed: timings.prompt_n.or(prompt.processed),
            cached: timings.cache_n.or(prompt.cached),
        }
    }
}

/// Where the last one begins. Searched forwards: backwards the library compares byte by byte.
fn last_of(text: &[u8], name: &[u8]) -> Option<usize> {
    memmem::find_iter(text, name).last()
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
    cache_creation_input_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

/// Tokens of a prompt.
#[derive(Debug, Default)]
struct PromptCounts {
    processed: Option<u64>,
    cached: Option<u64>,
}

impl Usage {
    /// The counts of the prompt, where these are here.
    fn prompt(&self) -> Option<PromptCounts> {
        let tokens = self.prompt_tokens.or(self.input_tokens)?;
        // Anthropic's `input_tokens` are without those of the cache, read and written.
        if let Some(cached) = self.cache_read_input_tokens {
            let written = self.cache_creation_input_tokens.unwrap_or_default();
            return Some(PromptCounts { processed: Some(tokens.saturating_add(written)), cached: Some(cached) });
        }
        let details = self.prompt_tokens_details.as_ref().or(self.input_tokens_details.as_ref());
        let cached = details.and_then(|details| details.cached_tokens);
        Some(PromptCounts { processed: Some(tokens.saturating_sub(cached.unwrap_or_default())), cached })
    }
}

/// The value behind one occurrence of a name, where it can be read.
fn value<T: DeserializeOwned>(bytes: &[u8], find: fn(&[u8], &[u8]) -> Option<usize>, name: &[u8]) -> Option<T> {
    let at = find(bytes, name)? + name.len();
    serde_json::Deserializer::from_slice(&bytes[at..]).into_iter().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(parts: &[&[u8]]) -> TokenCounts {
        let mut excerpt = AnswerExcerpt::default();
        parts.iter().for_each(|part| excerpt.push(part));
        excerpt.counts()
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
        let anthropic =
            r#"{"type":"message","usage":{"cache_read_input_tokens":30,"input_tokens":5,"output_tokens":4}}"#;
        assert_eq!(of(anthropic), TokenCounts { generated: Some(4), processed: Some(5), cached: Some(30) });
        let cloud = r#"{"usage": {"input_tokens":5,"cache_creation_input_tokens":9,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":9},"output_tokens":4,"service_tier":"standard"}}"#;
        assert_eq!(of(cloud), TokenCounts { generated: Some(4), processed: Some(14), cached: Some(0) });
        let responses = r#"{"type":"response.completed","response":{"usage":{"input_tokens":9,"output_tokens":2}}}"#;
        assert_eq!(of(responses), TokenCounts { generated: Some(2), processed: Some(9), cached: None });
        for broken in [r#"{"usage":null}"#, r#"{"usage":{"completion_tokens":-1}}"#, r#"{"timings":{"predicted_n":"#] {
            assert_eq!(of(broken), TokenCounts::default(), "{broken}");
        }
    }

    #[test]
    fn the_counts_of_a_prompt_may_come_first() {
        let begin = br#"event: message_start
data: {"type":"message_start","message":{"id":"x","content":[],"usage":{"cache_read_input_tokens":30,"input_tokens":5,"output_tokens":0}}}

"#;
        let end = b"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":4}}\n\nevent: message_stop\ndata: {}\n\n";
        let text = [b'x'; 5000];
        let all = TokenCounts { generated: Some(4), processed: Some(5), cached: Some(30) };
        assert_eq!(counts(&[begin, end]), all, "short");
        assert_eq!(counts(&[begin, &text, end]), all, "long");
        for at in 0..begin.len() {
            assert_eq!(counts(&[&begin[..at], &begin[at..], &text, end]), all, "{at}");
        }
        assert_eq!(counts(&[begin, &text]), TokenCounts { generated: None, ..all }, "cut short");
        let embeddings = br#"{"model":"m","object":"list","usage":{"prompt_tokens":9,"total_tokens":9},"data":["#;
        let all = TokenCounts { processed: Some(9), ..TokenCounts::default() };
        assert_eq!(counts(&[embeddings, b"]}"]), all, "short");
        assert_eq!(counts(&[embeddings, &text, b"]}"]), all, "long");
    }

    #[test]
    fn little_is_kept_of_a_long_answer() {
        let mut excerpt = AnswerExcerpt::default();
        for length in (1..3000).step_by(7) {
            excerpt.push(&vec![b'x'; length]);
            assert!(excerpt.last.len() <= 2 * KEPT_LAST && excerpt.last.len() >= KEPT_LAST.min(length));
            assert!(excerpt.first.len() <= KEPT_FIRST);
        }
    }
}
