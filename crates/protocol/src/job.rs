//! Jobs of the router.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient::{is_false, null_default, text_or_none};

/// One chat, or another request of the caller: [`Job::http`]. There is no stream flag: a worker always streams.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    /// Opaque; the same id comes again when the router dispatches a job again or adds a tool round.
    pub job_id: String,
    /// The conversation as the caller wrote it: a JSON array, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Box<RawValue>>,
    /// Tool definitions as the caller wrote them: a JSON array, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Box<RawValue>>,
    /// Absent is not 0: 0 is forwarded as 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Tokens to generate at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// `none`, `low`, `medium`, `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Conversation id of a hosted router; a hint only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// The model; absent means the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Extras of a hosted router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<JobData>,
    /// Names of tools that the API caller owns; informational.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub caller_tools: Vec<String>,
    /// Further fields of the caller's request; sent only to workers with [`crate::extension::PARAMETERS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<JobRequest>,
}

impl Job {
    /// The whole request of a job that is passed on as it is.
    #[must_use]
    pub fn http(&self) -> Option<&HttpRequest> {
        self.request.as_ref()?.http.as_deref()
    }

    /// The caller's place in a trace.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        let request = self.request.as_ref()?;
        let of_http = || {
            let fields = request.http.as_ref()?.headers.iter();
            fields.filter(|(name, _)| name.eq_ignore_ascii_case("traceparent")).map(|(_, value)| value.as_str()).next()
        };
        request.traceparent.as_deref().or_else(of_http)
    }
}

/// The fields of the caller's request that a job does not have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct JobRequest {
    /// A JSON object: fields of the request's body as the caller wrote them, which are added to the engine's request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Box<RawValue>>,
    /// The caller's header of this name, of W3C's Trace Context; that of a whole request is among its fields.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text_or_none")]
    pub traceparent: Option<String>,
    /// The whole request, in place of messages, tools and parameters; sent only to workers with
    /// [`crate::extension::REQUESTS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Box<HttpRequest>>,
}

/// The caller's HTTP request. The engine gets it as it is, and the caller gets the engine's answer: [`crate::AnswerHead`],
/// [`crate::AnswerData`], [`crate::Complete::length`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// The engine's path, with the query.
    pub path: String,
    /// The fields that are for the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub headers: Vec<(String, String)>,
    /// The body: the bytes of the frame after its first line.
    #[serde(skip)]
    pub body: Bytes,
}

/// Without the body, which is a prompt, and without the values of its fields.
impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The router has received a part of an answer, and its caller has taken it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRead {
    /// The job.
    pub job_id: String,
    /// The caller has taken the bytes before this position; the worker may send [`crate::ANSWER_WINDOW`] more.
    #[serde(default)]
    pub offset: u64,
    /// The router has received the whole answer: the worker forgets the job.
    #[serde(default, skip_serializing_if = "is_false")]
    pub complete: bool,
}

/// Extras of a hosted router.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobData {
    /// The window, in tokens, to which the router cuts a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_size: Option<f64>,
}

/// The router cancels a job. An unknown id is not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The job.
    pub job_id: String,
}
