//! One worker as the board sees it: its models, its slots, its jobs.

use std::collections::HashMap;

use auxot_protocol::{Capabilities, Heartbeat, ModelReport, ModelState};

use super::{JobId, Rules};
use crate::names;
use crate::pick::{Nearness, Offer};
use crate::wish::is_pending;

/// One connection that said `hello` with a good key.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Name of the only model, where `models` is empty.
    primary: String,
    models: Vec<ModelReport>,
    total_slots: u32,
    pending: bool,
    /// Heartbeats come within the threshold.
    pub(super) alive: bool,
    /// Jobs it holds, each with the model it counts for.
    pub(super) jobs: HashMap<JobId, Option<String>>,
    /// When it was last given a job, as a number that grows.
    pub(crate) last_given: u64,
}

impl Worker {
    pub(super) fn new(capabilities: &Capabilities, rules: &Rules) -> Self {
        let mut worker = Self {
            primary: String::new(),
            models: Vec::new(),
            total_slots: rules.default_slots,
            pending: false,
            alive: true,
            jobs: HashMap::new(),
            last_given: 0,
        };
        worker.told(capabilities);
        worker
    }

    /// Takes new capabilities; slots of 0 or none mean "as before".
    pub(super) fn told(&mut self, capabilities: &Capabilities) {
        self.primary.clone_from(&capabilities.model);
        self.models.clone_from(&capabilities.models);
        self.pending = is_pending(capabilities);
        if let Some(slots) = capabilities.total_slots.filter(|&slots| slots > 0) {
            self.total_slots = slots;
        }
    }

    /// Takes the truth of a heartbeat.
    pub(super) fn beat(&mut self, heartbeat: Heartbeat) {
        if !heartbeat.models.is_empty() {
            self.models = heartbeat.models;
        }
    }

    /// Names of the models it has, ready or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let only = (self.models.is_empty() && !self.pending).then_some(self.primary.as_str());
        self.models.iter().map(|report| report.name.as_str()).chain(only)
    }

    /// Whether it has the model `wanted` in whatever state.
    pub(super) fn has(&self, wanted: &str) -> bool {
        self.names().any(|name| names::matches(wanted, name)) || self.is_primary(wanted)
    }

    /// Whether it has the model `wanted`, and not as one that gave up.
    pub(super) fn has_hope(&self, wanted: &str) -> bool {
        self.models.is_empty() || self.meant(Some(wanted)).any(|report| report.state != ModelState::Failed)
    }

    /// Jobs it can run at once.
    pub(super) fn slots(&self, rules: &Rules) -> u32 {
        if self.models.is_empty() || rules.upstream {
            return self.total_slots;
        }
        self.models.iter().filter(|report| report.state == ModelState::Ready).map(|report| self.slots_of(report)).sum()
    }

    /// What it offers for a job that wants `wanted`; nothing when it is silent or has no such model at hand.
    pub(crate) fn offer(&self, wanted: Option<&str>, rules: &Rules) -> Option<Offer> {
        if !self.alive {
            return None;
        }
        let held = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        if rules.upstream {
            // Measured: slots do not matter, the model does not matter, and a pending worker is given jobs too.
            return Some(Offer { nearness: Nearness::Ready, used: held, slots: 1, model: None });
        }
        if self.models.is_empty() {
            let mine = !self.pending && wanted.is_none_or(|wanted| self.has(wanted));
            return mine.then_some(Offer {
                nearness: Nearness::Ready,
                used: held,
                slots: self.total_slots.max(1),
                model: None,
            });
        }
        self.meant(wanted).filter_map(|report| self.offer_of(report)).min_by_key(|offer| (offer.nearness, offer.used))
    }

    fn offer_of(&self, report: &ModelReport) -> Option<Offer> {
        let nearness = match report.state {
            ModelState::Ready => Nearness::Ready,
            ModelState::Starting => Nearness::Starting,
            ModelState::Stopped => Nearness::Stopped,
            ModelState::Draining | ModelState::Stopping | ModelState::BackingOff | ModelState::Failed => return None,
        };
        let used = self.jobs.values().filter(|model| model.as_deref() == Some(report.name.as_str())).count();
        Some(Offer {
            nearness,
            used: u32::try_from(used).unwrap_or(u32::MAX),
            slots: self.slots_of(report),
            model: Some(report.name.clone()),
        })
    }

    fn slots_of(&self, report: &ModelReport) -> u32 {
        report.slots.unwrap_or(self.total_slots).max(1)
    }

    /// The listed models that `wanted` can mean; the first is the primary one, also under its announced name.
    fn meant(&self, wanted: Option<&str>) -> impl Iterator<Item = &ModelReport> {
        let primary = wanted.is_none_or(|wanted| self.is_primary(wanted));
        self.models.iter().enumerate().filter_map(move |(index, report)| {
            let named = wanted.is_some_and(|wanted| names::matches(wanted, &report.name));
            (named || (primary && index == 0)).then_some(report)
        })
    }

    fn is_primary(&self, wanted: &str) -> bool {
        !self.primary.is_empty() && !self.pending && names::matches(wanted, &self.primary)
    }
}
