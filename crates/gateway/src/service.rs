//! One request: the checks in their order, and who answers it.

use std::net::IpAddr;
use std::sync::Arc;

use auxot_fleet::JobTask;
use auxot_llama::{Api, ApiPath, Joining, Peek};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use http_body_util::Full;

use crate::api_key::UsedKey;
use crate::client::Terms;
use crate::engine_request::EngineRequest;
use crate::error_body;
use crate::failure::Failure;
use crate::form;
use crate::models;
use crate::origin::{self, preflight};
use crate::record::RequestRecord;
use crate::route::{EngineRoute, Route};
use crate::shared::Shared;

/// Who answers a request.
pub(crate) enum Handled {
    /// This program, with this.
    Text(Response<Full<Bytes>>),
    /// An engine.
    ForEngine(Box<Asked>),
}

/// A request for an engine, and how its answer is to be.
pub(crate) struct Asked {
    pub(crate) request: EngineRequest,
    /// Whether the client wants a stream of events.
    pub(crate) stream: bool,
    pub(crate) api: Api,
    pub(crate) terms: Terms,
    /// Fields of the answer that are the gateway's.
    pub(crate) fields: HeaderMap,
    pub(crate) record: RequestRecord,
}

impl Asked {
    /// The same, with or without another request behind it.
    pub(crate) fn keeping(mut self, keeps: bool) -> Self {
        self.terms.keeps = keeps;
        self
    }
}

/// Checks a request; answers it, or reads it for an engine.
pub(crate) async fn handle<B>(shared: &Arc<Shared>, from: IpAddr, request: Request<B>) -> Handled
where
    B: Body<Data = Bytes> + Unpin,
{
    let api = Api::of(request.uri().path());
    let reader = match admit(shared, &request) {
        Ok(reader) => reader,
        Err(failure) => return Handled::Text(error_body::response(api, &failure).map(Full::new)),
    };
    let mut response = match preflight(request.method(), request.headers(), reader.as_ref()) {
        Some(response) => response,
        None => match routed(shared, from, request, reader.as_ref()).await {
            Ok(Routed::Text(response)) => response,
            Ok(Routed::ForEngine(asked)) => return Handled::ForEngine(asked),
            Err((api, failure)) => error_body::response(api, &failure),
        },
    };
    origin::mark(response.headers_mut(), reader.as_ref());
    Handled::Text(response.map(Full::new))
}

/// Whether the request may use this gateway, by where it comes from; gives the page that may read the answer.
fn admit<B>(shared: &Shared, request: &Request<B>) -> Result<Option<HeaderValue>, Failure> {
    if !shared.hosts.is_allowed(request.headers(), request.uri()) {
        let host = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok());
        return Err(Failure::Host(host.unwrap_or_default().chars().take(100).collect()));
    }
    shared.origins.check(request.headers())
}

enum Routed {
    Text(Response<Bytes>),
    ForEngine(Box<Asked>),
}

async fn routed<B>(
    shared: &Arc<Shared>,
    from: IpAddr,
    request: Request<B>,
    reader: Option<&HeaderValue>,
) -> Result<Routed, (Api, Failure)>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut head, body) = request.into_parts();
    let api = Api::of(head.uri.path());
    let failed = |failure| (api, failure);
    let route = Route::of(&head.method, head.uri.path(), head.uri.query());
    let key = match shared.keys.as_ref().filter(|_| route != Route::Health) {
        Some(keys) => Some(keys.require(&head.headers, from).await.map_err(failed)?),
        None => None,
    };
    match route {
        Route::Models => Ok(json(models::list(&shared.fleet))),
        Route::Model(name) => {
            models::one(&shared.fleet, &name).map(json).map_err(|refused| failed(Failure::Refused(refused)))
        }
        Route::Health => Ok(json(Bytes::from_static(br#"{"status":"ok"}"#))),
        Route::NotFound => Err(failed(Failure::NotFound(head.uri.path().chars().take(100).collect()))),
        Route::WrongMethod(allowed) => Err(failed(Failure::WrongMethod(allowed))),
        Route::Engine(route) => {
            let (api, terms) = (route.api, terms(&head));
            let mut record = RequestRecord::new(route.path, &shared.fleet, &shared.running);
            record.trace(&mut head.headers);
            match read(shared, &route, key, head.method.clone(), head.headers, body).await {
                Ok((request, stream)) => {
                    let mut fields = HeaderMap::new();
                    origin::mark(&mut fields, reader);
                    Ok(Routed::ForEngine(Box::new(Asked { request, stream, api, terms, fields, record })))
                }
                Err(failure) => {
                    record.failed(&failure);
                    Err((api, failure))
                }
            }
        }
    }
}

fn terms(head: &Parts) -> Terms {
    let closes = head.headers.get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")))
    });
    let keeps = head.version >= Version::HTTP_11 && !closes;
    Terms { version: head.version, keeps, head_only: head.method == Method::HEAD }
}

fn json(text: Bytes) -> Routed {
    let mut response = Response::new(text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    Routed::Text(response)
}

/// Reads the body, and finds in it what must be known; the second part is whether it wants a stream.
async fn read<B>(
    shared: &Shared,
    route: &EngineRoute<'_>,
    key: Option<UsedKey>,
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
    } else if ApiPath::of(route.path).is_some_and(|path| path.is_form(&fields)) {
        model = model.or_else(|| form::field(&body.bytes, "model"));
        Peek::default()
    } else {
        Peek::into(&body.bytes).map_err(Failure::Body)?
    };
    let target = route.query.map_or_else(|| route.path.to_owned(), |query| format!("{}?{query}", route.path));
    let (task, in_body) = (route.task, peek.model);
    let has_tools = peek.tools.is_some() && task == JobTask::Chat;
    let mut request =
        EngineRequest { method, target, fields, body, model, in_body, task, has_tools, joining: None, key };
    if let Some(joining) = Joining::of(route.path, peek.whole) {
        request.ask_for_stream(joining);
    }
    Ok((request, peek.stream))
}
