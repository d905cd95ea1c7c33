//! The router's wish on its way to the fleet and to the memo of the last one.

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

/// Takes in policies, each once.
#[derive(Debug)]
pub(crate) struct PolicyHandler {
    cache: PolicyCache,
    last: Mutex<Option<Policy>>,
    /// The newest policy that is not taken in yet: of several that come at once only the last one counts.
    offered: watch::Sender<Option<Policy>>,
    /// What of the policy was said to be out of reach.
    logged: Mutex<Vec<String>>,
    /// Counts those that were news.
    taken: watch::Sender<u64>,
}

impl PolicyHandler {
    /// A keeper that starts from the policy of the last run, if one is remembered.
    pub(crate) fn new(cache: PolicyCache) -> Self {
        let last = cache.load().filter(Policy::is_for_gpu);
        let (offered, taken) = (watch::Sender::new(None), watch::Sender::new(0));
        Self { cache, last: Mutex::new(last), offered, logged: Mutex::default(), taken }
    }

    /// Adds to what is true of this worker what follows from the router's wish for certain capabilities.
    pub(crate) fn add_capabilities(&self, capabilities: &mut Capabilities) {
        if let Some(policy) = &*self.last() {
            capability_match::add_matched(capabilities, wished_capabilities(policy));
        }
    }

    /// The wish to start from.
    pub(crate) fn cached(&self) -> Option<DesiredModel> {
        self.last().as_ref().map(desired_model)
    }

    /// Takes a policy as what to start from, before there is a fleet; `None` for one that is not for us.
    pub(crate) async fn adopt_first(&self, policy: Policy) -> Option<DesiredModel> {
        if !policy.is_for_gpu() {
            return None;
        }
        *self.last() = Some(policy.clone());
        let wanted = desired_model(&policy);
        self.remember(policy).await;
        Some(wanted)
    }

    async fn remember(&self, policy: Policy) {
        let cache = self.cache.clone();
        // A model that is only the worker's own is no reason to load it the next time.
        let policy = if policy.echoes(Policy::MODEL_NAME) { Policy::default() } else { policy };
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(move || cache.store(&policy)).await {
            warn!(%fault, "cannot remember the router's policy; the next start asks for it first");
        }
    }

    /// Leaves a policy to be taken in: a model that is not here yet is looked for, which takes its time.
    pub(crate) fn offer(&self, policy: Policy) {
        self.offered.send_replace(Some(policy));
    }

    /// Resolves when every policy that was offered is taken in, or after `patience`.
    pub(crate) async fn wait_until_taken_in(&self, limit: Duration) {
        let mut offered = self.offered.subscribe();
        // The sender is ours, so this ends in no other way.
        let _ = tokio::time::timeout(limit, offered.wait_for(Option::is_none)).await;
    }

    /// Changes whenever a policy that was news has been taken in.
    pub(crate) fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// Takes in what is offered, one after the other.
    pub(crate) async fn run(&self, fleet: &Fleet) -> Infallible {
        let mut offered = self.offered.subscribe();
        let mut changes = fleet.changes();
        loop {
            let offer = tokio::select! {
                // The sender is ours, so this ends with an offer and in no other way.
                offer = offered.wait_for(Option::is_some) => offer.ok().and_then(|offer| offer.clone()),
                Ok(()) = changes.changed() => {
                    self.log_gaps(fleet);
                    continue;
                }
            };
            let Some(policy) = offer else { continue };
            let is_new = self.take_in(policy.clone(), fleet).await;
            self.offered.send_if_modified(|waiting| {
                // Another one may have come meanwhile.
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

    /// Takes in what the router sent; whether it was news. The same again changes nothing.
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

    /// Says what of the policy cannot be had, once; and once that it can be by now. What is being brought about is no gap.
    fn log_gaps(&self, fleet: &Fleet) {
        let mut gaps = fleet.gaps();
        let report = fleet.report();
        let primary = report.models.first().filter(|model| model.ready.is_some() || model.asleep);
        if let (Some(primary), Some(policy)) = (primary, &*self.last()) {
            gaps.extend(capability_match::gaps(
                &primary.model.name,
                &primary.capabilities(),
                wished_capabilities(policy),
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
        // A policy is put there whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the router wishes the model could do; a guess from the worker's own model is no wish.
fn wished_capabilities(policy: &Policy) -> &[String] {
    if policy.echoes(Policy::CAPABILITIES) || policy.echoes(Policy::MODEL_NAME) { &[] } else { &policy.capabilities }
}

/// What a router that does not wish for a field says of it is the worker's own announcement, and no wish.
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
    fn what_a_router_guesses_of_the_workers_own_model_is_no_wish() {
        let policy = |echoed: &[&str]| Policy {
            capabilities: vec!["chat".into()],
            echoed: echoed.iter().map(ToString::to_string).collect(),
            ..Policy::default()
        };
        assert_eq!(wished_capabilities(&policy(&[Policy::CONTEXT_SIZE])), ["chat"]);
        assert!(wished_capabilities(&policy(&[Policy::CAPABILITIES])).is_empty());
        assert!(wished_capabilities(&policy(&[Policy::MODEL_NAME])).is_empty(), "an earlier router names no more");
    }

    #[test]
    fn what_only_repeats_the_worker_is_no_wish() {
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
