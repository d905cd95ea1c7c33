//! Reads the settings again when their file changes or on SIGHUP, and applies what can be applied.
//!
//! Unusable settings change nothing: every fault is logged, and the current ones stay. Of usable ones, keys that are
//! used only at the start are logged and wait for the next start.

mod watch;

use std::time::Duration;

use auxot_catalog::path_text;
use auxot_fleet::{Fleet, FleetSettings};
use auxot_settings::{Faults, Loaded, SettingChange, Settings, Sources, When};
use tokio::sync::watch as channel;
use tracing::{error, info, warn};

use crate::service_manager;
use crate::shutdown::HangUps;
use watch::FileWatch;

/// Reads the settings again, as long as the worker runs.
pub(crate) struct Reload {
    sources: Sources,
    /// The current settings.
    running: Loaded<Settings>,
    hang_ups: HangUps,
    limits: channel::Sender<StopLimits>,
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
}

impl Reload {
    /// Starts from the settings that the worker starts with.
    pub(crate) fn new(sources: Sources, running: Loaded<Settings>, hang_ups: HangUps) -> Self {
        let limits = channel::Sender::new(StopLimits::of(&running.value));
        Self { sources, running, hang_ups, limits }
    }

    /// The limits of a stop.
    pub(crate) fn limits(&self) -> channel::Receiver<StopLimits> {
        self.limits.subscribe()
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(mut self, fleet: Fleet) {
        let mut watch = FileWatch::open();
        let mut cause = Cause::Watched;
        loop {
            let file = self.running.file.clone();
            watch.follow(file.as_deref()).await;
            self.reload(cause, &fleet).await;
            cause = if file == self.running.file {
                tokio::select! {
                    () = self.hang_ups.next() => Cause::HangUp,
                    () = watch.changed() => Cause::File,
                }
            } else {
                Cause::Watched
            };
        }
    }

    async fn reload(&mut self, cause: Cause, fleet: &Fleet) {
        if cause != Cause::Watched {
            service_manager::reloading();
        }
        match self.read().await {
            Ok(read) => self.apply(read, cause, fleet),
            Err(faults) => {
                for fault in &faults.0 {
                    error!(%fault, "cannot use the new settings; the current ones stay");
                }
            }
        }
        if cause == Cause::HangUp {
            info!(models = fleet.reset_failed(), "SIGHUP: failed models may be loaded again");
        }
        if cause != Cause::Watched {
            service_manager::ready();
        }
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

    fn apply(&mut self, read: Loaded<Settings>, cause: Cause, fleet: &Fleet) {
        let changes = self.running.changes(&read);
        let keys = |when| {
            let keys =
                changes.iter().filter(|change| change.when == when).map(|change: &SettingChange| change.key.as_str());
            keys.collect::<Vec<_>>().join(", ")
        };
        let (now, waiting) = (keys(When::Now), keys(When::NextStart));
        if !waiting.is_empty() {
            warn!(keys = waiting, "settings changed that are used only at the start: restart the worker to apply them");
        }
        // A line of the file may have moved since the last warning.
        let known = |key: &str| self.running.old_names.iter().any(|warned| warned.key == key);
        for warning in read.old_names.iter().filter(|warning| !known(&warning.key)) {
            warn!(%warning, "a setting has its old name");
        }
        self.running = self.running.clone().with(read);
        if now.is_empty() {
            if cause != Cause::Watched && waiting.is_empty() {
                info!(file = self.running.file.as_deref().map(path_text), "settings read again: no changes");
            }
            return;
        }
        info!(
            file = self.running.file.as_deref().map(path_text),
            keys = now,
            "settings read again and changes applied"
        );
        let Settings { fleet: models, engine, placement, catalog, .. } = self.running.value.clone();
        let limits = StopLimits::of(&self.running.value);
        // Running engines are stopped with the limits of their start.
        self.limits.send_modify(|before| *before = StopLimits { stop: limits.stop.max(before.stop), ..limits });
        fleet.reconfigure(FleetSettings { fleet: models, engine, placement, catalog });
        if cause != Cause::HangUp {
            fleet.reset_failed();
        }
    }
}
