//! One attempt to connect and say hello, and the state of the router that all connections share.

pub(crate) mod key_refusals;
pub(crate) mod reply;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auxot_protocol::{Capabilities, Hello, Policy, ToRouter, ToWorker};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tracing::{error, info, warn};

use crate::config::KeyRefused;
use crate::connection::dial::worker_key::WorkerKey;
use crate::connection::dial::{Dialer, OpenSocket, Socket};
use crate::connection::hello::key_refusals::{KeyDecision, Refusals};
use crate::connection::hello::reply::HelloReply;
use crate::connection::incoming::Incoming;
use crate::connection::reconnect::{ReconnectPauses, random};
use crate::report::log_text::shown;
use crate::report::metrics;
use crate::report::warn_limit::WarnLimit;

/// The pause before a refused key is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A connection that serves for this time shows that the router works.
const PROVEN_AFTER: Duration = Duration::from_secs(1);

/// Dials the router and sends `hello`.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) dialer: Dialer,
    pub(crate) key: WorkerKey,
    hello_timeout: Duration,
    key_refused: KeyRefused,
    pauses: Mutex<Pauses>,
    refusals: Mutex<Refusals>,
    /// The fault that keeps the router from giving jobs.
    trouble: watch::Sender<Option<&'static str>>,
    /// Counts the connections that served for [`PROVEN_AFTER`].
    reached: watch::Sender<u64>,
    warnings: WarnLimit,
}

/// The pause before the next attempt. All connections share it: a router that is down is down for all of them.
#[derive(Debug)]
struct Pauses {
    reconnect: ReconnectPauses,
    until: Option<Instant>,
}

/// What the router answers to a check by the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterCheck {
    /// The router accepts the worker.
    Accepted,
    /// The router refuses the key.
    KeyRefused {
        /// In the router's words.
        reason: String,
    },
    /// The router does not answer as a router does.
    Unreachable {
        /// Why not.
        reason: String,
    },
}

/// The outcome of one attempt to connect.
#[derive(Debug)]
pub(crate) enum AttemptOutcome {
    /// The router has accepted the worker.
    Serving { dialed: Box<OpenSocket>, gpu_id: String, policy: Option<Box<Policy>>, extensions: Vec<String> },
    /// The router refuses the key and has never accepted it.
    KeyRefused { reason: String },
    /// The router refuses the key, which may be a temporary fault.
    RetrySoon(Duration),
    /// The next attempt comes after a pause.
    Pause(Duration),
}

impl Handshake {
    pub(crate) fn new(config: &crate::config::Config, dialer: Dialer, key: WorkerKey) -> Self {
        let reconnect = ReconnectPauses::new(config.reconnect_delay, config.reconnect_max_delay);
        Self {
            dialer,
            key,
            hello_timeout: config.hello_timeout,
            key_refused: config.key_refused,
            pauses: Mutex::new(Pauses { reconnect, until: None }),
            refusals: Mutex::default(),
            trouble: watch::Sender::new(None),
            reached: watch::Sender::new(0),
            warnings: WarnLimit::default(),
        }
    }

    /// The fault that keeps the router from giving jobs, while it lasts.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<&'static str>> {
        self.trouble.subscribe()
    }

    /// Dials once and sends `hello`.
    pub(crate) async fn attempt(&self, capabilities: Capabilities) -> AttemptOutcome {
        let mut dialed = match self.dialer.dial().await {
            Ok(dialed) => dialed,
            Err(fault) => {
                metrics::dial_failed(fault.label());
                let pause = self.next_pause();
                if let Some(left_out) = self.warnings.due(fault.label()) {
                    let pause_ms = pause.as_millis() as u64;
                    warn!(%fault, pause_ms, left_out, "cannot reach the router");
                }
                return AttemptOutcome::Pause(pause);
            }
        };
        let (limit, key) = (self.hello_timeout, self.key.current().await);
        let reply = match tokio::time::timeout(limit, self.say_hello(&mut dialed.socket, &key, capabilities)).await {
            Ok(reply) => reply,
            Err(_) => HelloReply::Transient { reason: format!("no answer to hello within {limit:?}") },
        };
        match reply {
            HelloReply::Accepted { gpu_id, policy, extensions } => {
                self.key_taken();
                info!(gpu_id = shown(&gpu_id), url = %self.dialer.url, from = "hello", to = "serving", "connection accepted");
                AttemptOutcome::Serving { dialed: Box::new(dialed), gpu_id, policy, extensions }
            }
            HelloReply::KeyRefused { reason } => {
                metrics::dial_failed("key_refused");
                self.key_refused(&key, reason)
            }
            HelloReply::Later { reason, after } => {
                warn!(reason, after_s = after.as_secs(), "the router asks for a later attempt");
                AttemptOutcome::Pause(after)
            }
            HelloReply::Transient { reason } => {
                metrics::dial_failed("greeting");
                let pause = self.next_pause();
                if let Some(left_out) = self.warnings.due("hello not accepted") {
                    let pause_ms = pause.as_millis() as u64;
                    warn!(reason, pause_ms, left_out, "the router did not accept hello");
                }
                AttemptOutcome::Pause(pause)
            }
            HelloReply::Other => AttemptOutcome::Pause(self.next_pause()),
        }
    }

    /// Says hello once, as a connection that only requests the policy, and leaves. For a check by the operator: nothing is logged
    /// or counted.
    pub(crate) async fn check(&self, capabilities: Capabilities) -> RouterCheck {
        let mut dialed = match self.dialer.dial().await {
            Ok(dialed) => dialed,
            Err(fault) => return RouterCheck::Unreachable { reason: fault.to_string() },
        };
        let key = self.key.current().await;
        let hello = self.say_hello(&mut dialed.socket, &key, capabilities);
        let reply = tokio::time::timeout(self.hello_timeout, hello).await;
        match reply {
            Ok(HelloReply::Accepted { .. }) => RouterCheck::Accepted,
            Ok(HelloReply::KeyRefused { reason }) => RouterCheck::KeyRefused { reason },
            Ok(HelloReply::Later { reason, .. } | HelloReply::Transient { reason }) => {
                RouterCheck::Unreachable { reason }
            }
            Ok(HelloReply::Other) => {
                RouterCheck::Unreachable { reason: "it answers hello with another message".to_owned() }
            }
            Err(_) => {
                RouterCheck::Unreachable { reason: format!("no answer to hello within {:?}", self.hello_timeout) }
            }
        }
    }

    async fn say_hello(&self, socket: &mut Socket, key: &SecretString, mut capabilities: Capabilities) -> HelloReply {
        // Only `config` has this field.
        capabilities.model_capabilities.clear();
        let hello = ToRouter::Hello(Box::new(Hello {
            gpu_key: key.expose_secret().to_owned(),
            worker_type: None,
            capabilities,
        }));
        if let Err(error) = socket.send(Message::text(hello.to_frame())).await {
            return HelloReply::Transient { reason: error.to_string() };
        }
        loop {
            let message: Bytes = match socket.next().await {
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => {
                    return HelloReply::Transient {
                        reason: "the router closed the connection without a message".to_owned(),
                    };
                }
                Some(Err(error)) => return HelloReply::Transient { reason: error.to_string() },
            };
            match Incoming::read(&message) {
                // The router gives such an early job again.
                Ok(Incoming::Job(_)) => {}
                Ok(Incoming::Other(message)) => {
                    if let ToWorker::HelloAck(ack) = &*message {
                        ack.dropped.iter().for_each(|field| warn!(field, "left out a field of the router's hello_ack"));
                    }
                    match reply::read(*message) {
                        HelloReply::Other => {}
                        reply => return reply,
                    }
                }
                Err(unreadable) => {
                    if let Some(left_out) = self.warnings.due("unreadable") {
                        warn!(fault = %unreadable.fault, left_out, "cannot read a message of the router");
                    }
                }
            }
        }
    }

    fn key_taken(&self) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).accepted();
        metrics::key_refused(false);
        self.trouble.send_replace(None);
    }

    fn key_refused(&self, key: &SecretString, reason: String) -> AttemptOutcome {
        let verdict = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).refused(key, self.key_refused);
        if verdict == KeyDecision::RetrySoon {
            let pause = self.next_pause();
            let pause_ms = pause.as_millis() as u64;
            warn!(reason, url = %self.dialer.url, pause_ms, "the router refuses the worker key: one more attempt follows");
            return AttemptOutcome::RetrySoon(pause);
        }
        metrics::key_refused(true);
        self.trouble.send_replace(Some("the router refuses the worker key"));
        error!(reason, url = %self.dialer.url, "the router refuses the worker key; check AUXOT_GPU_KEY");
        match verdict {
            KeyDecision::End => AttemptOutcome::KeyRefused { reason },
            KeyDecision::RetrySoon | KeyDecision::RetrySlowly => AttemptOutcome::Pause(REFUSED_PAUSE),
        }
    }

    /// The pause before the next attempt. Connections that fail at the same time share one pause.
    pub(crate) fn next_pause(&self) -> Duration {
        let (mut pauses, now) = (self.pauses(), Instant::now());
        if let Some(until) = pauses.until.filter(|until| *until > now) {
            return until - now;
        }
        let pause = pauses.reconnect.next(random());
        tracing::debug!(attempt = pauses.reconnect.attempt(), "reconnect pause chosen");
        pauses.until = Some(now + pause);
        pause
    }

    /// Awaits the end of a session. After [`PROVEN_AFTER`] the other connections try again without a pause.
    pub(crate) async fn run_connection<T>(&self, serving: impl Future<Output = T>) -> T {
        tokio::pin!(serving);
        tokio::select! {
            biased;
            end = &mut serving => return end,
            () = tokio::time::sleep(PROVEN_AFTER) => {}
        }
        self.pauses().until = None;
        self.reached.send_modify(|count| *count += 1);
        serving.await
    }

    /// Resolves when a connection has served for [`PROVEN_AFTER`].
    pub(crate) async fn reached(&self) {
        // `self` holds the sender, so the channel stays open.
        let _ = self.reached.subscribe().changed().await;
    }

    /// A connection has ended that had served for this time.
    pub(crate) fn connection_ended(&self, served: Duration) {
        self.pauses().reconnect.connection_ended(served);
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        // No change under this lock is partial.
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::connection::dial::router_url::RouterUrl;
    use crate::connection::dial::tls;

    fn handshake() -> Handshake {
        let config = Config { key: Some("k".into()), reconnect_delay: Duration::from_secs(3600), ..Config::default() };
        let dialer = Dialer {
            url: RouterUrl::parse("http://127.0.0.1:1").expect("valid"),
            tls: tls::client_config(None).expect("TLS"),
            timeout: Duration::from_secs(1),
            max_message: 1 << 20,
        };
        let key = WorkerKey::open(&config).expect("a key");
        Handshake::new(&config, dialer, key)
    }

    #[test]
    fn connections_that_fail_together_have_one_pause() {
        let handshake = handshake();
        let first = handshake.next_pause();
        for _ in 0..7 {
            assert!(handshake.next_pause() <= first);
        }
        assert_eq!(handshake.pauses().reconnect.attempt(), 1, "one failure of the router, and not eight");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_serves_ends_the_pause_of_the_others() {
        let handshake = handshake();
        let begun = tokio::time::Instant::now();
        let long = handshake.run_connection(std::future::pending::<()>());
        tokio::select! {
            () = long => {}
            () = handshake.reached() => {}
        }
        assert_eq!(begun.elapsed(), PROVEN_AFTER);
        let short = handshake.run_connection(async {});
        tokio::select! {
            biased;
            () = handshake.reached() => panic!("a short session ends no pause"),
            () = short => {}
        }
    }
}
