//! A provider that is a server with OpenAI's or Anthropic's API.

mod audio;
mod events;
mod status;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auxot_access::keys::is_exposed;
use auxot_llama::{AnswerExcerpt, ApiPath, TokenCounts, model_of_query};
use auxot_protocol::Complete;
use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use serde::de::IgnoredAny;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use super::config::{CloudApi, CloudConfig, ProviderConfig};
use super::run::{AnswerWriter, RunFailure};
use crate::failure::{BadRequest, Failure, WorkerFault};
use crate::hub::ProviderJob;
use crate::provider_fault::ProviderReason;
use events::{EventReader, WrongStream};
use status::{Meaning, retry_after};

/// The largest answer that is no stream.
const LARGEST_ANSWER: usize = 64 << 20;
/// How long the end of a connection may take after the last event.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// The version of Anthropic's API, for a client that names none.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
/// Fields of a request that go along.
const PASSED_ON: [&str; 2] = ["anthropic-version", "anthropic-beta"];
/// Fields of an answer that go to the client.
const PASSED_BACK: [&str; 4] = ["content-type", "x-request-id", "request-id", "retry-after"];

/// No HTTP client can be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the HTTP client of provider `{provider}`: {reason}")]
pub struct ClientError {
    provider: String,
    reason: String,
}

/// A server with its limits.
#[derive(Debug)]
pub(super) struct Cloud {
    name: Arc<str>,
    client: Client,
    api: CloudApi,
    url: Url,
    key_file: Option<PathBuf>,
    first_byte_timeout: Duration,
    total_timeout: Duration,
    idle_timeout: Duration,
}

/// When an answer must have begun.
#[derive(Debug, Clone, Copy)]
struct FirstByte {
    until: Instant,
    /// The time for it.
    limit: Duration,
}

/// The paths that an API has.
pub(super) fn paths(api: CloudApi) -> &'static [&'static str] {
    match api {
        CloudApi::OpenAi => &[
            "/v1/chat/completions",
            "/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/responses",
            "/v1/audio/transcriptions",
            "/v1/audio/translations",
            "/v1/audio/speech",
        ],
        CloudApi::Anthropic => &["/v1/messages", "/v1/messages/count_tokens"],
    }
}

impl Cloud {
    pub(super) fn new(name: &Arc<str>, provider: &ProviderConfig, config: &CloudConfig) -> Result<Self, ClientError> {
        // Building a client panics without a process-wide TLS provider. An error means that there is one already.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("auxot-router/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            // A request has a key and a prompt: it goes to the address of the settings and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .resolve_to_addrs("localhost", &auxot_localhost::loopback(0));
        if config.url.host().is_some_and(|host| auxot_localhost::is_loopback(&host)) {
            builder = builder.no_proxy();
        } else if config.url.scheme() == "http" {
            tracing::warn!(provider = %name, "prompts cross the network in clear: the address of this provider is not https");
        }
        if config.key_file.as_deref().is_some_and(is_exposed) {
            tracing::warn!(provider = %name, "other users can read the key file of this provider: chmod 600 it");
        }
        let client = builder
            .build()
            .map_err(|fault| ClientError { provider: provider.name.clone(), reason: innermost(&fault) })?;
        Ok(Self {
            name: name.clone(),
            client,
            api: config.api,
            url: config.url.clone(),
            key_file: config.key_file.clone(),
            first_byte_timeout: provider.first_byte_timeout,
            total_timeout: provider.total_timeout,
            idle_timeout: config.idle_timeout,
        })
    }

    /// Answers a job.
    pub(super) async fn answer(&self, job: &ProviderJob) -> Result<Complete<'static>, RunFailure> {
        if job.request.whole.model.is_none() {
            let fault = "cannot ask this provider: the body must name the model, in its field `model`";
            let fault = BadRequest::new(fault).of("model").code("missing_required_parameter");
            return Err(RunFailure::of_client(fault.into()));
        }
        // An answer that is no stream may begin when all of it is there.
        let limit = if job.request.stream { self.first_byte_timeout } else { self.total_timeout };
        let first_byte = FirstByte { until: Instant::now() + limit, limit };
        let request = self.client.post(self.address(&job.request.whole.http.path)).headers(self.headers(job).await?);
        let sending = request.body(job.request.whole.body_for(&job.model)).send();
        let response = match timeout_at(first_byte.until, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(fault)) => return Err(self.fault(ProviderReason::Unreachable(innermost(&fault)))),
            Err(_) => return Err(self.silent(limit)),
        };
        let status = response.status().as_u16();
        match Meaning::of(status) {
            Meaning::Refused(reason) => Err(RunFailure::until(&self.name, reason, retry_after(response.headers()))),
            Meaning::Answer if audio::is_path(job.request.whole.path()) => self.audio(job, response, first_byte).await,
            Meaning::Answer if job.request.stream => self.stream(job, response, first_byte).await,
            Meaning::Answer | Meaning::BadRequest => self.whole(job, response).await,
        }
    }

    /// The address for a path of the request: the version is a part of the provider's own.
    fn address(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{}", path.strip_prefix("/v1").unwrap_or(path)));
        // The model of a query is for this router: the cloud's own name of it is in the body.
        let pairs = query.unwrap_or_default().split('&');
        let others: Vec<&str> = pairs.filter(|pair| model_of_query(pair).is_none() && !pair.is_empty()).collect();
        url.set_query((!others.is_empty()).then(|| others.join("&")).as_deref());
        url
    }

    async fn headers(&self, job: &ProviderJob) -> Result<HeaderMap, RunFailure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, form_type(job).unwrap_or(HeaderValue::from_static("application/json")));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let accept = match job.request.stream {
            _ if audio::is_path(job.request.whole.path()) => "*/*",
            true => "text/event-stream",
            false => "application/json",
        };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if self.api == CloudApi::Anthropic {
            headers.insert("anthropic-version", ANTHROPIC_VERSION);
            for (name, value) in &job.request.whole.http.headers {
                if PASSED_ON.contains(&name.as_str())
                    && let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
                {
                    headers.insert(name, value);
                }
            }
        }
        if let Some((name, value)) = self.key().await? {
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// The field with the key, which may have changed since the last request.
    async fn key(&self) -> Result<Option<(HeaderName, HeaderValue)>, RunFailure> {
        let Some(file) = &self.key_file else { return Ok(None) };
        let unreadable = |reason: String| self.fault(ProviderReason::NoKey(reason));
        let text = tokio::fs::read_to_string(file).await.map_err(|fault| unreadable(fault.to_string()))?;
        let (name, text) = match self.api {
            CloudApi::OpenAi => (AUTHORIZATION, format!("Bearer {}", text.trim())),
            CloudApi::Anthropic => (HeaderName::from_static("x-api-key"), text.trim().to_owned()),
        };
        let mut value =
            HeaderValue::try_from(text).map_err(|_| unreadable("it has signs that no key has".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }

    /// Passes a stream of events on: whole events, from the first on.
    async fn stream(
        &self,
        job: &ProviderJob,
        mut response: Response,
        first_byte: FirstByte,
    ) -> Result<Complete<'static>, RunFailure> {
        if !content_type(&response).starts_with("text/event-stream") {
            return Err(self.wrong("no stream of events"));
        }
        let head = passed_back(response.headers());
        let mut events = EventReader::for_path(job.request.whole.path());
        let (mut writer, mut excerpt) = (AnswerWriter::of(job), AnswerExcerpt::default());
        let mut has_begun = false;
        while !events.is_over() {
            let until = if has_begun { Instant::now() + self.idle_timeout } else { first_byte.until };
            let chunk = match timeout_at(until, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                // A clean end without the last event is no end of the answer.
                Ok(Ok(None) | Err(_)) => return Err(self.fault(ProviderReason::Cut)),
                Err(_) => return Err(self.silent(if has_begun { self.idle_timeout } else { first_byte.limit })),
            };
            let whole = events.read(&chunk).map_err(|wrong| self.wrong_stream(wrong))?;
            if !has_begun {
                if !events.has_data() {
                    continue;
                }
                writer.head(200, head.clone())?;
                has_begun = true;
            }
            excerpt.push(&whole);
            writer.data(whole).await?;
        }
        // The connection serves further requests only if its end has been read.
        let _ = timeout(END_TIMEOUT, response.chunk()).await;
        Ok(counted(writer.complete(), &excerpt))
    }

    /// Passes an answer on that is no stream, when all of it is here and is JSON.
    async fn whole(&self, job: &ProviderJob, mut response: Response) -> Result<Complete<'static>, RunFailure> {
        let (status, head) = (response.status().as_u16(), passed_back(response.headers()));
        let mut writer = AnswerWriter::of(job);
        let mut body = BytesMut::new();
        loop {
            match timeout(self.idle_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= LARGEST_ANSWER => body.extend_from_slice(&chunk),
                Ok(Ok(Some(_))) => return Err(self.fault(ProviderReason::TooLarge(LARGEST_ANSWER))),
                Ok(Ok(None)) => break,
                Ok(Err(_)) => return Err(self.fault(ProviderReason::Cut)),
                Err(_) => return Err(self.silent(self.idle_timeout)),
            }
            writer.touch();
        }
        let body: Bytes = body.freeze();
        if !is_object(&body) {
            return Err(match Meaning::of(status) {
                Meaning::BadRequest => {
                    let said = String::from_utf8_lossy(&body);
                    RunFailure::of_client(Failure::Worker(WorkerFault::of_engine(status, &said)))
                }
                Meaning::Answer | Meaning::Refused(_) => self.wrong("an answer that is no JSON object"),
            });
        }
        let mut excerpt = AnswerExcerpt::default();
        excerpt.push(&body);
        writer.head(status, head)?;
        writer.data(body).await?;
        Ok(counted(writer.complete(), &excerpt))
    }

    fn fault(&self, reason: ProviderReason) -> RunFailure {
        RunFailure::of_provider(&self.name, reason)
    }

    fn silent(&self, time: Duration) -> RunFailure {
        self.fault(ProviderReason::Silent(time.as_secs()))
    }

    fn wrong(&self, what: &'static str) -> RunFailure {
        self.fault(ProviderReason::WrongAnswer(what))
    }

    fn wrong_stream(&self, wrong: WrongStream) -> RunFailure {
        self.wrong(match wrong {
            WrongStream::NoJson => "an event that is no JSON object",
            WrongStream::TooLarge => "an event that is too large",
            WrongStream::Error => "an error as a part of its answer",
        })
    }
}

/// The end of an answer with the tokens that the cloud has counted.
fn counted(complete: Complete<'static>, excerpt: &AnswerExcerpt) -> Complete<'static> {
    let TokenCounts { generated, processed, cached } = excerpt.counts();
    Complete { input_tokens: processed, cache_tokens: cached, output_tokens: generated, ..complete }
}

/// The content type of a form, which has its boundary.
fn form_type(job: &ProviderJob) -> Option<HeaderValue> {
    let whole = &job.request.whole;
    let path = ApiPath::of(whole.path())?;
    let (_, kind) = whole.http.headers.iter().find(|(name, _)| name == "content-type")?;
    HeaderValue::from_str(kind).ok().filter(|_| path.takes_form(kind.as_bytes()))
}

fn content_type(response: &Response) -> &str {
    response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn passed_back(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |name: &&str| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned()));
    PASSED_BACK.iter().filter_map(text).collect()
}

fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// The innermost reason of a fault; the outer ones repeat the address.
fn innermost(fault: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = fault;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if fault.source().is_none() { "the request failed".to_owned() } else { innermost.to_string() }
}
