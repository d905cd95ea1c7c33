//! The client for small questions to one engine: is it well, what are its slots, what has it loaded.

use std::{error::Error, io, time::Duration};

use reqwest::{Client, Response, StatusCode, header};
use secrecy::ExposeSecret;

use crate::{Endpoint, ModelMeta, Props, Slot};

/// How long a question other than `health` may take. The engine answers these in milliseconds, even in the
/// middle of a batch; longer means that it hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read; the biggest in practice is `/props` with its chat template.
const ANSWER_LIMIT: usize = 16 << 20;

/// What one look at `/health` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// 200: the model is loaded. It says nothing about the decode loop: any HTTP thread answers this.
    Ready,
    /// 503: the engine is up, the model is still being loaded.
    Loading,
    /// Nobody accepts connections there, or whoever did closed at once.
    NotListening,
    /// Somebody listens but did not answer in time. With all HTTP threads busy this is not death.
    Silent,
    /// An answer that a llama-server does not give here.
    Odd(u16),
    /// The question was not asked: no descriptor, port or memory of ours was left for it.
    Unasked,
}

/// Why a small question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The client could not be built: the path or key is not usable.
    #[error("cannot prepare a client for the engine at {endpoint}: {reason}")]
    Setup {
        /// Where the engine is.
        endpoint: String,
        /// What was wrong, in the words of the HTTP library.
        reason: String,
    },
    /// Nobody is there.
    #[error("cannot ask the engine for {path}: nobody listens")]
    NotListening {
        /// What was asked.
        path: &'static str,
    },
    /// Nothing came back in time.
    #[error("cannot ask the engine for {path}: no answer within {patience:?}")]
    Silent {
        /// What was asked.
        path: &'static str,
        /// How long it was given.
        patience: Duration,
    },
    /// The engine said no; 503 while it loads.
    #[error("cannot ask the engine for {path}: it answered {status}")]
    Refused {
        /// What was asked.
        path: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what a llama-server says.
    #[error("cannot read the engine's answer to {path} ({bytes} bytes)")]
    Unreadable {
        /// What was asked.
        path: &'static str,
        /// Length of what came.
        bytes: usize,
    },
}

/// Asks one engine small questions. One per child; dropping it leaves no socket open behind.
#[derive(Debug, Clone)]
pub struct Control {
    client: Client,
    base: String,
}

impl Control {
    /// Prepares the client; nothing is connected yet.
    pub fn new(endpoint: &Endpoint) -> Result<Self, ControlError> {
        // Building any reqwest client panics without a process-wide TLS provider, even one that will only
        // ever use a unix socket. An error means that somebody installed one before: all the better.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let setup = |reason: String| ControlError::Setup { endpoint: endpoint.to_string(), reason };
        let mut builder = Client::builder()
            .http1_only()
            .no_proxy()
            // No root certificates: nothing here is TLS, and loading them costs 2 ms per child.
            .tls_certs_only([])
            // An idle kept-alive connection would hold one of the engine's HTTP threads for five seconds and
            // make its exit a hundred milliseconds slower; a fresh local connection costs microseconds.
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

    /// Looks at `/health`, which is answered by any HTTP thread and never waits for the decode loop.
    pub async fn health(&self, timeout: Duration) -> Health {
        match self.send("/health", timeout).await {
            Ok(answer) => match answer.status() {
                StatusCode::OK => Health::Ready,
                StatusCode::SERVICE_UNAVAILABLE => Health::Loading,
                other => Health::Odd(other.as_u16()),
            },
            Err(fault) if is_silence(&fault) => Health::Silent,
            Err(fault) if is_want_of_ours(&fault) => Health::Unasked,
            Err(_) => Health::NotListening,
        }
    }

    /// Reads `/props`.
    pub async fn props(&self) -> Result<Props, ControlError> {
        self.ask("/props", Props::parse).await
    }

    /// Reads `/slots`. Ask at most every two seconds: each answer restarts the one-second wait after which
    /// the engine looks for clients that have gone.
    pub async fn slots(&self) -> Result<Vec<Slot>, ControlError> {
        self.ask("/slots", Slot::parse_all).await
    }

    /// Reads `/v1/models`.
    pub async fn models(&self) -> Result<ModelMeta, ControlError> {
        self.ask("/v1/models", ModelMeta::parse).await
    }

    async fn send(&self, path: &'static str, timeout: Duration) -> reqwest::Result<Response> {
        self.client.get(format!("{}{path}", self.base)).timeout(timeout).send().await
    }

    async fn ask<T>(&self, path: &'static str, parse: fn(&[u8]) -> Option<T>) -> Result<T, ControlError> {
        let failed = |fault: reqwest::Error| {
            if is_silence(&fault) {
                ControlError::Silent { path, patience: PATIENCE }
            } else {
                ControlError::NotListening { path }
            }
        };
        let mut answer = self.send(path, PATIENCE).await.map_err(failed)?;
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

/// Whether somebody is there but slow: out of time, or the socket's queue of waiting connections is full,
/// which on a unix socket is not a wait but an immediate `WouldBlock`.
fn is_silence(fault: &reqwest::Error) -> bool {
    fault.is_timeout() || is_caused_by(fault, |fault| fault.kind() == io::ErrorKind::WouldBlock)
}

/// Whether this process or this host had no means to ask, which says nothing about the engine.
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
