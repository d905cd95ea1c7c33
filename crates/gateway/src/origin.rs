//! Which web pages may use the gateway.
//!
//! A browser sends a simple request of any page to any address, so a page that may not use the models is refused before
//! anything is done for it. A page of this host may use them; only a page of the list may also read answers across origins.

use auxot_access::AllowedHosts;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::failure::Failure;

/// Response headers that a page may read.
const READABLE: HeaderValue = HeaderValue::from_static("retry-after, x-should-retry");
/// Request headers that a page may send when the preflight names none.
const SENDABLE: HeaderValue = HeaderValue::from_static("authorization, content-type, x-api-key");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// How long a browser may cache the preflight.
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// The pages that may use the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    listed: Vec<String>,
    hosts: AllowedHosts,
}

impl Origins {
    pub(crate) fn new(listed: &[String], hosts: AllowedHosts) -> Self {
        let listed = listed.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { listed, hosts }
    }

    /// The origin that may read the answer across origins, if the request comes from one.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
        let Some(value) = headers.get(ORIGIN) else { return Ok(None) };
        let origin = value.to_str().unwrap_or("null");
        let lower = origin.to_ascii_lowercase();
        if self.listed.iter().any(|listed| listed == "*" || *listed == lower) {
            return Ok(Some(value.clone()));
        }
        let of_web = lower.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        match of_web {
            Some((_, host)) if self.hosts.contains(host) => Ok(None),
            // Desktop programs have schemes of their own, which no page can take.
            None if lower != "null" && lower.contains("://") && !lower.starts_with("file:") => Ok(None),
            _ => Err(Failure::Origin(origin.chars().take(100).collect())),
        }
    }
}

/// The answer to a preflight: whether a page may send the request that it wants to.
pub(crate) fn preflight(method: &Method, headers: &HeaderMap, reader: Option<&HeaderValue>) -> Option<Response<Bytes>> {
    if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    // Without these the browser does not send the request.
    if reader.is_some() {
        let requested = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let fields = response.headers_mut();
        fields.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested.unwrap_or(SENDABLE));
        fields.insert(ACCESS_CONTROL_MAX_AGE, A_DAY);
    }
    Some(response)
}

/// Lets this page read the answer. What an engine says of other origins is not passed on: it would allow every page.
pub(crate) fn mark(headers: &mut HeaderMap, reader: Option<&HeaderValue>) {
    if let Some(reader) = reader {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, reader.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
        headers.append(VARY, BY_ORIGIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: &str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, origin.parse().unwrap())])
    }

    #[test]
    fn pages_of_this_host_may_ask_listed_ones_may_read_and_others_neither() {
        let hosts = AllowedHosts::new(&["gpu.lan".to_owned()]);
        let origins = Origins::new(&["https://App.example/".to_owned()], hosts.clone());
        assert_eq!(origins.check(&HeaderMap::new()).unwrap(), None);
        for own in
            ["http://localhost:3000", "http://127.0.0.1", "https://gpu.lan", "vscode-webview://x", "tauri://localhost"]
        {
            assert_eq!(origins.check(&headers(own)).unwrap(), None, "{own}");
        }
        assert_eq!(
            origins.check(&headers("https://app.example")).unwrap(),
            Some("https://app.example".parse().unwrap())
        );
        for foreign in
            ["https://evil.example", "null", "http://localhost.evil.example", "https://app.example:8443", "file://"]
        {
            assert!(origins.check(&headers(foreign)).is_err(), "{foreign}");
        }
        let all = Origins::new(&["*".to_owned()], hosts);
        assert!(all.check(&headers("null")).unwrap().is_some());
    }

    #[test]
    fn only_a_listed_page_may_read() {
        let marked = |reader: Option<&'static str>| {
            let mut fields = HeaderMap::new();
            mark(&mut fields, reader.map(HeaderValue::from_static).as_ref());
            fields
        };
        assert!(marked(None).is_empty());
        assert_eq!(marked(Some("https://a"))[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a");
    }

    #[test]
    fn a_preflight_is_answered_and_any_other_options_is_not() {
        let mut asks = headers("https://a");
        assert!(preflight(&Method::OPTIONS, &asks, None).is_none());
        asks.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        asks.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x-stainless-lang"));
        let answer = preflight(&Method::OPTIONS, &asks, Some(&HeaderValue::from_static("https://a"))).unwrap();
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "x-stainless-lang");
        assert!(preflight(&Method::OPTIONS, &asks, None).unwrap().headers().is_empty());
    }
}
