//! Applies the router's policy to the fleet, and stores it.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auxot_fleet::{DesiredModel, Fleet};
use auxot_protocol::{Capabilities, Policy};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::report::log_text::shown;
use crate::router::capability_match;
use crate::router::policy_cache::PolicyCache;

/// Applies policies, each once.
#[derive(Debug)]
pub(crate) struct PolicyHandler {
    cache: PolicyCache,
    last: Mutex<Option<Policy>>,
    /// The newest policy that is not applied yet; it replaces an older one.
    offered: watch::Sender<Option<Policy>>,
    /// The gaps that were logged.
    logged: Mutex<Vec<String>>,
    /// Counts the applied policies that were new.
    taken: watch::Sender<u64>,
}

impl PolicyHandler {
    /// A handler that starts with the stored policy of the last run.
    pub(crate) fn new(cache: PolicyCache) -> Self {
        let last = cache.load().filter(Policy::is_for_gpu);
        let (offered, taken) = (watch::Sender::new(None), watch::Sender::new(0));
        Self { cache, last: Mutex::new(last), offered, logged: Mutex::default(), taken }
    }

    /// Adds to the capabilities what follows from those that the policy names.
    pub(crate) fn add_capabilities(&self, capabilities: &mut Capabilities) {
        if let Some(policy) = &*self.last() {
            capability_match::add_matched(capabilities, wanted_capabilities(policy));
        }
    }

    /// What the stored policy wants.
    pub(crate) fn cached(&self) -> Option<DesiredModel> {
        self.last().as_ref().map(desired_model)
    }

    /// Takes a policy to start from, before there is a fleet; `None` for one that is not for a GPU worker.
    pub(crate) async fn adopt_first(&self, policy: Policy) -> Option<DesiredModel> {
        if !policy.is_for_gpu() {
            return None;
        }
        *self.last() = Some(policy.clone());
        let start = desired_model(&policy);
        self.remember(policy).await;
        Some(start)
    }

    async fn remember(&self, policy: Policy) {
        let cache = self.cache.clone();
        // A policy that only repeats the worker's own model does not name a model for the next start.
        let policy = if policy.echoes(Policy::MODEL_NAME) { Policy::default() } else { policy };
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(move || cache.store(&policy)).await {
            warn!(%fault, "cannot store the router's policy; the next start requests it first");
        }
    }

    /// Offers a policy to [`PolicyHandler::run`]: looking for a missing model takes time.
    pub(crate) fn offer(&self, policy: Policy) {
        self.offered.send_replace(Some(policy));
    }

    /// Resolves when every offered policy is applied, or after `limit`.
    pub(crate) async fn wait_until_taken_in(&self, limit: Duration) {
        let mut offered = self.offered.subscribe();
        // `self` holds the sender, so the channel stays open.
        let _ = tokio::time::timeout(limit, offered.wait_for(Option::is_none)).await;
    }

    /// Changes when a new policy has been applied.
    pub(crate) fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// Applies offered policies, one after the other.
    pub(crate) async fn run(&self, fleet: &Fleet) -> Infallible {
        let mut offered = self.offered.subscribe();
        let mut changes = fleet.changes();
        loop {
            let offer = tokio::select! {
                // `self` holds the sender, so this returns only an offer.
                offer = offered.wait_for(Option::is_some) => offer.ok().and_then(|offer| offer.clone()),
                Ok(()) = changes.changed() => {
                    self.log_gaps(fleet);
                    continue;
                }
            };
            let Some(policy) = offer else { continue };
            let is_new = self.take_in(policy.clone(), fleet).await;
            self.offered.send_if_modified(|waiting| {
                // Another policy may have come meanwhile.
                let done = waiting.as_ref() == Some(&policy);
                if done {
                    *waiting = None;
                }
                done
            });
            if is_new {
                self.taken.send_modify(|count| *count += 1);
            }
        }
    }

    /// Applies a policy; whether it was new. The same policy again changes nothing.
    pub(crate) async fn take_in(&self, policy: Policy, fleet: &Fleet) -> bool {
        if !policy.is_for_gpu() {
            let worker_type = policy.worker_type.as_deref().map(shown).unwrap_or_default();
            warn!(worker_type, "refused a policy that is not for a GPU worker");
            return false;
        }
        if self.last().replace(policy.clone()).as_ref() == Some(&policy) {
            return false;
        }
        for field in &policy.dropped {
            warn!(field, "left out a field of the router's policy");
        }
        info!(
            model = shown(&policy.wanted_model()),
            context_size = policy.context_size,
            slots = policy.slots(),
            "policy of the router"
        );
        fleet.set_desired(desired_model(&policy)).await;
        self.log_gaps(fleet);
        self.remember(policy).await;
        true
    }

    /// Logs once each part of the policy that cannot be honoured, and once when it can be again. A part that is in progress
    /// is not a gap.
    fn log_gaps(&self, fleet: &Fleet) {
        let mut gaps = fleet.gaps();
        let report = fleet.report();
        let primary = report.models.first().filter(|model| model.takes_jobs());
        if let (Some(primary), Some(policy)) = (primary, &*self.last()) {
            gaps.extend(capability_match::gaps(
                &primary.model.name,
                &primary.capabilities(),
                wanted_capabilities(policy),
            ));
        }
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        for gap in gaps.iter().filter(|gap| !logged.contains(gap)) {
            warn!(gap, "cannot honour the router's policy");
        }
        for gap in logged.iter().filter(|gap| !gaps.contains(gap)) {
            info!(gap, "the router's policy can be honoured again");
        }
        *logged = gaps;
    }

    fn last(&self) -> MutexGuard<'_, Option<Policy>> {
        // Each change replaces the whole policy.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The capabilities that the policy names; those that the router derives from the worker's own model do not count.
fn wanted_capabilities(policy: &Policy) -> &[String] {
    if policy.echoes(Policy::CAPABILITIES) || policy.echoes(Policy::MODEL_NAME) { &[] } else { &policy.capabilities }
}

/// What the policy wants. A field that only repeats the worker's own announcement does not count.
fn desired_model(policy: &Policy) -> DesiredModel {
    let ctx_size = Some(policy.context_size).filter(|tokens| *tokens > 0 && !policy.echoes(Policy::CONTEXT_SIZE));
    let has_slots = policy.max_parallelism > 0 && !policy.echoes(Policy::MAX_PARALLELISM);
    let slots = has_slots.then(|| policy.slots());
    if policy.echoes(Policy::MODEL_NAME) && ctx_size.is_none() && slots.is_none() {
        return DesiredModel::default();
    }
    DesiredModel { model: policy.wanted_model(), ctx_size, slots }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_that_are_derived_from_the_workers_own_model_do_not_count() {
        let policy = |echoed: &[&str]| Policy {
            capabilities: vec!["chat".into()],
            echoed: echoed.iter().map(ToString::to_string).collect(),
            ..Policy::default()
        };
        assert_eq!(wanted_capabilities(&policy(&[Policy::CONTEXT_SIZE])), ["chat"]);
        assert!(wanted_capabilities(&policy(&[Policy::CAPABILITIES])).is_empty());
        assert!(wanted_capabilities(&policy(&[Policy::MODEL_NAME])).is_empty(), "an earlier router names no more");
    }

    #[test]
    fn fields_that_only_repeat_the_worker_do_not_count() {
        let all = Policy {
            model_name: "m".into(),
            context_size: 4096,
            max_parallelism: 2,
            echoed: [Policy::MODEL_NAME, Policy::CONTEXT_SIZE, Policy::MAX_PARALLELISM].map(str::to_owned).to_vec(),
            ..Policy::default()
        };
        assert_eq!(desired_model(&all), DesiredModel::default());
        let sized = Policy { echoed: vec![Policy::MODEL_NAME.into(), Policy::MAX_PARALLELISM.into()], ..all.clone() };
        assert_eq!(desired_model(&sized), DesiredModel { model: "m".into(), ctx_size: Some(4096), slots: None });
        let whole = Policy { echoed: Vec::new(), ..all };
        assert_eq!(desired_model(&whole), DesiredModel { model: "m".into(), ctx_size: Some(4096), slots: Some(2) });
    }
}
