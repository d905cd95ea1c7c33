//! Reads the settings again when their file changes or somebody sends SIGHUP, and has the fleet take over what it can.
//!
//! Settings that cannot be used change nothing: every fault is told, and those in force stay. Of good ones, what is used
//! once, at the start, is told by name and waits for the next start.

mod watch;

use std::time::Duration;

use auxot_catalog::path_text;
use auxot_fleet::{Fleet, FleetSettings};
use auxot_settings::{Change, Faults, Loaded, Settings, Sources, When};
use tokio::sync::watch as told;
use tracing::{error, info, warn};

use crate::shutdown::HangUps;
use watch::Watch;

/// Reads the settings again, for as long as the worker lives.
pub(crate) struct Reload {
    sources: Sources,
    /// The settings in force.
    running: Loaded<Settings>,
    hang_ups: HangUps,
    limits: told::Sender<Limits>,
}

/// How long the end of the worker may take, as of now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From the wish to end until jobs are cut short.
    pub(crate) drain: Duration,
    /// From there until every engine must be gone.
    pub(crate) stop: Duration,
}

impl Limits {
    fn of(settings: &Settings) -> Self {
        Self { drain: settings.fleet.drain_timeout, stop: settings.engine.stop_worst_case() }
    }
}

/// Why the settings are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// What was written before the file was watched has been seen by nobody.
    Watched,
    File,
    HangUp,
}

impl Reload {
    /// To be made of the settings that the worker opens with.
    pub(crate) fn new(sources: Sources, running: Loaded<Settings>, hang_ups: HangUps) -> Self {
        let limits = told::Sender::new(Limits::of(&running.value));
        Self { sources, running, hang_ups, limits }
    }

    /// What holds for the end of the worker.
    pub(crate) fn limits(&self) -> told::Receiver<Limits> {
        self.limits.subscribe()
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(mut self, fleet: Fleet) {
        let mut watch = Watch::open();
        let mut cause = Cause::Watched;
        loop {
            let file = self.running.file.clone();
            watch.follow(file.as_deref()).await;
            self.again(cause, &fleet).await;
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

    async fn again(&mut self, cause: Cause, fleet: &Fleet) {
        match self.read().await {
            Ok(read) => self.take_over(read, cause, fleet),
            Err(faults) => {
                for fault in &faults.0 {
                    error!(%fault, "cannot use the new settings, the old ones stay in force");
                }
            }
        }
        if cause == Cause::HangUp {
            info!(models = fleet.reset_failed(), "SIGHUP: models that have failed get another chance");
        }
    }

    /// Reading looks at files and folders that may be far away.
    async fn read(&self) -> Result<Loaded<Settings>, Faults> {
        let (sources, running) = (self.sources.clone(), self.running.clone());
        let reading = tokio::task::spawn_blocking(move || Settings::load_again(&sources, &running));
        match reading.await {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn take_over(&mut self, read: Loaded<Settings>, cause: Cause, fleet: &Fleet) {
        let changes = self.running.changes(&read);
        let keys = |when| {
            let keys = changes.iter().filter(|change| change.when == when).map(|change: &Change| change.key.as_str());
            keys.collect::<Vec<_>>().join(", ")
        };
        let (now, waiting) = (keys(When::Now), keys(When::NextStart));
        if !waiting.is_empty() {
            warn!(keys = waiting, "settings that are used at the start only: restart the worker for them");
        }
        self.running = self.running.clone().with(read);
        if now.is_empty() {
            if cause != Cause::Watched && waiting.is_empty() {
                info!(file = self.running.file.as_deref().map(path_text), "settings read again: nothing has changed");
            }
            return;
        }
        info!(
            file = self.running.file.as_deref().map(path_text),
            keys = now,
            "settings read again: these have changed"
        );
        let Settings { fleet: models, engine, placement, catalog, .. } = self.running.value.clone();
        let limits = Limits::of(&self.running.value);
        // Engines that run already are stopped as they were started.
        self.limits.send_modify(|before| *before = Limits { stop: limits.stop.max(before.stop), ..limits });
        fleet.reconfigure(FleetSettings { fleet: models, engine, placement, catalog });
        if cause != Cause::HangUp {
            fleet.reset_failed();
        }
    }
}
