//! A job with all properties that are found by reading its whole text.
//!
//! Made once, where the message is parsed: for a large message on another thread.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use auxot_fleet::JobTask;
use auxot_llama::{ApiPath, RequestError, check_request, foreign_urls, has_images, text_bytes};
use auxot_protocol::Job;
use serde_json::value::RawValue;

use crate::jobs::tool_loop::is_tool_loop;

/// The most bytes of an image's URL.
const LONGEST_URL: usize = 2048;

/// One parsed job.
#[derive(Debug, Clone)]
pub(crate) struct ParsedJob {
    pub(crate) job: Arc<Job>,
    /// Distinguishes conversations under the same id; not a secret, so a plain hash.
    pub(crate) fingerprint: u64,
    /// Bytes of the caller's messages and tools.
    pub(crate) bytes: usize,
    /// Bytes of the texts that its prompt contains at least.
    pub(crate) text_bytes: usize,
    /// Distinguishes requests, independent of caller and id.
    pub(crate) request_hash: u64,
    /// The engine's path of a whole request, if it is one that callers may have.
    pub(crate) path: Option<&'static ApiPath>,
    pub(crate) has_images: bool,
    /// Why the job is not valid, if it is not.
    pub(crate) fault: Option<RequestError>,
    /// The hosts of its images; an empty text stands for anything but a plain web address.
    pub(crate) foreign_hosts: BTreeSet<String>,
    /// Whether it ends with the same tool round several times.
    pub(crate) is_tool_loop: bool,
}

impl ParsedJob {
    /// Parses a job. It reads the messages once, or twice when they contain tool calls.
    pub(crate) fn new(job: Job) -> Self {
        let messages = job.messages.as_deref();
        let http = job.http();
        let fingerprint = fingerprint(&job);
        let body = http.map(|http| http.body.len()).unwrap_or_default();
        Self {
            fingerprint,
            bytes: body
                + [messages, job.tools.as_deref()].into_iter().flatten().map(|raw| raw.get().len()).sum::<usize>(),
            text_bytes: messages.map(text_bytes).unwrap_or_default(),
            request_hash: hash_request(fingerprint, &job),
            path: http.and_then(|http| ApiPath::of(http.path.split('?').next().unwrap_or_default())),
            fault: http.is_none().then(|| check_request(messages, job.tools.as_deref()).err()).flatten(),
            foreign_hosts: messages.map(foreign_hosts).unwrap_or_default(),
            has_images: messages.is_some_and(has_images),
            is_tool_loop: messages.is_some_and(|messages| is_tool_loop(messages.get().as_bytes())),
            job: Arc::new(job),
        }
    }

    /// What the model must be for.
    pub(crate) fn task(&self) -> JobTask {
        self.path.map_or(JobTask::Chat, |path| path.task.into())
    }
}

/// The hash of the conversation, or of the whole request.
fn fingerprint(job: &Job) -> u64 {
    let mut hasher = DefaultHasher::new();
    job.messages.as_deref().map(RawValue::get).hash(&mut hasher);
    job.http().map(|http| (&http.method, &http.path, &http.body)).hash(&mut hasher);
    hasher.finish()
}

/// The hash of all that an engine gets. The conversation is large and already hashed.
fn hash_request(fingerprint: u64, job: &Job) -> u64 {
    let mut hasher = DefaultHasher::new();
    let tools = job.tools.as_deref().map(RawValue::get);
    let parameters = (job.temperature.map(f64::to_bits), job.max_tokens, &job.reasoning_effort);
    (fingerprint, tools, &job.model, parameters).hash(&mut hasher);
    hasher.finish()
}

/// The hosts of all URLs that are not data URLs. Anything but a plain web address becomes an empty text, which no setting
/// can allow: another parser may read such a URL differently.
fn foreign_hosts(messages: &RawValue) -> BTreeSet<String> {
    foreign_urls(messages).iter().map(|url| web_host(url).unwrap_or_default()).collect()
}

/// The host of a plain web address, in lower case.
pub(crate) fn web_host(text: &str) -> Option<String> {
    let is_plain = text.len() <= LONGEST_URL && !text.contains(['\\', '@', ' ']) && !text.contains(char::is_control);
    let url = url::Url::parse(text).ok().filter(|url| is_plain && matches!(url.scheme(), "http" | "https"))?;
    url.host_str().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_images_are_parsed_strictly() {
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
}
