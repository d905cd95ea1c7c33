//! The handle to the fleet for front ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_catalog::Model;
use auxot_engine::{EngineHandle, EngineLog, Host};
use tokio::sync::watch;

use crate::devices::Devices;
use crate::download::Download;
use crate::factory::Engines;
use crate::job_log::JobLog;
use crate::job_task::JobTask;
use crate::lease::{Lease, TextLimit};
use crate::model::desired::DesiredModel;
use crate::owner::Shared;
use crate::owner::requests::send_answers;
use crate::paths::Paths;
use crate::refusal::Refusal;
use crate::report::{ModelView, OtherNames, Report, UnloadedModel, metrics};
use crate::settings::FleetSettings;
use crate::state::Intake;
use crate::tasks::Tasks;

/// How long a new policy or a download waits for a scan of the models folders.
const SCAN_TIMEOUT: Duration = Duration::from_secs(10);

/// A handle to the fleet. Clones are cheap and refer to the same fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

impl Fleet {
    /// Opens a fleet and plans the models to load at start. Nothing runs before the returned [`Tasks`] runs.
    ///
    /// Blocks while it reads the models' files. The devices should have been sampled once: placements and the sizes on disk
    /// depend on them.
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

    /// Waits for a slot of a model for the task: the named one, else the primary one.
    ///
    /// Returns at once where a slot is free. Waits while the model loads or restarts, until `deadline` or for the configured
    /// maximum. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// A [`Refusal`] with the values in it.
    pub async fn acquire(&self, model: Option<&str>, task: JobTask, deadline: Instant) -> Result<Lease, Refusal> {
        self.shared.acquire(model, task, deadline).await
    }

    /// A snapshot of the model that a job would get: the named one, else the primary one. `None` where no model of the fleet
    /// is meant.
    #[must_use]
    pub fn view(&self, model: Option<&str>, task: JobTask) -> Option<ModelView> {
        self.shared.view(model, task)
    }

    /// The most text that a slot of a model can hold: the named one, else the primary one. `None` where that is unknown before
    /// an engine runs.
    #[must_use]
    pub fn text_limit(&self, model: Option<&str>) -> Option<TextLimit> {
        self.shared.text_limit(model)
    }

    /// Applies the router's policy: its model becomes the primary one, and is loaded if it is here.
    ///
    /// Returns what cannot be met, one sentence each.
    pub async fn set_desired(&self, desired: DesiredModel) -> Vec<String> {
        let scan = Arc::clone(&self.shared.lock().scan);
        scan.resolve_all(std::slice::from_ref(&desired.model));
        let known = {
            let mut state = self.shared.lock();
            self.shared.apply_policy(&mut state, desired);
            let mut answers = self.shared.apply_actions(&mut state, Vec::new());
            answers.extend(self.shared.unload_earlier_policies(&mut state));
            let known = !matches!(state.desired, crate::state::Desired::Missing { .. });
            drop(state);
            send_answers(answers);
            known
        };
        self.shared.changed();
        if !known {
            // The file may have come after the last scan; each scan also adds missing models.
            self.shared.scan_again(tokio::time::Instant::now().into_std() + SCAN_TIMEOUT).await;
        }
        self.shared.lock().gaps()
    }

    /// The models of the policy and of the list that no file of the folders has and that are to be downloaded, in the order of
    /// their downloads. Empty without `fleet.pull` and during a drain.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.shared.missing()
    }

    /// Takes the downloads of missing models as they are now, for reports.
    pub fn set_downloads(&self, downloads: Vec<Download>) {
        self.shared.set_downloads(downloads);
    }

    /// Scans the models folders, however recent the last scan is: a download has ended.
    pub async fn scan(&self) {
        let mut ended = self.shared.scanned.subscribe();
        self.shared.lock().scan_change();
        self.shared.work_ready.notify_one();
        // A scan that ran before this call may have missed the files; another one follows it.
        let scanning = async { while ended.changed().await.is_ok() && !self.shared.lock().scans.is_idle() {} };
        // The interval's next scan finds the model too.
        let _late = tokio::time::timeout(SCAN_TIMEOUT, scanning).await;
    }

    /// The parts of the router's policy that are not met, one sentence each; a change under way counts as met.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        self.shared.lock().gaps()
    }

    /// Applies new settings while the fleet runs. Engines that already match them are not touched.
    pub fn reconfigure(&self, settings: FleetSettings) {
        self.shared.reconfigure(settings);
    }

    /// A snapshot of the fleet.
    #[must_use]
    pub fn report(&self) -> Report {
        self.shared.report()
    }

    /// Models of the folders that no list, policy or job has named and that a job may name: at most `most`, sorted by name.
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

    /// The operator's aliases of models of this host, each with the model's name: at most `most`.
    #[must_use]
    pub fn aliases(&self, most: usize) -> Vec<(String, String)> {
        let state = self.shared.lock();
        state.scan.catalog.aliases().iter().take(most).map(|alias| (alias.name.clone(), alias.model.clone())).collect()
    }

    /// The canonical name of the model of this host that a name means.
    #[must_use]
    pub fn canonical_name(&self, name: &str) -> Option<String> {
        let scan = Arc::clone(&self.shared.lock().scan);
        scan.catalog.resolve(name).ok().map(|model| model.name.clone())
    }

    /// The other names of the first `most` usable models.
    #[must_use]
    pub fn other_names(&self, most: usize) -> Vec<OtherNames> {
        let state = self.shared.lock();
        let served = state.scan.catalog.other_names().filter(|(model, _)| model.task.is_served());
        served.take(most).map(|(model, names)| OtherNames::of(model, names)).collect()
    }

    /// Serves the first model of the folders where no named model is here and jobs may name any. Returns whether there is a
    /// model.
    pub fn serve_any_model(&self) -> bool {
        self.shared.serve_any_model()
    }

    /// Why no model serves a job that names none, in one sentence.
    #[must_use]
    pub fn nothing_to_serve(&self) -> String {
        self.shared.lock().nothing_to_serve()
    }

    /// Updates the gauges before a scrape.
    pub fn publish_metrics(&self) {
        let report = self.report();
        metrics::publish(&report);
        for model in &report.models {
            if let Some(log) = self.shared.engines.log(&model.model.name) {
                metrics::publish_log(&model.model.name, log.bytes());
            }
        }
    }

    /// The jobs of all front ends.
    #[must_use]
    pub fn jobs(&self) -> &Arc<JobLog> {
        &self.shared.jobs
    }

    /// The name of a model, and the newest lines of its engines if it has had one.
    ///
    /// # Errors
    /// Where there is no such model.
    pub fn engine_log(&self, model: &str) -> Result<(String, Option<Arc<EngineLog>>), Refusal> {
        let name = self.shared.known_name(model)?;
        let log = self.shared.engines.log(&name);
        Ok((name, log))
    }

    /// Changes with everything that `hello` or `config` reports to the router.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Whether there are models, and all of them have failed; see `owner::retry` for what ends that.
    #[must_use]
    pub fn all_have_failed(&self) -> bool {
        self.shared.lock().all_have_failed()
    }

    /// Whether a model takes jobs now, or would be loaded for one.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.shared.lock().takes_jobs()
    }

    /// Whether the fleet has any model.
    #[must_use]
    pub fn has_models(&self) -> bool {
        self.shared.lock().staying().next().is_some()
    }

    /// Loads a model of the fleet or of the folders, as for a job; a failed one is retried. Returns its name.
    ///
    /// # Errors
    /// Where there is no such model, or the worker is shutting down.
    pub fn load(&self, model: &str) -> Result<String, Refusal> {
        self.shared.load_by_command(model)
    }

    /// Unloads a model: its jobs may go on for the drain time, and the next job loads it again. Returns its name.
    ///
    /// # Errors
    /// Where there is no such model, or the worker is shutting down.
    pub fn unload(&self, model: &str) -> Result<String, Refusal> {
        self.shared.unload_by_command(model)
    }

    /// Sets whether a model may be evicted, until the worker ends. Returns its name.
    ///
    /// # Errors
    /// Where there is no such model, or the worker is shutting down.
    pub fn pin(&self, model: &str, is_pinned: bool) -> Result<String, Refusal> {
        self.shared.pin_by_command(model, is_pinned)
    }

    /// Retries a model now that has failed or waits for its next attempt: the named one, or the primary one.
    ///
    /// # Errors
    /// Where there is no such model.
    pub fn reset(&self, model: Option<&str>) -> Result<(), Refusal> {
        self.shared.reset(model)
    }

    /// Retries every model now that has failed or waits for its next attempt. Returns their number.
    pub fn reset_failed(&self) -> usize {
        self.shared.reset_failed()
    }

    /// Begins a drain: no engine is started or replaced and no folder scanned any more; jobs still get slots of running
    /// engines.
    pub fn freeze(&self) {
        let mut state = self.shared.lock();
        if state.intake == Intake::Open {
            state.intake = Intake::Frozen;
        }
        let actions = state.scheduler.freeze(self.shared.moment());
        // No scan starts any more, so models that wait for one fail.
        self.shared.settle_scanned(&mut state, false);
        self.shared.conclude(state, actions);
        self.shared.changed();
    }

    /// Refuses new and waiting jobs; running jobs go on.
    pub fn refuse(&self) {
        let mut state = self.shared.lock();
        state.intake = Intake::Closed;
        let actions = state.scheduler.freeze(self.shared.moment());
        let mut answers = self.shared.apply_actions(&mut state, actions);
        let by_scheduler_id: Vec<_> = state.by_scheduler_id.keys().copied().collect();
        let waiting =
            by_scheduler_id.into_iter().flat_map(|scheduler_id| state.scheduler.take_waiting(scheduler_id)).collect();
        answers.extend(self.shared.dismiss(&mut state, waiting, || Refusal::Draining));
        drop(state);
        send_answers(answers);
    }

    /// Kills every engine without waiting.
    pub fn kill(&self) {
        self.refuse();
        for handle in self.handles() {
            handle.kill();
        }
    }

    /// Stops every engine; the jobs have been drained before. Resolves when all have exited.
    pub async fn stop(&self) {
        // After this, no engine is started, so these are all engines.
        self.refuse();
        let handles = self.handles();
        for handle in &handles {
            handle.stop();
        }
        for handle in &handles {
            handle.stopped().await;
        }
    }

    /// The number of scans of the models folders.
    #[cfg(test)]
    pub(crate) fn scans(&self) -> u64 {
        *self.shared.scanned.borrow()
    }

    /// Whether a change in the folders awaits a scan.
    #[cfg(test)]
    pub(crate) fn has_changed(&self) -> bool {
        self.shared.lock().scans.has_changed()
    }

    /// Records a measurement for the present placement of a model.
    #[cfg(test)]
    pub(crate) fn learn(&self, model: &str, bytes: u64) {
        let state = self.shared.lock();
        let managed = state.models.values().find(|managed| managed.name() == model).unwrap();
        let engine = managed.engine.as_ref().unwrap();
        assert_eq!(engine.placement.shares.len(), 1, "{:?}", engine.placement);
        assert!(engine.record(vec![bytes], &self.shared.measurements));
    }

    /// The number of handles, leases and tasks that share this fleet.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.shared)
    }

    fn handles(&self) -> Vec<EngineHandle> {
        let state = self.shared.lock();
        state.models.values().filter_map(|managed| Some(managed.engine.as_ref()?.handle.clone())).collect()
    }
}
