//! The handle to the fleet: what the front ends may ask of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_catalog::Model;
use auxot_engine::{EngineHandle, Host};
use tokio::sync::watch;

use crate::availability::Availability;
use crate::devices::Devices;
use crate::factory::Engines;
use crate::lease::Lease;
use crate::lease::send_answers;
use crate::model::desired::DesiredModel;
use crate::owner::Shared;
use crate::paths::Paths;
use crate::refusal::Refusal;
use crate::report::metrics;
use crate::report::{OtherNames, Report, UnloadedModel};
use crate::settings::FleetSettings;
use crate::state::Intake;
use crate::tasks::Tasks;
use crate::text_limit::TextLimit;

/// How long a policy may wait for a scan through the models folders.
const SCAN_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle to the fleet; clones are cheap and mean the same fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

impl Fleet {
    /// Opens a fleet of the models to be loaded at start, and starts them all. Nothing runs before the
    /// returned [`Tasks`] is driven.
    ///
    /// Blocks for as long as it takes to look at the models' files. The devices should have been read once: places and
    /// remembered sizes depend on them.
    #[must_use]
    pub fn open(
        settings: FleetSettings,
        host: Host,
        places: Paths,
        devices: Devices,
        desired: Option<DesiredModel>,
    ) -> (Self, Tasks) {
        Self::open_with(settings, Box::new(host), places, devices, desired)
    }

    pub(crate) fn open_with(
        settings: FleetSettings,
        engines: Box<dyn Engines>,
        places: Paths,
        devices: Devices,
        desired: Option<DesiredModel>,
    ) -> (Self, Tasks) {
        let shared = Arc::new(Shared::new(settings, engines, places, devices));
        shared.open_models(desired);
        (Self { shared: Arc::clone(&shared) }, Tasks::new(shared))
    }

    /// Waits for a slot of a model that chats: the one named, else the primary one.
    ///
    /// Resolves at once where a slot is free. Waits while the model loads or restarts, never longer than
    /// until `deadline` or the configured maximum. Dropping the future gives the place up.
    ///
    /// # Errors
    /// A typed refusal with the numbers in it.
    pub async fn acquire(&self, model: Option<&str>, deadline: Instant) -> Result<Lease, Refusal> {
        self.shared.acquire(model, deadline).await
    }

    /// The most text that a slot of a model can come to hold: the one named, else the primary one. Nothing where that is not
    /// known before an engine runs.
    #[must_use]
    pub fn text_limit(&self, model: Option<&str>) -> Option<TextLimit> {
        self.shared.text_limit(model)
    }

    /// Takes in the router's wish: its model becomes the primary one, and is loaded if it is here.
    ///
    /// Returns what cannot be honoured, one sentence each.
    pub async fn set_desired(&self, desired: DesiredModel) -> Vec<String> {
        let known = {
            let mut state = self.shared.lock();
            self.shared.apply_policy(&mut state, desired);
            let mut answers = self.shared.apply_actions(&mut state, Vec::new());
            answers.extend(self.shared.retire(&mut state));
            let known = !matches!(state.desired, crate::state::Desired::Missing { .. });
            drop(state);
            send_answers(answers);
            known
        };
        self.shared.changed();
        if !known {
            // The file may have come after the last scan; a scan takes in what was missing by itself.
            self.shared.scan_again(tokio::time::Instant::now().into_std() + SCAN_TIMEOUT).await;
        }
        self.shared.lock().gaps()
    }

    /// What of the router's policy cannot be had now, one sentence each; what is being brought about is none of it.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        self.shared.lock().gaps()
    }

    /// Takes in other settings while everything runs: what runs as they say is not touched.
    pub fn reconfigure(&self, settings: FleetSettings) {
        self.shared.reconfigure(settings);
    }

    /// Everything as it is now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// The models of the folders that nobody has asked for yet, and that a job may name: at most so many, in the order of
    /// their names.
    #[must_use]
    pub fn unloaded_models(&self, most: usize) -> Vec<UnloadedModel> {
        if !self.shared.settings().fleet.on_demand {
            return Vec::new();
        }
        let state = self.shared.lock();
        let known = |model: &&Model| state.models.values().any(|managed| managed.model.file == model.file);
        state
            .scan
            .catalog
            .models()
            .iter()
            .filter(|model| model.task.is_served() && !known(model))
            .take(most)
            .map(UnloadedModel::of)
            .collect()
    }

    /// The operator's own names for models of this host, each with what it stands for: at most so many.
    #[must_use]
    pub fn aliases(&self, most: usize) -> Vec<(String, String)> {
        let state = self.shared.lock();
        state.scan.catalog.aliases().iter().take(most).map(|alias| (alias.name.clone(), alias.model.clone())).collect()
    }

    /// What the first so many models that can be used are called besides their canonical names.
    #[must_use]
    pub fn other_names(&self, most: usize) -> Vec<OtherNames> {
        let state = self.shared.lock();
        let served = state.scan.catalog.other_names().filter(|(model, _)| model.task.is_served());
        served.take(most).map(|(model, names)| OtherNames::of(model, names)).collect()
    }

    /// Where nobody has named a model that is here: the first of the folders is what a job without a name means, if jobs may
    /// name any. Whether there is one.
    pub fn serve_any_model(&self) -> bool {
        self.shared.serve_any_model()
    }

    /// Why there is no model that serves without being named, in one sentence.
    #[must_use]
    pub fn nothing_to_serve(&self) -> String {
        self.shared.lock().nothing_to_serve()
    }

    /// Brings the fleet's gauges up to this moment, before a scrape.
    pub fn publish_metrics(&self) {
        metrics::publish(&self.report());
    }

    /// Changes whenever something changes that the router is told in `hello` or `config`, [`Fleet::availability`] included.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What can be expected of the models here: whether one takes jobs now, or will by itself, or all have failed.
    #[must_use]
    pub fn availability(&self) -> Availability {
        self.shared.lock().availability()
    }

    /// Whether any model takes jobs now, or sleeps until one comes.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.shared.lock().takes_jobs()
    }

    /// Whether there is any model that could ever take jobs.
    #[must_use]
    pub fn has_models(&self) -> bool {
        self.availability() != Availability::Nothing
    }

    /// Gives a model another chance now: one that has failed, or that waits for its next try. No name is the primary one.
    ///
    /// # Errors
    /// When there is no such model.
    pub fn reset(&self, model: Option<&str>) -> Result<(), Refusal> {
        self.shared.reset(model)
    }

    /// Gives every model that has failed, or that waits for its next try, another chance now; how many there are.
    pub fn reset_failed(&self) -> usize {
        self.shared.reset_failed()
    }

    /// Starts, replaces and looks for nothing any more; jobs that wait or come still get the slots of what runs.
    /// This is how a drain begins.
    pub fn freeze(&self) {
        let mut state = self.shared.lock();
        if state.intake == Intake::Open {
            state.intake = Intake::Frozen;
        }
        let effects = state.scheduler.freeze(self.shared.moment());
        // No scan begins any more: what waits for one ends.
        self.shared.settle_scanned(&mut state, false);
        self.shared.conclude(state, effects);
        self.shared.changed();
    }

    /// Takes no more jobs; those that wait are sent away, those that run go on.
    pub fn refuse(&self) {
        let mut state = self.shared.lock();
        state.intake = Intake::Closed;
        let effects = state.scheduler.freeze(self.shared.moment());
        let mut answers = self.shared.apply_actions(&mut state, effects);
        let by_scheduler_id: Vec<_> = state.by_scheduler_id.keys().copied().collect();
        let waiting =
            by_scheduler_id.into_iter().flat_map(|scheduler_id| state.scheduler.dismiss(scheduler_id)).collect();
        answers.extend(self.shared.dismiss(&mut state, waiting, || Refusal::Draining));
        drop(state);
        send_answers(answers);
    }

    /// Kills every engine without waiting for anything.
    pub fn kill(&self) {
        self.refuse();
        for handle in self.handles() {
            handle.kill();
        }
    }

    /// Stops every engine; the jobs have been drained before. Resolves when all have ended.
    pub async fn stop(&self) {
        // From here on nothing is started, so these are all that there are.
        self.refuse();
        let handles = self.handles();
        for handle in &handles {
            handle.stop();
        }
        for handle in &handles {
            handle.stopped().await;
        }
    }

    /// How often the models folders were scanned.
    #[cfg(test)]
    pub(crate) fn scans(&self) -> u64 {
        *self.shared.scanned.borrow()
    }

    /// Whether something in them has changed since.
    #[cfg(test)]
    pub(crate) fn has_changed(&self) -> bool {
        self.shared.lock().scans.has_changed()
    }

    /// The present place of a model is known to have taken so much.
    #[cfg(test)]
    pub(crate) fn learn(&self, model: &str, bytes: u64) {
        let state = self.shared.lock();
        let managed = state.models.values().find(|managed| managed.name() == model).unwrap();
        let engine = managed.engine.as_ref().unwrap();
        assert_eq!(engine.placement.shares.len(), 1, "{:?}", engine.placement);
        self.shared.measurements.learn(engine.subject.as_ref().unwrap(), &engine.placement, vec![bytes]);
    }

    /// How many handles, leases and tasks share this fleet.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.shared)
    }

    fn handles(&self) -> Vec<EngineHandle> {
        let state = self.shared.lock();
        state.models.values().filter_map(|managed| Some(managed.engine.as_ref()?.handle.clone())).collect()
    }
}
