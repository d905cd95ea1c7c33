//! One request: the checks in their order, and who answers it.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use auxot_fleet::{Lease, ModelState};
use auxot_llama::{AnswerHead, Peek};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::timeout;

use crate::answer::{AnswerBody, EngineBody, Waiting};
use crate::api::Api;
use crate::api_key;
use crate::engine_request::{BegunAnswer, EngineRequest};
use crate::error_body;
use crate::failure::Failure;
use crate::form;
use crate::models;
use crate::origin::{self, preflight};
use crate::record::RequestRecord;
use crate::route::{EngineRoute, Route};
use crate::shared::Shared;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Proxies are asked not to collect the stream.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The most of an engine's refusal that becomes an event.
const REFUSAL_LIMIT: usize = 64 << 10;

/// Answers a request.
pub(crate) async fn answer<B>(shared: Arc<Shared>, from: IpAddr, request: Request<B>) -> Response<AnswerBody>
where
    B: Body<Data = Bytes> + Unpin,
{
    let api = Api::of(request.uri().path());
    let reader = match admit(&shared, &request) {
        Ok(reader) => reader,
        Err(failure) => return refusal(api, &failure),
    };
    let mut response = match preflight(request.method(), request.headers(), reader.as_ref()) {
        Some(response) => response.map(AnswerBody::text),
        None => routed(&shared, from, request).await.unwrap_or_else(|(api, failure)| refusal(api, &failure)),
    };
    origin::mark(response.headers_mut(), reader);
    response
}

fn refusal(api: Api, failure: &Failure) -> Response<AnswerBody> {
    error_body::response(api, failure).map(AnswerBody::text)
}

/// Whether the request may use this gateway, by where it comes from; gives the page that may read the answer.
fn admit<B>(shared: &Shared, request: &Request<B>) -> Result<Option<HeaderValue>, Failure> {
    if !shared.hosts.is_allowed(request.headers(), request.uri()) {
        let host = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok());
        return Err(Failure::Host(host.unwrap_or_default().chars().take(100).collect()));
    }
    shared.origins.check(request.headers())
}

async fn routed<B>(
    shared: &Arc<Shared>,
    from: IpAddr,
    request: Request<B>,
) -> Result<Response<AnswerBody>, (Api, Failure)>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, body) = request.into_parts();
    let api = Api::of(head.uri.path());
    let failed = |failure| (api, failure);
    let route = Route::of(&head.method, head.uri.path(), head.uri.query());
    if let Some(keys) = shared.keys.as_ref().filter(|_| route != Route::Health) {
        api_key::require(keys, &head.headers, from).await.map_err(failed)?;
    }
    match route {
        Route::Models => Ok(json(models::list(&shared.fleet))),
        Route::Model(name) => {
            models::one(&shared.fleet, &name).map(json).map_err(|refused| failed(Failure::Refused(refused)))
        }
        Route::Health => Ok(json(Bytes::from_static(br#"{"status":"ok"}"#))),
        Route::NotFound => Err(failed(Failure::NotFound(head.uri.path().chars().take(100).collect()))),
        Route::WrongMethod(allowed) => Err(failed(Failure::WrongMethod(allowed))),
        Route::Engine(route) => {
            let api = route.api;
            let mut record = RequestRecord::new(route.path, &shared.fleet, &shared.running);
            let read = read(shared, &route, head.method.clone(), head.headers, body).await;
            let answered = match read {
                Ok((request, stream)) => begin(shared, request, stream, &mut record).await,
                Err(failure) => Err(failure),
            };
            match answered {
                Ok(Begun::Answer(begun)) => Ok(response(shared, api, *begun, record)),
                Ok(Begun::Waits(queued, progress)) => Ok(early(shared, api, queued, progress, record)),
                Err(failure) => {
                    record.failed(&failure);
                    Err((api, failure))
                }
            }
        }
    }
}

fn json(text: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::text(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// Reads the body, and finds in it what must be known; the second part is whether it wants a stream.
async fn read<B>(
    shared: &Shared,
    route: &EngineRoute<'_>,
    method: Method,
    fields: HeaderMap,
    body: B,
) -> Result<(EngineRequest, bool), Failure>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = shared.bodies.read(&fields, body).await?;
    let mut model = route.model.as_deref().map(str::to_owned);
    let peek = if method != Method::POST {
        Peek::default()
    } else if form::is_form(&fields) {
        model = model.or_else(|| form::field(&body.bytes, "model"));
        Peek::default()
    } else {
        Peek::into(&body.bytes).map_err(Failure::Body)?
    };
    let target = route.query.map_or_else(|| route.path.to_owned(), |query| format!("{}?{query}", route.path));
    let (task, in_body) = (route.task, peek.model);
    Ok((EngineRequest { method, target, fields, body, model, in_body, task }, peek.stream))
}

/// A request that waits for its slot.
type Queued = Pin<Box<dyn Future<Output = Result<(EngineRequest, Lease), Failure>> + Send>>;

/// How far a request has come.
enum Begun {
    Answer(Box<BegunAnswer>),
    /// Its slot takes time, and its client wants a stream.
    Waits(Queued, ProgressText),
}

/// Says in a few words how far a model is.
type ProgressText = Box<dyn Fn() -> String + Send>;

async fn begin(
    shared: &Arc<Shared>,
    request: EngineRequest,
    stream: bool,
    record: &mut RequestRecord,
) -> Result<Begun, Failure> {
    let progress = stream.then(|| progress_text(shared, &request));
    let mut queued: Queued = Box::pin({
        let shared = Arc::clone(shared);
        async move { request.lease(&shared).await.map(|lease| (request, lease)) }
    });
    let (request, lease) = match progress {
        None => queued.await?,
        Some(progress) => match timeout(shared.config.early_head, &mut queued).await {
            Ok(leased) => leased?,
            Err(_) => return Ok(Begun::Waits(queued, progress)),
        },
    };
    record.leased(lease.model());
    request.begin(shared, lease).await.map(Begun::Answer)
}

fn progress_text(shared: &Shared, request: &EngineRequest) -> ProgressText {
    let (fleet, task) = (shared.fleet.clone(), request.task);
    let wanted = request.wanted_model().map(str::to_owned);
    Box::new(move || match fleet.view(wanted.as_deref(), task) {
        None => "waiting".to_owned(),
        Some(view) => match (&view.state, view.load_progress()) {
            (ModelState::Ready(_), _) => format!("{} is busy: {} wait", view.model.name, view.waiting),
            (state, Some(part)) => format!("{} is {}: {:.0} %", view.model.name, state.name(), 100.0 * part),
            (state, None) => format!("{} is {}", view.model.name, state.name()),
        },
    })
}

/// The engine's answer.
fn response(shared: &Shared, api: Api, begun: BegunAnswer, record: RequestRecord) -> Response<AnswerBody> {
    let BegunAnswer { head, running } = begun;
    let events = is_events(&head).then_some(api);
    let body = EngineBody::new(running, events, shared.config.write_timeout, record);
    let mut response = Response::new(AnswerBody::Engine(Box::new(body)));
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = head.fields;
    response
}

fn is_events(head: &AnswerHead) -> bool {
    let kind = head.fields.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    head.status == 200 && kind.starts_with(b"text/event-stream")
}

/// The head of a stream before there is a slot, so that no client gives up while a model loads.
fn early(
    shared: &Arc<Shared>,
    api: Api,
    queued: Queued,
    progress: ProgressText,
    mut record: RequestRecord,
) -> Response<AnswerBody> {
    let shared = Arc::clone(shared);
    let opening = async move {
        let begun = async {
            let (request, lease) = queued.await?;
            record.leased(lease.model());
            request.begin(&shared, lease).await
        };
        match begun.await {
            Ok(begun) if is_events(&begun.head) => {
                Ok(EngineBody::new(begun.running, Some(api), shared.config.write_timeout, record))
            }
            Ok(begun) => {
                let status = begun.head.status;
                let text = begun.running.text(REFUSAL_LIMIT).await;
                record.ended("engine_refused");
                Err(error_body::engine_event(api, status, &text))
            }
            Err(failure) => {
                record.failed(&failure);
                Err(error_body::event(api, &failure))
            }
        }
    };
    let waiting = Waiting::new(Box::pin(opening), progress);
    let mut response = Response::new(AnswerBody::Waiting(Box::new(waiting)));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, EVENT_STREAM);
    fields.insert(CACHE_CONTROL, NO_CACHE);
    fields.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
