//! `POST /chat/completions`: a request becomes a job, and its answer a stream or one object.

use std::borrow::Cow;
use std::sync::Arc;

use auxot_protocol::{Job, JobRequest};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::gate::Key;
use super::request::{ChatRequest, read};
use crate::answer::{Answer, Whole};
use crate::chunks::Chunks;
use crate::failure::Failure;
use crate::hub::Request;
use crate::ids;
use crate::openai::{Choice, Completion, Message, Usage, finish_reason};
use crate::shared::{Shared, now};
use crate::ticket::Ticket;

/// What the answer calls the model when the request named none and no worker has it yet.
const ANY_MODEL: &str = "default";

pub(crate) async fn completions(
    State(shared): State<Shared>,
    request: axum::extract::Request,
) -> Result<Response, Failure> {
    let key = request.extensions().get::<Key>().map(|key| key.0.clone()).ok_or(Failure::NoKey)?;
    let (body, room) = super::body::whole(&shared, request).await?;
    let request = read(&body)?;
    drop(body);
    let (stream, usage) = (request.stream, request.include_usage);
    let model = request.model.clone().unwrap_or_else(|| ANY_MODEL.to_owned());
    let created = now();
    let id = ids::hex::<12>("chatcmpl-").map_err(|_| Failure::NoRandomness)?;

    let answer = Arc::new(if stream {
        Answer::stream(Chunks::new(&id, created, &model, usage), shared.unread.clone())
    } else {
        Answer::whole(shared.unread.clone())
    });
    let id: Arc<str> = id.into();
    let contract = request.contract.clone();
    let request = Request { job: job(request), stream, contract, key, _room: room };
    shared.hub.submit(&id, request, answer.clone())?;
    let (limit, keep_alive) = (shared.config.job_timeout, shared.config.keep_alive);
    let ticket = Ticket::new(shared.hub.clone(), id.clone(), answer, limit, keep_alive);
    if stream { streamed(ticket).await } else { Ok(whole(&id, created, &model, &ticket.whole().await?)) }
}

/// The request as workers read it.
fn job(request: ChatRequest) -> Job {
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
        request: request.parameters.map(|parameters| JobRequest { parameters: Some(parameters) }),
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

fn whole(id: &str, created: u64, asked: &str, whole: &Whole) -> Response {
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
        model: whole.model.as_deref().unwrap_or(asked),
        choices: [Choice {
            index: 0,
            message,
            logprobs: whole.complete.logprobs.as_ref(),
            finish_reason: Cow::Borrowed(finish_reason(&whole.complete)),
        }],
        usage: Usage::of(&whole.complete),
    })
    .into_response()
}
