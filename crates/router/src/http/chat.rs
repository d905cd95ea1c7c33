//! `POST /chat/completions`: a request becomes a job, and its answer a stream or one object.

use std::borrow::Cow;
use std::sync::Arc;

use auxot_protocol::Job;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::value::RawValue;

use super::shapes::{ChatRequest, Choice, Completion, Message, Usage, finish_reason};
use crate::answer::{Answer, Whole};
use crate::chunks::Chunks;
use crate::failure::Failure;
use crate::hub::Request;
use crate::ids;
use crate::server::Shared;
use crate::ticket::Ticket;

/// What the answer calls the model when the request named none and no worker is there to ask.
const ANY_MODEL: &str = "default";

pub(crate) async fn completions(
    State(shared): State<Shared>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge(shared.config.max_message),
        _ => Failure::BadRequest(format!("cannot read the request: {rejection}")),
    })?;
    let request = read(&body)?;
    drop(body);
    let stream = request.stream.unwrap_or(false);
    let usage = request.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false);
    let wanted = request.model.clone().filter(|model| !model.trim().is_empty());
    let shown = wanted.clone().or_else(|| shared.hub.models().into_iter().next());
    let model = shown.unwrap_or_else(|| ANY_MODEL.to_owned());
    let created = crate::server::now();
    let id = ids::hex::<12>("chatcmpl-").map_err(|_| Failure::NoRandomness)?;

    let answer = Arc::new(if stream {
        let compares = !shared.config.behaviour.is_upstream();
        Answer::stream(Chunks::new(&id, created, &model, usage), compares, shared.config.max_unread)
    } else {
        Answer::whole(shared.config.max_unread)
    });
    let id: Arc<str> = id.into();
    let request = Request { job: job(request, wanted), stream };
    shared.hub.submit(&id, request, answer.clone())?;
    let (limit, keep_alive) = (shared.config.job_timeout, shared.config.keep_alive);
    let ticket = Ticket::new(shared.hub.clone(), id.clone(), answer, limit, keep_alive);
    if stream { streamed(ticket).await } else { Ok(whole(&id, created, &model, &ticket.whole().await?)) }
}

/// Reads and checks a request.
fn read(body: &[u8]) -> Result<ChatRequest, Failure> {
    let bad = |reason: &str| Err(Failure::BadRequest(reason.to_owned()));
    let request: ChatRequest = serde_json::from_slice(body)
        .map_err(|error| Failure::BadRequest(format!("cannot read the request: {}", place(&error))))?;
    if request.messages.as_ref().is_none_or(|messages| !is_filled_list(messages)) {
        return bad("`messages` must be a list with at least one message");
    }
    if request.n.is_some_and(|n| n != 1) {
        return bad("`n` must be 1: a job has one answer");
    }
    Ok(request)
}

/// Where and of what kind a fault is, without serde's quotation of the value: it may be a prompt.
fn place(error: &serde_json::Error) -> String {
    let kind = if error.is_data() { "a field has the wrong type" } else { "not JSON" };
    format!("{kind} at line {} column {}", error.line(), error.column())
}

/// Whether a JSON text is a list of one thing or more.
fn is_filled_list(json: &RawValue) -> bool {
    let inside = json.get().strip_prefix('[');
    inside.is_some_and(|inside| !inside.trim_start().starts_with(']'))
}

/// The part of a request that has words on the wire to a worker.
fn job(request: ChatRequest, model: Option<String>) -> Job {
    let chosen = request.tool_choice.as_deref().map(RawValue::get);
    // A worker knows no `tool_choice`; "none" can be honoured by not showing the tools.
    let tools = request.tools.filter(|tools| chosen != Some("\"none\"") && is_filled_list(tools));
    if tools.is_some() && chosen.is_some_and(|chosen| chosen.starts_with('{') || chosen == "\"required\"") {
        tracing::debug!("a forced tool_choice has no word on the wire and is not passed on");
    }
    Job {
        job_id: String::new(),
        messages: request.messages,
        tools,
        temperature: request.temperature,
        max_tokens: request.max_completion_tokens.or(request.max_tokens),
        reasoning_effort: request.reasoning_effort,
        reference_id: None,
        model,
        data: None,
        caller_tools: Vec::new(),
        request: None,
    }
}

async fn streamed(mut ticket: Ticket) -> Result<Response, Failure> {
    let first = ticket.first().await?;
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let rest = futures_util::stream::iter(first.map(Ok)).chain(ticket);
    Ok((head, Body::from_stream(rest)).into_response())
}

fn whole(id: &str, created: u64, model: &str, whole: &Whole) -> Response {
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
        model,
        choices: [Choice { index: 0, message, finish_reason: Cow::Borrowed(finish_reason(&whole.complete)) }],
        usage: Usage::of(&whole.complete),
    })
    .into_response()
}
