//! A chat for workers that take no whole requests: the request in the job's own fields, and the answer from their messages.

use std::borrow::Cow;

use auxot_protocol::{Job, JobRequest};
use axum::Json;
use axum::response::{IntoResponse, Response};

use super::request::{self, ParsedRequest};
use crate::answer::{JobAnswer, UnreadLimits, WholeAnswer};
use crate::chunks::Chunks;
use crate::failure::Failure;
use crate::hub::{AsChat, ChatJob};
use crate::openai::{Choice, Completion, Message, TokenUsage, finish_reason};
use crate::unix_time::now;

/// Name of the model in the answer when the request names none and no worker has reported one.
const ANY_MODEL: &str = "default";

/// A chat request, checked.
#[derive(Debug)]
pub(super) struct ChatRequest(ParsedRequest);

/// Reads a request as a chat.
///
/// # Errors
/// When it is not valid.
pub(super) fn read(body: &[u8]) -> Result<ChatRequest, Failure> {
    request::read(body).map(ChatRequest)
}

impl ChatRequest {
    /// The form of its answer.
    pub(super) fn form(&self, id: &str) -> ChatForm {
        ChatForm {
            id: id.to_owned(),
            created: now(),
            model: self.0.model.clone().unwrap_or_else(|| ANY_MODEL.to_owned()),
            include_usage: self.0.include_usage,
        }
    }

    /// The request as workers read it.
    pub(super) fn into_job(self, traceparent: Option<String>) -> AsChat {
        let request = self.0;
        if let Some(unsupported) = request.unsupported {
            return AsChat::Impossible(unsupported.into());
        }
        let further = JobRequest { parameters: request.parameters, traceparent, http: None };
        let job = Job {
            messages: request.messages,
            tools: request.tools,
            temperature: request.temperature,
            max_tokens: request.max_tokens,
            reasoning_effort: request.reasoning_effort,
            request: (further.parameters.is_some() || further.traceparent.is_some()).then_some(further),
            ..Job::default()
        };
        AsChat::Job(ChatJob { job, required_parameter: request.required_parameter })
    }
}

/// The form of the answer to a chat.
#[derive(Debug)]
pub(super) struct ChatForm {
    id: String,
    created: u64,
    /// The model as the client names it.
    model: String,
    include_usage: bool,
}

impl ChatForm {
    /// The empty answer.
    pub(super) fn answer(&self, stream: bool, unread: UnreadLimits) -> JobAnswer {
        match stream {
            true => JobAnswer::stream(Chunks::new(&self.id, self.created, &self.model, self.include_usage), unread),
            false => JobAnswer::whole(unread),
        }
    }

    /// The response to a client that does not stream.
    pub(super) fn whole(&self, whole: &WholeAnswer) -> Response {
        let calls = &whole.complete.tool_calls;
        let message = Message {
            role: "assistant",
            content: (calls.is_empty() || !whole.answer.is_empty()).then_some(whole.answer.as_str()),
            reasoning_content: (!whole.reasoning.is_empty()).then_some(whole.reasoning.as_str()),
            tool_calls: calls,
        };
        Json(Completion {
            id: &self.id,
            object: "chat.completion",
            created: self.created,
            model: whole.model.as_deref().unwrap_or(&self.model),
            choices: [Choice {
                index: 0,
                message,
                logprobs: whole.complete.logprobs.as_ref(),
                finish_reason: Cow::Borrowed(finish_reason(&whole.complete)),
            }],
            usage: TokenUsage::of(&whole.complete),
        })
        .into_response()
    }
}
