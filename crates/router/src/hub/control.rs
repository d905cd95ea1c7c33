//! What concerns all workers and jobs: numbers, policy, revoked keys, the end.

use std::sync::Arc;

use auxot_access::KeyStatus;
use auxot_access::keys::Key;
use auxot_protocol::{Policy, ToWorker};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{Hub, Outgoing};
use crate::failure::Failure;
use crate::key_refusal::KeyRefusal;
use crate::summary::Summary;

impl Hub {
    /// The metrics of this moment as text.
    pub(crate) fn metrics_text(&self) -> String {
        self.metrics.render(self.summary())
    }

    pub(crate) fn summary(&self) -> Summary {
        *self.summary.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Summary> {
        self.summary.subscribe()
    }

    /// Sends the policy to every connected worker and keeps it for later ones.
    pub(crate) fn policy_update(&self, policy: Policy) {
        self.update(|inner| {
            for link in inner.links.values() {
                link.send(Outgoing::Message(Box::new(ToWorker::PolicyUpdate {
                    policy: Some(Box::new(policy.clone())),
                })));
            }
            inner.policy = Some(policy);
        });
    }

    /// Ends the links and the jobs of keys that are revoked.
    pub(crate) fn end_revoked(&self, is_revoked: impl Fn(&Key) -> bool) {
        self.update(|inner| {
            for link in inner.links.values().filter(|link| is_revoked(&link.key)) {
                tracing::warn!(gpu_id = %link.gpu_id, "link cut: its key is revoked");
                link.cut.cancel();
            }
            let gone = inner.entries.iter().filter(|(_, entry)| is_revoked(&entry.request.key));
            for job in gone.map(|(job, _)| job.clone()).collect::<Vec<_>>() {
                inner.board.remove(&job);
                inner.fail_job(&job, Failure::Key(KeyRefusal::Invalid));
            }
        });
    }

    /// The keys of all links.
    pub(crate) fn link_keys(&self) -> Vec<Arc<Key>> {
        self.lock().links.values().map(|link| Arc::clone(&link.key)).collect()
    }

    /// Ends the links whose key is not good any more; returns the earliest end of the others. A key that was revoked while a
    /// worker joined is found here.
    pub(crate) fn end_links_of_bad_keys(&self, status: impl Fn(&Key) -> KeyStatus) -> Option<Timestamp> {
        let inner = self.lock();
        let ends = inner.links.values().filter_map(|link| {
            let reason = match status(&link.key) {
                KeyStatus::Good { until } => return until,
                KeyStatus::Expired => "the time of its key is over",
                KeyStatus::Revoked => "its key is revoked",
            };
            if !link.cut.is_cancelled() {
                tracing::warn!(gpu_id = %link.gpu_id, "link cut: {reason}");
                link.cut.cancel();
            }
            None
        });
        ends.min()
    }

    /// Accepts no more jobs.
    pub(crate) fn stop(&self) {
        self.update(|inner| inner.stopping = true);
    }

    /// Ends every job.
    pub(crate) fn end_all(&self) {
        self.update(|inner| {
            for job in inner.entries.keys().cloned().collect::<Vec<_>>() {
                inner.board.remove(&job);
                inner.fail_job(&job, Failure::Stopping);
            }
        });
    }

    /// Sends a close frame on every link.
    pub(crate) fn close_links(&self, code: u16, reason: &'static str) {
        for link in self.lock().links.values() {
            link.send(Outgoing::Close { code, reason });
        }
    }

    /// Cuts every link.
    pub(crate) fn cut_links(&self) {
        for link in self.lock().links.values() {
            link.cut.cancel();
        }
    }
}
