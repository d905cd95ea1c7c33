//! HTTP towards the hub and the hosts that it names.
//!
//! Redirects are followed here, hop by hop, because each hop decides three things: whether the token goes along (to the hub's
//! own host only), whether its headers are the hub's statements, and whether the way stays encrypted.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Response};
use secrecy::ExposeSecret;
use tokio::time::timeout;
use url::Url;

use crate::answer::{linked_size, linked_sum};
use crate::config::Config;
use crate::digest::Sum;
use crate::endpoint::Endpoint;
use crate::error::HubError;

/// Hops from an address to its content.
const MOST_REDIRECTS: usize = 10;
/// The largest answer that is read into memory.
const LARGEST_ANSWER: usize = 32 << 20;

/// An HTTP client for one hub.
#[derive(Debug, Clone)]
pub(crate) struct HubClient {
    /// For addresses of this host, which no proxy reaches.
    direct: Client,
    /// For all others, by the proxies of the environment.
    proxied: Client,
    pub(crate) endpoint: Endpoint,
    stall_timeout: Duration,
}

/// An answer, and what the hub states on the way to it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    /// The digest that the hub states.
    pub(crate) sum: Option<Sum>,
    /// The size that the hub states.
    pub(crate) size: Option<u64>,
    /// Whether the hub itself has answered.
    pub(crate) from_hub: bool,
}

/// Why there is no answer; another attempt may get one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} sends nothing for {silence:?}")]
    Silent { host: String, silence: Duration },
    #[error("{host} redirects {reason}")]
    Redirect { host: String, reason: &'static str },
    #[error("the answer of {host} is longer than {LARGEST_ANSWER} bytes")]
    TooLong { host: String },
}

impl HubClient {
    pub(crate) fn new(config: &Config, endpoint: Endpoint) -> Result<Self, HubError> {
        // Building a client panics without a process-wide TLS provider. An error means that there is one already.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent(concat!("auxot-worker/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(config.connect_timeout)
                .redirect(reqwest::redirect::Policy::none())
                // The port is that of the address.
                .resolve_to_addrs("localhost", &auxot_localhost::loopback(0))
        };
        let fault = |fault: reqwest::Error| HubError::Setup(cause(&fault));
        let (direct, proxied) = (builder().no_proxy().build().map_err(fault)?, builder().build().map_err(fault)?);
        Ok(Self { direct, proxied, endpoint, stall_timeout: config.stall_timeout })
    }

    /// Whether a token is sent to the hub.
    pub(crate) fn has_token(&self) -> bool {
        self.endpoint.token.is_some()
    }

    /// Requests an address and follows its redirects.
    pub(crate) async fn get(&self, url: &Url, headers: &HeaderMap) -> Result<Answer, NoAnswer> {
        let (mut url, mut sum, mut size) = (url.clone(), None, None);
        for _ in 0..MOST_REDIRECTS {
            let from_hub = self.endpoint.owns(&url);
            let response = self.send(&url, headers, from_hub).await?;
            if from_hub {
                sum = sum.or_else(|| linked_sum(response.headers()));
                size = size.or_else(|| linked_size(response.headers()));
            }
            let next = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
            let Some(next) = next else { return Ok(Answer { response, sum, size, from_hub }) };
            let refuse = |reason| NoAnswer::Redirect { host: host_of(&url), reason };
            let next = next.to_str().ok().and_then(|next| url.join(next).ok());
            let next = next.ok_or_else(|| refuse("to no address"))?;
            if !matches!(next.scheme(), "http" | "https") || (url.scheme() == "https" && next.scheme() != "https") {
                return Err(refuse("away from https"));
            }
            url = next;
        }
        Err(NoAnswer::Redirect { host: host_of(&url), reason: "too often" })
    }

    async fn send(&self, url: &Url, headers: &HeaderMap, from_hub: bool) -> Result<Response, NoAnswer> {
        let client = if url.host().is_some_and(|host| auxot_localhost::is_loopback(&host)) {
            &self.direct
        } else {
            &self.proxied
        };
        let mut request = client.get(url.clone()).headers(headers.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(token) = self.endpoint.token.as_ref().filter(|_| from_hub)
            && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
        {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        match timeout(self.stall_timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(fault)) => Err(NoAnswer::Unreachable { host: host_of(url), reason: cause(&fault) }),
            Err(_) => Err(NoAnswer::Silent { host: host_of(url), silence: self.stall_timeout }),
        }
    }

    /// The next bytes of an answer; `None` at its end.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, NoAnswer> {
        match timeout(self.stall_timeout, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(fault)) => Err(NoAnswer::Unreachable { host: host_of(response.url()), reason: cause(&fault) }),
            Err(_) => Err(NoAnswer::Silent { host: host_of(response.url()), silence: self.stall_timeout }),
        }
    }

    /// All of a small answer.
    pub(crate) async fn body(&self, mut response: Response, most: usize) -> Result<Vec<u8>, NoAnswer> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if body.len() + chunk.len() > most.min(LARGEST_ANSWER) {
                return Err(NoAnswer::TooLong { host: host_of(response.url()) });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// The host and port of an address; its path and its query may hold a signature.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The innermost reason of a fault; the outer ones repeat the address, which may be signed.
fn cause(fault: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = fault;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if fault.source().is_none() { "the request failed".to_owned() } else { innermost.to_string() }
}
