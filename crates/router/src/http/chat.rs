//! `POST /chat/completions`: a request becomes a job; its answer is a stream or one object.

use std::borrow::Cow;
use std::sync::Arc;

use auxot_llama::PathTask;
use auxot_protocol::{Job, JobRequest};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::api_key::Key;
use super::request::{ParsedRequest, read};
use crate::answer::{JobAnswer, WholeAnswer};
use crate::chunks::Chunks;
use crate::client_job::ClientJob;
use crate::failure::Failure;
use crate::hub::{Needs, RequestedJob};
use crate::ids;
use crate::openai::{Choice, Completion, Message, TokenUsage, finish_reason};
use crate::shared::{RouterState, now};

/// Name of the model in the answer when the request names none and no worker has reported one.
const ANY_MODEL: &str = "default";

pub(crate) async fn completions(
    State(shared): State<Arc<RouterState>>,
    request: axum::extract::Request,
) -> Result<Response, Failure> {
    let key = request.extensions().get::<Key>().map(|key| key.0.clone()).ok_or(Failure::NoKey)?;
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (body, body_bytes) = super::body::whole(&shared, request).await?;
    let request = read(&body)?;
    drop(body);
    let (stream, usage) = (request.stream, request.include_usage);
    let model = request.model.clone().unwrap_or_else(|| ANY_MODEL.to_owned());
    let created = now();
    let id = ids::hex::<12>("chatcmpl-").map_err(|_| Failure::NoRandomness)?;

    let answer = Arc::new(if stream {
        JobAnswer::stream(Chunks::new(&id, created, &model, usage), shared.unread.clone())
    } else {
        JobAnswer::whole(shared.unread.clone())
    });
    let id: Arc<str> = id.into();
    let needs = request.required_parameter.clone().map_or(Needs::Nothing, Needs::Parameter);
    let (job, task) = (wire_job(request, traceparent), PathTask::Chat);
    let job = RequestedJob { job, task, stream, needs, key, _body_bytes: body_bytes };
    shared.hub.submit(&id, job, answer.clone())?;
    let (limit, keep_alive) = (shared.config.job_timeout, shared.config.keep_alive);
    let ticket = ClientJob::new(shared.hub.clone(), id.clone(), answer, limit, keep_alive);
    if stream { streamed(ticket).await } else { Ok(whole(&id, created, &model, &ticket.whole().await?)) }
}

/// The request as workers read it.
fn wire_job(request: ParsedRequest, traceparent: Option<String>) -> Job {
    let parameters = request.parameters;
    let further = JobRequest { parameters, traceparent, http: None };
    Job {
        job_id: String::new(),
        messages: request.messages,
        tools: request.tools,
        temperature: request.temperature,
        max_tokens: request.max_tokens,
        reasoning_effort: request.reasoning_effort,
        reference_id: None,
        model: request.model,
        data: None,
        caller_tools: Vec::new(),
        request: (further.parameters.is_some() || further.traceparent.is_some()).then_some(further),
    }
}

async fn streamed(mut ticket: ClientJob) -> Result<Response, Failure> {
    let first = ticket.first().await?;
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let rest = futures_util::stream::iter(first.map(Ok)).chain(ticket);
    Ok((head, Body::from_stream(rest)).into_response())
}

fn whole(id: &str, created: u64, requested: &str, whole: &WholeAnswer) -> Response {
    let calls = &whole.complete.tool_calls;
    let message = Message {
        role: "assistant",
        content: (calls.is_empty() || !whole.answer.is_empty()).then_some(whole.answer.as_str()),
        reasoning_content: (!whole.reasoning.is_empty()).then_some(whole.reasoning.as_str()),
        tool_calls: calls,
    };
    Json(Completion {
        id,
        object: "chat.completion",
        created,
        model: whole.model.as_deref().unwrap_or(requested),
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
