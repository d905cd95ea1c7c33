//! The messages by their `type`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::answer::{split, with_payload};
use crate::lenient::Fields;
use crate::salvage::salvage;
use crate::{
    AnswerHead, AnswerRead, Cancel, Capabilities, Complete, Heartbeat, Job, JobError, Policy, PromptProgress, Token,
};

/// The first message of a worker.
///
/// No `Debug`: a derived one would print the key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The worker key in clear text; no other message has it.
    #[serde(default)]
    pub gpu_key: String,
    /// Absent or `gpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_type: Option<String>,
    /// The present capabilities.
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// The router's answer to [`Hello`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HelloAck {
    /// Whether the worker is accepted.
    pub success: bool,
    /// Id of this connection; a new connection gets a new id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_id: Option<String>,
    /// The policy; present on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<Policy>>,
    /// The reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Seconds to wait before the next attempt; absent on failure means that the key is refused.
    #[serde(rename = "reconnectInSeconds", skip_serializing_if = "Option::is_none")]
    pub reconnect_in_seconds: Option<u64>,
    /// The extensions of the protocol that the router has; see [`crate::extension`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Fields that were left out because they cannot be used, one sentence each.
    #[serde(skip)]
    pub dropped: Vec<String>,
}

impl<'de> Deserialize<'de> for HelloAck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            success: fields.take("success").unwrap_or_default(),
            gpu_id: fields.take("gpu_id"),
            policy: fields.take("policy"),
            error: fields.take("error"),
            reconnect_in_seconds: fields.number("reconnectInSeconds"),
            extensions: fields.take("extensions").unwrap_or_default(),
            dropped: fields.dropped,
        })
    }
}

/// The router's answer to `config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigAck {
    /// Whether the capabilities are accepted.
    #[serde(default)]
    pub success: bool,
    /// The reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A message of a worker.
#[derive(Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToRouter<'a> {
    /// The first message.
    Hello(Box<Hello>),
    /// The capabilities again.
    Config {
        /// The present capabilities.
        capabilities: Box<Capabilities>,
    },
    /// The worker is alive.
    Heartbeat(Box<Heartbeat>),
    /// Text of the answer.
    Token(Token<'a>),
    /// The model writes a tool call; sent once per job.
    ToolGenerating {
        /// The job.
        job_id: Cow<'a, str>,
    },
    /// The progress of the prompt.
    PromptProgress(PromptProgress<'a>),
    /// The engine works on its answer, and nothing of it has come yet.
    AnswerPending {
        /// The job.
        job_id: Cow<'a, str>,
    },
    /// The head of the engine's own answer.
    AnswerHead(AnswerHead<'a>),
    /// The end of a job, with its answer.
    Complete(Box<Complete<'a>>),
    /// The end of a job, with an error.
    Error(JobError<'a>),
    /// An unknown message: its type, for the log.
    #[serde(skip)]
    Unknown(String),
}

/// A message of a router.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// Answer to `hello`.
    HelloAck(HelloAck),
    /// Answer to `config`.
    ConfigAck(ConfigAck),
    /// Answer to `heartbeat`.
    HeartbeatAck,
    /// A job.
    Job(Box<Job>),
    /// The cancel of a job.
    Cancel(Cancel),
    /// A part of an answer was taken.
    AnswerRead(AnswerRead),
    /// The policy has changed.
    PolicyUpdate {
        /// The new policy; `null` is ignored.
        policy: Option<Box<Policy>>,
    },
    /// A fault of the connection, or a refused key before `hello_ack`.
    Error(JobError<'static>),
    /// An unknown message: its type, for the log.
    #[serde(skip)]
    Unknown(String),
}

/// A frame that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Its `type`, if it can be found.
    pub kind: Option<String>,
    /// Its job id, if it can be found: the job must still be answered.
    pub job_id: Option<String>,
    /// The fault, without the frame's text.
    pub reason: String,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Some(kind) => {
                let kind: String = kind.chars().take(40).flat_map(char::escape_debug).collect();
                write!(f, "cannot read a `{kind}` message: {}", self.reason)
            }
            None => write!(f, "cannot read a message: {}", self.reason),
        }
    }
}

impl std::error::Error for ParseError {}

impl ParseError {
    /// The fault of a frame that is not text or not complete; its type and job id are searched in its bytes.
    #[must_use]
    pub fn of_bytes(frame: &[u8], reason: String) -> Self {
        let found = salvage(frame);
        Self { kind: found.kind, job_id: found.job_id, reason }
    }
}

/// The part of a frame that names its type.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
}

impl ToWorker {
    /// Parses one frame of a router.
    ///
    /// # Errors
    /// When it is not a JSON object, has no `type`, or a required field has another type.
    pub fn parse(frame: &str) -> Result<Self, ParseError> {
        let kind = kind_of(frame)?;
        Ok(match &*kind {
            "hello_ack" => Self::HelloAck(body(&kind, frame)?),
            "config_ack" => Self::ConfigAck(body(&kind, frame)?),
            "heartbeat_ack" => whole_kind(frame).map(|_| Self::HeartbeatAck)?,
            "job" => Self::Job(Box::new(body(&kind, frame)?)),
            "cancel" => Self::Cancel(body(&kind, frame)?),
            "answer_read" => Self::AnswerRead(body(&kind, frame)?),
            "policy_update" => {
                let update: PolicyUpdate = body(&kind, frame)?;
                Self::PolicyUpdate { policy: update.policy.map(Box::new) }
            }
            "error" => Self::Error(body(&kind, frame)?),
            _ => Self::Unknown(whole_kind(frame)?.into_owned()),
        })
    }

    /// Parses one frame of a router that may have a payload behind its first line.
    ///
    /// # Errors
    /// As for [`ToWorker::parse`], and when the frame is not UTF-8.
    pub fn parse_bytes(frame: &Bytes) -> Result<Self, ParseError> {
        let (line, payload) = split(frame).map_or((&frame[..], None), |(line, payload)| (line, Some(payload)));
        let text =
            |bytes| std::str::from_utf8(bytes).map_err(|_| ParseError::of_bytes(frame, "it is not UTF-8".to_owned()));
        let head = text(line).and_then(Self::parse);
        match (head, payload) {
            (Ok(Self::Job(mut job)), Some(payload)) if job.http().is_some() => {
                if let Some(http) = job.request.as_mut().and_then(|request| request.http.as_mut()) {
                    http.body = frame.slice(payload..);
                }
                Ok(Self::Job(job))
            }
            (head, None) => head,
            // A message without a payload may be followed by anything that is white space.
            (_, Some(_)) => text(frame).and_then(Self::parse),
        }
    }

    /// The frame's text.
    #[must_use]
    pub fn to_frame(&self) -> String {
        encode(self)
    }

    /// The frame of a message with a payload; `None` for one without.
    #[must_use]
    pub fn to_payload_frame(&self) -> Option<Vec<u8>> {
        match self {
            Self::Job(job) => job.http().map(|http| with_payload(self, &http.body)),
            _ => None,
        }
    }
}

impl ToRouter<'_> {
    /// The frame's text.
    #[must_use]
    pub fn to_frame(&self) -> String {
        encode(self)
    }
}

impl ToRouter<'static> {
    /// Parses one frame of a worker.
    ///
    /// # Errors
    /// As for [`ToWorker::parse`].
    pub fn parse(frame: &str) -> Result<Self, ParseError> {
        let kind = kind_of(frame)?;
        Ok(match &*kind {
            "hello" => Self::Hello(Box::new(body(&kind, frame)?)),
            "config" => {
                let config: Config = body(&kind, frame)?;
                Self::Config { capabilities: Box::new(config.capabilities) }
            }
            "heartbeat" => Self::Heartbeat(Box::new(body(&kind, frame)?)),
            "token" => Self::Token(body(&kind, frame)?),
            "tool_generating" => {
                let cancel: Cancel = body(&kind, frame)?;
                Self::ToolGenerating { job_id: Cow::Owned(cancel.job_id) }
            }
            "prompt_progress" => Self::PromptProgress(body(&kind, frame)?),
            "answer_pending" => {
                let cancel: Cancel = body(&kind, frame)?;
                Self::AnswerPending { job_id: Cow::Owned(cancel.job_id) }
            }
            "answer_head" => Self::AnswerHead(body(&kind, frame)?),
            "complete" => Self::Complete(Box::new(body(&kind, frame)?)),
            "error" => Self::Error(body(&kind, frame)?),
            _ => Self::Unknown(whole_kind(frame)?.into_owned()),
        })
    }
}

#[derive(Deserialize)]
struct PolicyUpdate {
    #[serde(default)]
    policy: Option<Policy>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    capabilities: Capabilities,
}

/// Serialising these types into memory cannot fail: all map keys are strings.
fn encode<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

/// The type of a message. Where it is the first field, as routers and workers write it, nothing else is read here: the caller
/// reads the whole frame by [`body`] or [`whole_kind`].
fn kind_of(frame: &str) -> Result<Cow<'_, str>, ParseError> {
    let first = frame.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split_once('"'));
    match first {
        Some((kind, _)) if kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
            Ok(Cow::Borrowed(kind))
        }
        _ => whole_kind(frame),
    }
}

/// The type of a message that is JSON from its beginning to its end.
fn whole_kind(frame: &str) -> Result<Cow<'_, str>, ParseError> {
    let fault = |reason: String| ParseError::of_bytes(frame.as_bytes(), reason);
    let envelope: Envelope = serde_json::from_str(frame).map_err(|error| fault(place(&error)))?;
    envelope.kind.ok_or_else(|| fault("it has no `type`".to_owned()))
}

fn body<T: DeserializeOwned>(kind: &str, frame: &str) -> Result<T, ParseError> {
    serde_json::from_str(frame).map_err(|error| ParseError {
        kind: Some(kind.to_owned()),
        job_id: salvage(frame.as_bytes()).job_id,
        reason: place(&error),
    })
}

/// The position and class of a fault, without the value that serde quotes: prompts must not be logged.
fn place(error: &serde_json::Error) -> String {
    let class = match error.classify() {
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Eof => "cut short",
        _ => "a field has the wrong type",
    };
    format!("{class} at line {} column {}", error.line(), error.column())
}
