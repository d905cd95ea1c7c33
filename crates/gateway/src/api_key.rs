//! The API keys of requests: each must have a good one, where there are keys, and ends when it is revoked.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use auxot_access::keys::{Key, KeyKind};
use auxot_access::{CheckUnavailable, KeyStatus, Verifier, shown_key};
use http::HeaderMap;
use tokio::sync::watch;

use crate::failure::Failure;

/// The keys that are required.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    verifier: Verifier,
    /// The version of the keys at the last look.
    version: watch::Sender<u64>,
}

/// A good key, used by a request.
#[derive(Debug, Clone)]
pub(crate) struct UsedKey {
    keys: Arc<ApiKeys>,
    key: Arc<Key>,
}

impl ApiKeys {
    pub(crate) fn new(verifier: Verifier) -> Arc<Self> {
        Arc::new(Self { verifier, version: watch::Sender::new(0) })
    }

    /// Passes a request with a good key, before anything of its body is read. Where the client is decides how many keys it
    /// may have checked at once.
    pub(crate) async fn require(self: &Arc<Self>, headers: &HeaderMap, from: IpAddr) -> Result<UsedKey, Failure> {
        let key = shown_key(headers).ok_or(Failure::NoKey)?;
        match self.verifier.check(KeyKind::Api, key, from).await {
            Ok(Some(key)) => Ok(UsedKey { keys: Arc::clone(self), key }),
            Ok(None) => Err(Failure::BadKey),
            Err(CheckUnavailable::Busy(checks)) => Err(Failure::TooManyChecks(checks)),
            Err(CheckUnavailable::Unreadable) => Err(Failure::KeysUnreadable),
        }
    }

    /// Takes over changes of the keys; returns when to look again, if that is soon.
    pub(crate) async fn refresh(&self) -> Option<Duration> {
        let state = self.verifier.refresh().await;
        self.version.send_if_modified(|known| std::mem::replace(known, state.version) != state.version);
        state.look_again
    }
}

impl UsedKey {
    /// Resolves when the key is revoked. One whose time is over is none: the request came in time.
    pub(crate) async fn revoked(self) {
        let mut version = self.keys.version.subscribe();
        while self.keys.verifier.status(&self.key) != KeyStatus::Revoked {
            if version.changed().await.is_err() {
                return pending().await;
            }
        }
    }
}
