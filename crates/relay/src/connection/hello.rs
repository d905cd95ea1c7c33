//! One attempt to connect and to be greeted, and what all lanes know of the router from their attempts.

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
use crate::connection::dial::{Dialed, Dialer, Socket};
use crate::connection::hello::key_refusals::{Refusals, Verdict};
use crate::connection::hello::reply::Greeting;
use crate::connection::incoming::Heard;
use crate::connection::reconnect::{Backoff, random};
use crate::report::log_text::shown;
use crate::report::metrics;
use crate::report::warn_limit::WarnLimit;

/// How often a key that is refused is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A link that serves for so long shows that the router is there.
const STANDS: Duration = Duration::from_secs(1);

/// Dials the router and says hello.
#[derive(Debug)]
pub(crate) struct Greeter {
    pub(crate) dialer: Dialer,
    pub(crate) key: WorkerKey,
    hello_timeout: Duration,
    key_refused: KeyRefused,
    pauses: Mutex<Pauses>,
    refusals: Mutex<Refusals>,
    /// What keeps the router from giving jobs.
    trouble: watch::Sender<Option<&'static str>>,
    /// Counts the links that stood.
    reached: watch::Sender<u64>,
    warnings: WarnLimit,
}

/// The pause before the next attempt, which all lanes share: a router that is down is down for all of them.
#[derive(Debug)]
struct Pauses {
    backoff: Backoff,
    until: Option<Instant>,
}

/// What came of one attempt to connect.
#[derive(Debug)]
pub(crate) enum Attempted {
    /// The router has taken us.
    Serving { dialed: Box<Dialed>, gpu_id: String, policy: Option<Box<Policy>>, extensions: Vec<String> },
    /// The key was never taken.
    KeyRefused { reason: String },
    /// The key is refused, which may be a passing fault.
    AskAgain(Duration),
    /// Not now.
    Pause(Duration),
}

impl Greeter {
    pub(crate) fn new(config: &crate::config::Config, dialer: Dialer, key: WorkerKey) -> Self {
        let backoff = Backoff::new(config.reconnect_delay, config.reconnect_max_delay);
        Self {
            dialer,
            key,
            hello_timeout: config.hello_timeout,
            key_refused: config.key_refused,
            pauses: Mutex::new(Pauses { backoff, until: None }),
            refusals: Mutex::default(),
            trouble: watch::Sender::new(None),
            reached: watch::Sender::new(0),
            warnings: WarnLimit::default(),
        }
    }

    /// What keeps the router from giving jobs, as long as it does.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<&'static str>> {
        self.trouble.subscribe()
    }

    /// Dials once and says hello.
    pub(crate) async fn attempt(&self, capabilities: Capabilities) -> Attempted {
        let mut dialed = match self.dialer.dial().await {
            Ok(dialed) => dialed,
            Err(fault) => {
                metrics::dial_failed(fault.label());
                let pause = self.next_pause();
                if let Some(left_out) = self.warnings.due(fault.label()) {
                    let pause_ms = pause.as_millis() as u64;
                    warn!(%fault, pause_ms, left_out, "cannot reach the router");
                }
                return Attempted::Pause(pause);
            }
        };
        let (limit, key) = (self.hello_timeout, self.key.current().await);
        let greeting = match tokio::time::timeout(limit, self.greet(&mut dialed.socket, &key, capabilities)).await {
            Ok(greeting) => greeting,
            Err(_) => Greeting::Transient { reason: format!("no answer to hello within {limit:?}") },
        };
        match greeting {
            Greeting::Accepted { gpu_id, policy, extensions } => {
                self.key_taken();
                info!(gpu_id = shown(&gpu_id), url = %self.dialer.url, from = "greeting", to = "serving", "link accepted");
                Attempted::Serving { dialed: Box::new(dialed), gpu_id, policy, extensions }
            }
            Greeting::KeyRefused { reason } => {
                metrics::dial_failed("key_refused");
                self.key_refused(&key, reason)
            }
            Greeting::Later { reason, after } => {
                warn!(reason, after_s = after.as_secs(), "the router asks us to come back later");
                Attempted::Pause(after)
            }
            Greeting::Transient { reason } => {
                metrics::dial_failed("greeting");
                let pause = self.next_pause();
                if let Some(left_out) = self.warnings.due("not greeted") {
                    let pause_ms = pause.as_millis() as u64;
                    warn!(reason, pause_ms, left_out, "the router did not greet us");
                }
                Attempted::Pause(pause)
            }
            Greeting::Other => Attempted::Pause(self.next_pause()),
        }
    }

    async fn greet(&self, socket: &mut Socket, key: &SecretString, mut capabilities: Capabilities) -> Greeting {
        // Only `config` carries these.
        capabilities.model_capabilities.clear();
        let hello = ToRouter::Hello(Box::new(Hello {
            gpu_key: key.expose_secret().to_owned(),
            worker_type: None,
            capabilities,
        }));
        if let Err(error) = socket.send(Message::text(hello.to_frame())).await {
            return Greeting::Transient { reason: error.to_string() };
        }
        loop {
            let message: Bytes = match socket.next().await {
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => {
                    return Greeting::Transient {
                        reason: "the router closed the connection without a word".to_owned(),
                    };
                }
                Some(Err(error)) => return Greeting::Transient { reason: error.to_string() },
            };
            match Heard::read(&message) {
                // The router gives a job again that came so early.
                Ok(Heard::Job(_)) => {}
                Ok(Heard::Other(message)) => {
                    if let ToWorker::HelloAck(ack) = &*message {
                        ack.dropped.iter().for_each(|field| warn!(field, "left out a field of the router's greeting"));
                    }
                    match reply::read(*message) {
                        Greeting::Other => {}
                        greeting => return greeting,
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

    fn key_refused(&self, key: &SecretString, reason: String) -> Attempted {
        let verdict = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).refused(key, self.key_refused);
        if verdict == Verdict::AskAgain {
            let pause = self.next_pause();
            let pause_ms = pause.as_millis() as u64;
            warn!(reason, url = %self.dialer.url, pause_ms, "the router refuses the worker key: asking once more");
            return Attempted::AskAgain(pause);
        }
        metrics::key_refused(true);
        self.trouble.send_replace(Some("the router refuses the worker key"));
        error!(reason, url = %self.dialer.url, "the router refuses the worker key; check AUXOT_GPU_KEY");
        match verdict {
            Verdict::End => Attempted::KeyRefused { reason },
            Verdict::AskAgain | Verdict::GoOn => Attempted::Pause(REFUSED_PAUSE),
        }
    }

    /// The pause before the next attempt. Lanes that fail together have one pause together.
    pub(crate) fn next_pause(&self) -> Duration {
        let (mut pauses, now) = (self.pauses(), Instant::now());
        if let Some(until) = pauses.until.filter(|until| *until > now) {
            return until - now;
        }
        let pause = pauses.backoff.next(random());
        tracing::debug!(attempt = pauses.backoff.attempt(), "reconnect pause chosen");
        pauses.until = Some(now + pause);
        pause
    }

    /// Awaits a link's end; one that stands for a moment tells the other lanes that the router is there.
    pub(crate) async fn beside<T>(&self, serving: impl Future<Output = T>) -> T {
        tokio::pin!(serving);
        tokio::select! {
            biased;
            end = &mut serving => return end,
            () = tokio::time::sleep(STANDS) => {}
        }
        self.pauses().until = None;
        self.reached.send_modify(|count| *count += 1);
        serving.await
    }

    /// Resolves when a link has stood.
    pub(crate) async fn reached(&self) {
        // The sender is ours.
        let _ = self.reached.subscribe().changed().await;
    }

    /// A link has ended that had served for so long.
    pub(crate) fn link_ended(&self, served: Duration) {
        self.pauses().backoff.link_ended(served);
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        // Every change is whole.
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::connection::dial::router_url::RouterUrl;
    use crate::connection::dial::tls;

    fn greeter() -> Greeter {
        let config = Config { key: Some("k".into()), reconnect_delay: Duration::from_secs(3600), ..Config::default() };
        let dialer = Dialer {
            url: RouterUrl::parse("http://127.0.0.1:1").expect("valid"),
            tls: tls::client_config(None).expect("TLS"),
            timeout: Duration::from_secs(1),
            max_message: 1 << 20,
        };
        let key = WorkerKey::open(&config).expect("a key");
        Greeter::new(&config, dialer, key)
    }

    #[test]
    fn lanes_that_fail_together_have_one_pause() {
        let greeter = greeter();
        let first = greeter.next_pause();
        for _ in 0..7 {
            assert!(greeter.next_pause() <= first);
        }
        assert_eq!(greeter.pauses().backoff.attempt(), 1, "one failure of the router, and not eight");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_stands_calls_the_other_lanes() {
        let greeter = greeter();
        let begun = tokio::time::Instant::now();
        let link = greeter.beside(std::future::pending::<()>());
        tokio::select! {
            () = link => {}
            () = greeter.reached() => {}
        }
        assert_eq!(begun.elapsed(), STANDS);
        let short = greeter.beside(async {});
        tokio::select! {
            biased;
            () = greeter.reached() => panic!("a link that does not stand says nothing"),
            () = short => {}
        }
    }
}
