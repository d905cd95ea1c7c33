//! The client for small requests to one engine: health, slots, properties.

use std::{error::Error, io, time::Duration};

use reqwest::{Client, Response, StatusCode, header};
use secrecy::ExposeSecret;

use crate::{Endpoint, Props, Slot};

/// Limit for a request other than `health`. The engine answers in milliseconds, also during a batch; longer means that it
/// hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer; the largest in practice is `/props` with its chat template.
const ANSWER_LIMIT: usize = 16 << 20;

/// The result of one health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// 200: the model is loaded. This shows nothing about the decode loop: any HTTP thread answers.
    Ready,
    /// 503: the engine runs and still loads the model.
    Loading,
    /// No process listens, or the connection was closed at once.
    NotListening,
    /// The engine listens but did not answer in time. With all HTTP threads busy it can still be alive.
    Silent,
    /// A status that llama-server does not send here.
    Odd(u16),
    /// The request was not sent: this process or host had no descriptor, port or memory for it.
    NotSent,
}

/// Why a small request failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The client cannot be built: the path or key is not valid.
    #[error("cannot prepare a client for the engine at {endpoint}: {reason}")]
    Setup {
        /// The address of the engine.
        endpoint: String,
        /// The error text of the HTTP library.
        reason: String,
    },
    /// No process listens.
    #[error("cannot ask the engine for {path}: its socket does not listen")]
    NotListening {
        /// The path of the request.
        path: &'static str,
    },
    /// There was no answer in time.
    #[error("cannot ask the engine for {path}: no answer within {timeout:?}")]
    Silent {
        /// The path of the request.
        path: &'static str,
        /// The limit.
        timeout: Duration,
    },
    /// The engine answered with an error; 503 while it loads.
    #[error("cannot ask the engine for {path}: it answered {status}")]
    Refused {
        /// The path of the request.
        path: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// The answer cannot be parsed.
    #[error("cannot read the engine's answer to {path} ({bytes} bytes)")]
    Unreadable {
        /// The path of the request.
        path: &'static str,
        /// Length of the answer.
        bytes: usize,
    },
}

/// Sends small requests to one engine. Dropping it leaves no socket open.
#[derive(Debug, Clone)]
pub struct Control {
    client: Client,
    base: String,
}

impl Control {
    /// Builds the client; nothing is connected yet.
    ///
    /// # Errors
    /// When the path or key is not valid.
    pub fn new(endpoint: &Endpoint) -> Result<Self, ControlError> {
        // Building any reqwest client panics without a process-wide TLS provider, even one that only uses a unix socket. An
        // error means that a provider is installed already.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let setup = |reason: String| ControlError::Setup { endpoint: endpoint.to_string(), reason };
        let mut builder = Client::builder()
            .http1_only()
            .no_proxy()
            // No root certificates: there is no TLS here, and loading them costs 2 ms per engine.
            .tls_certs_only([])
            // An idle kept-alive connection would occupy one of the engine's HTTP threads for five seconds and delay its
            // exit by a hundred milliseconds; a new local connection costs microseconds.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none());
        let base = match endpoint {
            Endpoint::Unix(path) => {
                builder = builder.unix_socket(path.as_path());
                "http://localhost".to_owned()
            }
            Endpoint::Tcp { address, key } => {
                let text = format!("Bearer {}", key.expose_secret());
                let mut value =
                    header::HeaderValue::try_from(text).map_err(|_| setup("the key is not header text".into()))?;
                value.set_sensitive(true);
                builder = builder.default_headers([(header::AUTHORIZATION, value)].into_iter().collect());
                format!("http://{address}")
            }
        };
        let client = builder.build().map_err(|fault| setup(fault.to_string()))?;
        Ok(Self { client, base })
    }

    /// Requests `/health`, which any HTTP thread answers without waiting for the decode loop.
    pub async fn health(&self, timeout: Duration) -> Health {
        match self.send("/health", timeout).await {
            Ok(answer) => match answer.status() {
                StatusCode::OK => Health::Ready,
                StatusCode::SERVICE_UNAVAILABLE => Health::Loading,
                other => Health::Odd(other.as_u16()),
            },
            Err(fault) if is_silence(&fault) => Health::Silent,
            Err(fault) if is_want_of_ours(&fault) => Health::NotSent,
            Err(_) => Health::NotListening,
        }
    }

    /// Requests `/props`.
    ///
    /// # Errors
    /// When the engine does not answer in time, or not with its properties.
    pub async fn props(&self) -> Result<Props, ControlError> {
        self.ask("/props", Props::parse).await
    }

    /// Requests `/slots`. Call it at most every two seconds: each answer restarts the one-second wait after which the engine
    /// checks for disconnected clients.
    ///
    /// # Errors
    /// As for [`Self::props`].
    pub async fn slots(&self) -> Result<Vec<Slot>, ControlError> {
        self.ask("/slots", Slot::parse_all).await
    }

    async fn send(&self, path: &'static str, timeout: Duration) -> reqwest::Result<Response> {
        self.client.get(format!("{}{path}", self.base)).timeout(timeout).send().await
    }

    async fn ask<T>(&self, path: &'static str, parse: fn(&[u8]) -> Option<T>) -> Result<T, ControlError> {
        let failed = |fault: reqwest::Error| {
            if is_silence(&fault) {
                ControlError::Silent { path, timeout: ANSWER_TIMEOUT }
            } else {
                ControlError::NotListening { path }
            }
        };
        let mut answer = self.send(path, ANSWER_TIMEOUT).await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(ControlError::Refused { path, status: status.as_u16() });
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > ANSWER_LIMIT {
                return Err(ControlError::Unreadable { path, bytes: body.len() + piece.len() });
            }
            body.extend_from_slice(&piece);
        }
        parse(&body).ok_or(ControlError::Unreadable { path, bytes: body.len() })
    }
}

/// Whether the engine is there but slow: the limit is over, or the accept queue is full, which on a unix socket is an
/// immediate `WouldBlock`.
fn is_silence(fault: &reqwest::Error) -> bool {
    fault.is_timeout() || is_caused_by(fault, |fault| fault.kind() == io::ErrorKind::WouldBlock)
}

/// Whether this process or host lacked a resource for the request, which shows nothing about the engine.
fn is_want_of_ours(fault: &(dyn Error + 'static)) -> bool {
    is_caused_by(fault, |fault| {
        let ours = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL];
        fault.raw_os_error().is_some_and(|code| ours.contains(&code))
    })
}

fn is_caused_by(fault: &(dyn Error + 'static), fits: impl Fn(&io::Error) -> bool) -> bool {
    let mut cause = Some(fault);
    while let Some(this) = cause {
        if this.downcast_ref::<io::Error>().is_some_and(&fits) {
            return true;
        }
        cause = this.source();
    }
    false
}

#[cfg(test)]
mod tests;
