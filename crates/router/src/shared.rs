//! The state that all requests and links of one router share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::UnreadLimits;
use crate::config::Config;
use crate::hub::Hub;
use auxot_access::{Budget, KeyUsage, Verifier};

#[derive(Debug)]
pub(crate) struct RouterState {
    pub(crate) hub: Arc<Hub>,
    pub(crate) verifier: Verifier,
    /// What counts towards the limits of keys.
    pub(crate) usage: Arc<KeyUsage>,
    pub(crate) config: Config,
    /// Seconds since 1970.
    pub(crate) started: u64,
    /// The links; axum spawns upgraded connections itself, and this waits for them.
    pub(crate) links: TaskTracker,
    /// The bound over the bodies of all requests.
    pub(crate) bodies: Arc<Budget>,
    /// The bounds for unread answers.
    pub(crate) unread: UnreadLimits,
    /// Ends every link at once.
    pub(crate) kill: CancellationToken,
}
