//! Who is let in: the host name, the session or token, and the proof that a request that changes something is from the page.

use std::sync::Arc;
use std::time::Instant;

use auxot_access::AllowedHosts;
use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::sessions::{Secret, Sessions, is_same};
use crate::failed::Failed;
use crate::program_names::ProgramNames;

/// The header with the token of the session.
const CSRF: &str = "x-csrf-token";
/// Nothing is loaded from elsewhere, nothing is inline, and no other page frames this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What decides who is let in.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    names: &'static ProgramNames,
    sessions: Arc<Sessions>,
    hosts: AllowedHosts,
    /// The name of the cookie: browsers share cookies over the ports of a host.
    cookie: Arc<str>,
}

impl Gate {
    pub(crate) fn new(names: &'static ProgramNames, sessions: Arc<Sessions>, hosts: AllowedHosts, port: u16) -> Self {
        Self { names, sessions, hosts, cookie: format!("auxot_{port}").into() }
    }

    /// The session of a request, by its token against forged requests.
    fn session(&self, headers: &HeaderMap) -> Option<Secret> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut cookies =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let (_, value) = cookies.find(|(name, _)| *name == &*self.cookie)?;
        self.sessions.csrf(value, Instant::now())
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        token.is_some_and(|(_, token)| self.sessions.is_token(token.trim()))
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    Failed(status, error.to_owned()).into_response()
}

/// Answers only requests under a name of this host.
pub(crate) async fn check_host(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    // A browser always names the host; without one a request is from no browser that could be misused.
    if gate.hosts.is_allowed(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    refuse(StatusCode::MISDIRECTED_REQUEST, "cannot answer under this host name; use 127.0.0.1 or localhost")
}

/// Adds what keeps a browser from using an answer in another way than the page does.
pub(crate) async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets in who has a session or a token; a session's request that changes something must be from the page itself.
pub(crate) async fn require_access(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if is_from_another_page(headers) {
        return refuse(StatusCode::FORBIDDEN, "cannot answer a request of another web page");
    }
    if gate.has_token(headers) {
        return next.run(request).await;
    }
    let Some(csrf) = gate.session(headers) else {
        let error = format!("there is no session; `{} page` prints a link to the page", gate.names.command);
        return refuse(StatusCode::UNAUTHORIZED, &error);
    };
    let given = headers.get(CSRF).and_then(|given| given.to_str().ok()).unwrap_or_default();
    if !matches!(*request.method(), Method::GET | Method::HEAD) && !is_same(&csrf, given) {
        return refuse(
            StatusCode::FORBIDDEN,
            "the request does not have the token of its session; load the page again",
        );
    }
    next.run(request).await
}

/// Whether a browser sends this for another page than ours.
fn is_from_another_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_foreign_site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let is_foreign_origin = text(ORIGIN.as_str()).is_some_and(|origin| {
        let host = text(HOST.as_str()).unwrap_or_default();
        origin.strip_prefix("http://") != Some(host)
    });
    is_foreign_site || is_foreign_origin
}

/// The token of the session, for the page.
pub(crate) async fn session(State(gate): State<Gate>, headers: HeaderMap) -> Response {
    match gate.session(&headers) {
        Some(csrf) => Json(json!({"csrf": csrf})).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "a token has no session"),
    }
}

/// The link in the query.
#[derive(Debug, Deserialize)]
pub(crate) struct Login {
    #[serde(default)]
    link: String,
}

/// Opens a session by a link.
pub(crate) async fn login(State(gate): State<Gate>, method: Method, Query(Login { link }): Query<Login>) -> Response {
    // A program that looks at a link before a person opens it must not use it up.
    if method == Method::HEAD {
        return StatusCode::NO_CONTENT.into_response();
    }
    let Some(cookie) = gate.sessions.use_link(&link, Instant::now()) else {
        let error = format!("the link was used or is too old; `{} page` prints a new one", gate.names.command);
        return refuse(StatusCode::FORBIDDEN, &error);
    };
    let cookie = format!("{}={cookie}; Path=/; HttpOnly; SameSite=Strict", gate.cookie);
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())]).into_response()
}
