//! Requests that are not chats: a worker passes them on to the engine of the model, and the client gets the engine's answer.

use std::sync::Arc;

use auxot_llama::{ApiPath, Peek};
use auxot_protocol::{HttpRequest, Job, JobRequest};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;

use super::api_key::Key;
use super::body::whole;
use crate::answer::{EngineHead, JobAnswer};
use crate::client_job::ClientJob;
use crate::failure::{BadRequest, Failure};
use crate::hub::{Needs, RequestedJob};
use crate::ids;
use crate::shared::RouterState;

/// Fields of a request that the engine gets.
static PASSED_ON: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::ACCEPT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
];

/// The API whose clients use a path, for the form of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    OpenAi,
    Anthropic,
}

pub(crate) async fn pass_on(
    path: &'static ApiPath,
    State(shared): State<Arc<RouterState>>,
    request: Request,
) -> Response {
    let api = if path.path.starts_with("/v1/messages") { Api::Anthropic } else { Api::OpenAi };
    match answer(path, api, &shared, request).await {
        Ok(response) => response,
        Err(failure) if api == Api::Anthropic => failure.into_anthropic_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn answer(
    path: &'static ApiPath,
    api: Api,
    shared: &Arc<RouterState>,
    request: Request,
) -> Result<Response, Failure> {
    let key = request.extensions().get::<Key>().map(|key| key.0.clone()).ok_or(Failure::NoKey)?;
    let target = match request.uri().query() {
        Some(query) => format!("{}?{query}", path.path),
        None => path.path.to_owned(),
    };
    let method = request.method().to_string();
    let fields = request.headers().clone();
    let (body, body_bytes) = whole(shared, request).await?;
    let peek = peek(&fields, &body)?;
    let (model, place) = peek.model.map_or((None, None), |model| (Some(model.name), Some(model.place)));
    let http = HttpRequest { method, path: target, headers: passed_on(&fields), body: body.into() };
    let job = Job {
        job_id: String::new(),
        messages: None,
        tools: None,
        temperature: None,
        max_tokens: None,
        reasoning_effort: None,
        reference_id: None,
        model,
        data: None,
        caller_tools: Vec::new(),
        request: Some(JobRequest { http: Some(Box::new(http)), ..JobRequest::default() }),
    };
    let id: Arc<str> = ids::hex::<12>("req-").map_err(|_| Failure::NoRandomness)?.into();
    let answer = Arc::new(JobAnswer::engine(shared.unread.clone()));
    let needs = Needs::Request { path: path.path.to_owned(), model: place };
    let job = RequestedJob { job, task: path.task, stream: peek.stream, needs, key, _body_bytes: body_bytes };
    shared.hub.submit(&id, job, answer.clone())?;
    let (limit, keep_alive) = (shared.config.job_timeout, shared.config.keep_alive);
    let mut ticket = ClientJob::new(shared.hub.clone(), id, answer, limit, keep_alive);
    let head = ticket.head().await?;
    Ok(response(head, api, ticket))
}

/// What the router must know of a body: the model, and that an engine can safely read it.
fn peek(fields: &HeaderMap, body: &[u8]) -> Result<Peek, Failure> {
    let kind = fields.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.is_empty() && !kind.starts_with(b"application/json") {
        // A form with a recording: the primary model gets it.
        return Ok(Peek::default());
    }
    Peek::into(body).map_err(|error| BadRequest::new(error.to_string()).into())
}

fn passed_on(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |name: &HeaderName| Some((name.as_str().to_owned(), fields.get(name)?.to_str().ok()?.to_owned()));
    PASSED_ON.iter().filter_map(text).collect()
}

fn response(head: EngineHead, api: Api, ticket: ClientJob) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
            && is_passed_back(&name)
        {
            headers.append(name, value);
        }
    }
    let is_stream =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    // A broken stream of events ends with an event of the error, since many clients take a clean end for the whole answer.
    // Within an event, and in any other answer, only the end of the connection shows that something is missing.
    let mut is_between_events = is_stream;
    let body = ticket.map(move |part| match part {
        Err(failure) if is_between_events => Ok(error_event(api, &failure)),
        Ok(bytes) => {
            is_between_events = is_stream && bytes.ends_with(b"\n\n");
            Ok(bytes)
        }
        Err(failure) => Err(failure),
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}

/// Whether a field of the engine's answer is for the client: not one of a connection, and not one of another server's rules
/// for pages.
fn is_passed_back(name: &HeaderName) -> bool {
    let of_connection = [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TRAILER];
    !of_connection.contains(name) && name != "keep-alive" && !name.as_str().starts_with("access-control-")
}

fn error_event(api: Api, failure: &Failure) -> Bytes {
    match api {
        Api::OpenAi => format!("data: {}\n\n", serde_json::json!(failure.body())).into(),
        Api::Anthropic => format!("event: error\ndata: {}\n\n", failure.anthropic_body()).into(),
    }
}
