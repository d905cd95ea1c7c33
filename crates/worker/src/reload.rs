//! Reads the settings again when their file changes, on SIGHUP or by command, and applies what can be applied.
//!
//! Unusable settings change nothing: every fault is logged, and the current ones stay. Of usable ones, keys that are
//! used only at the start are logged and wait for the next start.

use std::sync::Arc;
use std::time::Duration;

use auxot_admin::control::api::Reloaded;
use auxot_catalog::path_text;
use auxot_fleet::{Fleet, FleetSettings};
use auxot_folder_watch::FileWatch;
use auxot_settings::{Faults, Loaded, SettingChange, Settings, Sources, When};
use tokio::sync::{mpsc, oneshot, watch as channel};
use tracing::{error, info, warn};

use crate::service_manager;
use crate::shutdown::HangUps;

/// Requests for a reload that may wait.
const MOST_REQUESTS: usize = 4;

/// The result of a reload; an error is the faults, one a line.
type Outcome = Result<Reloaded, String>;

/// Requests reloads by command.
#[derive(Debug, Clone)]
pub(crate) struct ReloadRequests(mpsc::Sender<oneshot::Sender<Outcome>>);

impl ReloadRequests {
    /// Requests a reload and waits for its result.
    pub(crate) fn request(&self) -> impl Future<Output = Outcome> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let is_queued = self.0.try_send(answer).is_ok();
        async move {
            if !is_queued {
                return Err("cannot reload: other reloads are waiting".to_owned());
            }
            answered.await.unwrap_or_else(|_| Err("cannot reload: the worker ends".to_owned()))
        }
    }
}

/// Reads the settings again, as long as the worker runs.
pub(crate) struct Reload {
    sources: Sources,
    /// The current settings.
    running: Loaded<Settings>,
    hang_ups: HangUps,
    limits: channel::Sender<StopLimits>,
    settings: channel::Sender<Arc<Settings>>,
    requests: mpsc::Receiver<oneshot::Sender<Outcome>>,
    requester: ReloadRequests,
}

/// How long the stop of the worker may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StopLimits {
    /// From the first signal until jobs are cut short.
    pub(crate) drain: Duration,
    /// From there until every engine must have exited.
    pub(crate) stop: Duration,
}

impl StopLimits {
    fn of(settings: &Settings) -> Self {
        Self { drain: settings.fleet.drain_timeout, stop: settings.engine.stop_worst_case() }
    }
}

/// Why the settings are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The file may have changed before it was watched.
    Watched,
    File,
    HangUp,
    Command,
}

impl Reload {
    /// Starts from the settings that the worker starts with.
    pub(crate) fn new(sources: Sources, running: Loaded<Settings>, hang_ups: HangUps) -> Self {
        let limits = channel::Sender::new(StopLimits::of(&running.value));
        let settings = channel::Sender::new(Arc::new(running.value.clone()));
        let (requester, requests) = mpsc::channel(MOST_REQUESTS);
        Self { sources, running, hang_ups, limits, settings, requests, requester: ReloadRequests(requester) }
    }

    /// Requests for reloads by command.
    pub(crate) fn requests(&self) -> ReloadRequests {
        self.requester.clone()
    }

    /// The limits of a stop.
    pub(crate) fn limits(&self) -> channel::Receiver<StopLimits> {
        self.limits.subscribe()
    }

    /// The current settings.
    pub(crate) fn settings(&self) -> channel::Receiver<Arc<Settings>> {
        self.settings.subscribe()
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(mut self, fleet: Fleet) {
        let mut watch = FileWatch::open("the configuration file: send SIGHUP after a change");
        let (mut cause, mut answer) = (Cause::Watched, None::<oneshot::Sender<Outcome>>);
        loop {
            let file = self.running.file.clone();
            watch.follow(file.as_deref()).await;
            let outcome = self.reload(cause, &fleet).await;
            if let Some(answer) = answer.take() {
                // A client that has left needs no answer.
                let _left = answer.send(outcome);
            }
            cause = if file == self.running.file {
                tokio::select! {
                    () = self.hang_ups.next() => Cause::HangUp,
                    () = watch.changed() => Cause::File,
                    // This holds a sender, so the channel does not end.
                    Some(request) = self.requests.recv() => {
                        answer = Some(request);
                        Cause::Command
                    }
                }
            } else {
                Cause::Watched
            };
        }
    }

    async fn reload(&mut self, cause: Cause, fleet: &Fleet) -> Outcome {
        if cause != Cause::Watched {
            service_manager::reloading();
        }
        let mut outcome = match self.read().await {
            Ok(read) => Ok(self.apply(read, cause, fleet)),
            Err(faults) => {
                for fault in &faults.0 {
                    error!(%fault, "cannot use the new settings; the current ones stay");
                }
                Err(faults.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
        };
        if matches!(cause, Cause::HangUp | Cause::Command) {
            let reset = fleet.reset_failed();
            info!(models = reset, "reload requested: failed models may be loaded again");
            if let Ok(reloaded) = &mut outcome {
                reloaded.reset = reset;
            }
        }
        if cause != Cause::Watched {
            service_manager::ready();
        }
        outcome
    }

    /// Files and folders of the settings may be on a slow file system.
    async fn read(&self) -> Result<Loaded<Settings>, Faults> {
        let (sources, running) = (self.sources.clone(), self.running.clone());
        let reading = tokio::task::spawn_blocking(move || Settings::load_again(&sources, &running));
        match reading.await {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn apply(&mut self, read: Loaded<Settings>, cause: Cause, fleet: &Fleet) -> Reloaded {
        let changes = self.running.changes(&read);
        let keys = |when| {
            let keys = changes.iter().filter(|change: &&SettingChange| change.when == when);
            keys.map(|change| change.key.clone()).collect::<Vec<String>>()
        };
        let (now, waiting) = (keys(When::Now), keys(When::NextStart));
        if !waiting.is_empty() {
            let keys = waiting.join(", ");
            warn!(keys, "settings changed that are used only at the start: restart the worker to apply them");
        }
        // A line of the file may have moved since the last warning.
        let known = |key: &str| self.running.old_names.iter().any(|warned| warned.key == key);
        for warning in read.old_names.iter().filter(|warning| !known(&warning.key)) {
            warn!(%warning, "a setting has its old name");
        }
        self.running = self.running.clone().with(read);
        let file = self.running.file.as_deref().map(path_text);
        if now.is_empty() {
            if cause != Cause::Watched && waiting.is_empty() {
                info!(file, "settings read again: no changes");
            }
        } else {
            info!(file, keys = now.join(", "), "settings read again and changes applied");
            self.apply_to(fleet, cause);
        }
        Reloaded { file, applied: now, at_next_start: waiting, reset: 0 }
    }

    fn apply_to(&self, fleet: &Fleet, cause: Cause) {
        let Settings { fleet: models, engine, placement, catalog, .. } = self.running.value.clone();
        let limits = StopLimits::of(&self.running.value);
        // Running engines are stopped with the limits of their start.
        self.limits.send_modify(|before| *before = StopLimits { stop: limits.stop.max(before.stop), ..limits });
        self.settings.send_replace(Arc::new(self.running.value.clone()));
        fleet.reconfigure(FleetSettings { fleet: models, engine, placement, catalog });
        if matches!(cause, Cause::Watched | Cause::File) {
            fleet.reset_failed();
        }
    }
}
