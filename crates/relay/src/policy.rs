//! The router's wish on its way to the fleet and to the memo of the last one.

pub(crate) mod claims;
pub(crate) mod memo;

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auxot_fleet::{Fleet, Wish};
use auxot_protocol::{Capabilities, Policy};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::policy::memo::Memo;

/// Takes in policies, each once.
#[derive(Debug)]
pub(crate) struct PolicyKeeper {
    memo: Memo,
    last: Mutex<Option<Policy>>,
    /// The newest policy that is not taken in yet: of several that come at once only the last one counts.
    offered: watch::Sender<Option<Policy>>,
    /// Counts those that were news.
    taken: watch::Sender<u64>,
}

impl PolicyKeeper {
    /// A keeper that starts from the policy of the last run, if one is remembered.
    pub(crate) fn new(memo: Memo) -> Self {
        let last = memo.recall().filter(Policy::is_for_gpu);
        Self { memo, last: Mutex::new(last), offered: watch::Sender::new(None), taken: watch::Sender::new(0) }
    }

    /// Adds to what is true of this worker what follows from the router's wish for certain capabilities.
    pub(crate) fn claim(&self, capabilities: &mut Capabilities) {
        if let Some(policy) = &*self.last() {
            claims::claim(capabilities, &policy.capabilities);
        }
    }

    /// The wish to start from.
    pub(crate) fn recalled(&self) -> Option<Wish> {
        self.last().as_ref().map(wish)
    }

    /// Leaves a policy to be taken in: a model that is not here yet is looked for, which takes its time.
    pub(crate) fn offer(&self, policy: Policy) {
        self.offered.send_replace(Some(policy));
    }

    /// Resolves when every policy that was offered is taken in, or after `patience`.
    pub(crate) async fn settled(&self, patience: Duration) {
        let mut offered = self.offered.subscribe();
        // The sender is ours, so this ends in no other way.
        let _ = tokio::time::timeout(patience, offered.wait_for(Option::is_none)).await;
    }

    /// Changes whenever a policy that was news has been taken in.
    pub(crate) fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// Takes in what is offered, one after the other.
    pub(crate) async fn keep(&self, fleet: &Fleet) -> Infallible {
        let mut offered = self.offered.subscribe();
        loop {
            // The sender is ours, so this ends with an offer and in no other way.
            let offer = offered.wait_for(Option::is_some).await.ok().and_then(|offer| offer.clone());
            let Some(policy) = offer else { continue };
            let news = self.take_in(policy.clone(), fleet).await;
            self.offered.send_if_modified(|waiting| {
                // Another one may have come meanwhile.
                let done = waiting.as_ref() == Some(&policy);
                if done {
                    *waiting = None;
                }
                done
            });
            if news {
                self.taken.send_modify(|count| *count += 1);
            }
        }
    }

    /// Takes in what the router sent; whether it was news. The same again changes nothing.
    pub(crate) async fn take_in(&self, policy: Policy, fleet: &Fleet) -> bool {
        if !policy.is_for_gpu() {
            warn!(worker_type = policy.worker_type, "refused a policy that is not for a GPU worker");
            return false;
        }
        if self.last().replace(policy.clone()).as_ref() == Some(&policy) {
            return false;
        }
        info!(
            model = policy.wanted_model(),
            context_size = policy.context_size,
            slots = policy.slots(),
            "policy of the router"
        );
        let mut gaps = fleet.wish(wish(&policy)).await;
        if let Some(primary) = fleet.report().models.first() {
            gaps.extend(claims::gaps(&primary.model.name, &primary.capabilities(), &policy.capabilities));
        }
        for gap in gaps {
            warn!(gap, "cannot honour the router's policy");
        }
        let memo = self.memo.clone();
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(move || memo.keep(&policy)).await {
            warn!(%fault, "cannot remember the router's policy; the next start asks for it first");
        }
        true
    }

    fn last(&self) -> MutexGuard<'_, Option<Policy>> {
        // A policy is put there whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wish(policy: &Policy) -> Wish {
    Wish {
        model: policy.wanted_model(),
        ctx_size: Some(policy.context_size).filter(|tokens| *tokens > 0),
        slots: (policy.max_parallelism > 0).then(|| policy.slots()),
    }
}
