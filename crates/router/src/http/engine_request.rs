//! Requests for the engine's paths: a worker passes them on to the engine of the model, and the client gets the engine's
//! answer. A worker that takes no whole requests gets a chat in the job's own fields.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use auxot_access::KeyStatus;
use auxot_llama::{Api, ApiPath, ModelName, Peek, model_of_query};
use auxot_protocol::HttpRequest;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::api_key::ClientKey;
use super::body::whole;
use super::chat::{self, ChatRequest};
use crate::answer::{EngineHead, JobAnswer};
use crate::board::Conversation;
use crate::client_job::{Beginning, ClientJob, KEEP_ALIVE};
use crate::error_body;
use crate::failure::{BadRequest, Failure};
use crate::hub::{AsChat, ChatUse, ModelPlace, RequestedJob, WholeRequest};
use crate::ids;
use crate::key_refusal::KeyRefusal;
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

/// The provider that answers.
pub(super) const PROVIDER: HeaderName = HeaderName::from_static("x-auxot-provider");

/// Serves a request for one of the engine's paths.
pub(crate) async fn serve(
    path: &'static ApiPath,
    State(shared): State<Arc<RouterState>>,
    request: Request,
) -> Response {
    let api = Api::of(path.path);
    answer(path, api, &shared, request).await.unwrap_or_else(|failure| error_body::response(api, failure))
}

async fn answer(
    path: &'static ApiPath,
    api: Api,
    shared: &Arc<RouterState>,
    request: Request,
) -> Result<Response, Failure> {
    let key =
        request.extensions().get::<ClientKey>().map(|key| key.0.clone()).ok_or(Failure::Key(KeyRefusal::Missing))?;
    let counted = shared.usage.count(&key, Instant::now()).map_err(|limit| {
        let failure = Failure::Key(KeyRefusal::Limit(limit));
        shared.hub.turned_away(&failure);
        failure
    })?;
    // The model of the target wins over that of the body.
    let of_target = request.uri().query().and_then(model_of_query).map(Cow::into_owned);
    let target = match request.uri().query() {
        Some(query) => format!("{}?{query}", path.path),
        None => path.path.to_owned(),
    };
    let method = request.method().to_string();
    let fields = request.headers().clone();
    let traceparent = fields.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (body, body_bytes) = whole(shared, request).await?;
    // A body may take minutes. Between here and its place among the jobs nothing waits.
    if shared.verifier.status(&key) == KeyStatus::Revoked {
        return Err(Failure::Key(KeyRefusal::Invalid));
    }
    let peek = if path.get && body.is_empty() { Peek::default() } else { peek(path, &fields, &body)? };
    let Peek { model, stream, conversation, .. } = peek;
    let (model, place) = name_and_place(model, path.is_form(&fields));
    let model = of_target.or(model).filter(|model| !model.trim().is_empty());
    // With a single worker there is nothing to choose.
    let messages = conversation.filter(|_| shared.hub.has_choice()).and_then(|place| body.get(place));
    let conversation = messages.map(|messages| Conversation::of(model.as_deref(), messages)).unwrap_or_default();
    let chat = as_chat(path, shared, model.as_deref(), &body)?;
    let prefix = if chat.is_some() { "chatcmpl-" } else { "req-" };
    let id: Arc<str> = ids::hex::<12>(prefix).map_err(|_| Failure::NoRandomness)?.into();
    let form = chat.as_ref().map(|chat| chat.form(&id));
    let answer = Arc::new(match &form {
        Some(form) => form.answer(stream, shared.unread.clone()),
        None => JobAnswer::engine(shared.unread.clone()),
    });
    let http = HttpRequest { method, path: target, headers: passed_on(&fields), body: body.into() };
    let job = RequestedJob {
        model,
        task: path.task,
        stream,
        conversation,
        whole: WholeRequest { http, model: place },
        chat: chat.map_or(AsChat::Unneeded, |chat| chat.into_job(traceparent)),
        key,
        counted,
        _body_bytes: body_bytes,
    };
    let mut client = ClientJob::new(shared, shared.hub.submit(id, job, answer)?, stream, api);
    let beginning = client.beginning().await?;
    let provider = client.provider();
    let mut response = match (beginning, form) {
        (Beginning::Engine(head), _) => engine_response(head, client),
        (Beginning::Chat, Some(form)) if !stream => form.whole(&client.whole().await?),
        (Beginning::Chat, _) => event_stream(None, client),
        (Beginning::Comments, _) => event_stream(Some(Bytes::from_static(KEEP_ALIVE)), client),
    };
    if let Ok(provider) = HeaderValue::from_str(&provider) {
        response.headers_mut().insert(PROVIDER, provider);
    }
    Ok(response)
}

/// The request as a chat, where a worker without the extension or a program may get it.
fn as_chat(
    path: &ApiPath,
    shared: &RouterState,
    model: Option<&str>,
    body: &[u8],
) -> Result<Option<ChatRequest>, Failure> {
    if !path.path.ends_with("/chat/completions") {
        return Ok(None);
    }
    match shared.hub.chat_use(model) {
        ChatUse::Unneeded => Ok(None),
        // What is no chat is for the engine to refuse.
        ChatUse::Programs => Ok(chat::read(body).ok()),
        ChatUse::Workers => chat::read(body).map(Some),
    }
}

/// What the router must know of a body: the model, and that an engine can safely read it.
fn peek(path: &ApiPath, fields: &HeaderMap, body: &[u8]) -> Result<Peek, Failure> {
    let kind = fields.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let peek = match path.is_form(fields) {
        true => Peek::into_form(kind, body),
        // A URL that an engine would fetch is for the worker to allow.
        false => Peek::fetching(body, &|_| true),
    };
    let peek = peek.map_err(|error| BadRequest::new(error.to_string()))?;
    if peek.has_other_models {
        // The name decides about access, and a cloud may take another one than an engine does.
        let fault = BadRequest::new("cannot choose a model: the request must have one field `model`, in small letters");
        return Err(fault.of("model").code("invalid_value").into());
    }
    Ok(peek)
}

fn name_and_place(model: Option<ModelName>, in_form: bool) -> (Option<String>, Option<ModelPlace>) {
    let Some(ModelName { name, place }) = model else { return (None, None) };
    (Some(name), Some(if in_form { ModelPlace::Form(place) } else { ModelPlace::Json(place) }))
}

fn passed_on(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |name: &HeaderName| Some((name.as_str().to_owned(), fields.get(name)?.to_str().ok()?.to_owned()));
    PASSED_ON.iter().filter_map(text).collect()
}

/// The engine's own answer.
fn engine_response(head: EngineHead, client: ClientJob) -> Response {
    let is_stream = head.is_stream();
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
            && is_passed_back(&name)
        {
            headers.append(name, value);
        }
    }
    let mut response = Response::new(Body::from_stream(or_error_event(is_stream, client)));
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}

/// A stream of events under a head of the router's own.
fn event_stream(first: Option<Bytes>, client: ClientJob) -> Response {
    let head = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = futures_util::stream::iter(first.map(Ok)).chain(or_error_event(true, client));
    (head, Body::from_stream(body)).into_response()
}

/// The answer. A broken stream of events ends with an event of the error, since many clients take a clean end for the
/// whole answer. Within an event, and in any other answer, only the end of the connection shows that something is missing.
fn or_error_event(is_stream: bool, client: ClientJob) -> impl Stream<Item = Result<Bytes, Failure>> {
    let api = client.api();
    let mut is_between_events = is_stream;
    client.map(move |part| match part {
        Err(failure) if is_between_events => Ok(error_body::event(api, &failure)),
        Ok(bytes) => {
            is_between_events = is_stream && (bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n"));
            Ok(bytes)
        }
        Err(failure) => Err(failure),
    })
}

/// Whether a field of the engine's answer is for the client: not one of a connection, and not one of another server's rules
/// for pages.
fn is_passed_back(name: &HeaderName) -> bool {
    let of_connection = [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TRAILER];
    !of_connection.contains(name) && name != "keep-alive" && !name.as_str().starts_with("access-control-")
}
