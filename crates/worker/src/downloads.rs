//! Downloads the missing models of the operator's list and of the router's policy (`fleet.pull`), one at a time.
//!
//! Only names of the table of models are downloaded: a policy cannot name an address. A download runs on a thread of its own,
//! so that no token waits for it. It ends early when its model is no longer wanted, and what has arrived is kept for the next
//! attempt.

mod attempt;
mod queue;

use std::path::PathBuf;
use std::sync::Arc;

use auxot_catalog::path_text;
use auxot_fleet::{DownloadState, Fleet};
use auxot_settings::Settings;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use attempt::{Attempt, free_without_models};
use queue::{Next, Queue};

/// The end of an attempt.
enum Ended {
    /// The model is here.
    Complete,
    /// Another attempt follows.
    Failed(String),
    /// The model is not wanted any more.
    Unwanted,
}

/// Runs as long as the worker.
pub(crate) async fn run(fleet: Fleet, settings: watch::Receiver<Arc<Settings>>) {
    let (mut changes, mut queue) = (fleet.changes(), Queue::default());
    loop {
        changes.borrow_and_update();
        let wanted = fleet.missing();
        let next = queue.next(&wanted, Instant::now());
        if let Next::Attempt(name) = next {
            let current = Arc::clone(&settings.borrow());
            let first_pause = current.fleet.failed_retry;
            info!(model = name, "a missing model is downloaded");
            match Box::pin(attempt(&fleet, &mut queue, &name, current)).await {
                Ended::Complete => {}
                Ended::Failed(reason) => {
                    let pause = queue.failed(&name, &reason, first_pause, Instant::now());
                    warn!(model = name, reason, pause_s = pause.as_secs_f64(), "a missing model is not downloaded yet");
                }
                Ended::Unwanted => info!(model = name, "the download is ended: its model is no longer wanted"),
            }
            continue;
        }
        fleet.set_downloads(queue.downloads(&wanted, None));
        let due = async {
            match next {
                Next::Wait(due) => sleep_until(due).await,
                Next::Attempt(_) | Next::Nothing => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = due => {}
        }
    }
}

/// Downloads one model.
async fn attempt(fleet: &Fleet, queue: &mut Queue, name: &str, settings: Arc<Settings>) -> Ended {
    let mut changes = fleet.changes();
    let mut attempt = Attempt::start(settings, name, free_without_models(&fleet.report()));
    let result = loop {
        changes.borrow_and_update();
        let wanted = fleet.missing();
        if !wanted.iter().any(|wanted| wanted == name) {
            // The folders may have been scanned between the placing of the last file and the end of the attempt.
            return if attempt.has_all() {
                complete(fleet, queue, name, attempt.end().await).await
            } else {
                Ended::Unwanted
            };
        }
        let state = attempt.state();
        fleet.set_downloads(queue.downloads(&wanted, Some((name, state))));
        tokio::select! {
            step = attempt.step() => if let Some(result) = step { break result },
            changed = changes.changed() => if changed.is_err() { return Ended::Unwanted },
        }
    };
    complete(fleet, queue, name, result).await
}

/// Waits until what was downloaded is found.
async fn complete(fleet: &Fleet, queue: &Queue, name: &str, result: Result<PathBuf, String>) -> Ended {
    let file = match result {
        Ok(file) => file,
        Err(reason) => return Ended::Failed(reason),
    };
    let running = Some((name, DownloadState::Complete));
    fleet.set_downloads(queue.downloads(&fleet.missing(), running));
    fleet.scan().await;
    if fleet.missing().iter().any(|missing| missing == name) {
        let file = path_text(&file);
        return Ended::Failed(format!(
            "it was downloaded as {file}, and no model is found there by this name: add one to catalog.aliases"
        ));
    }
    info!(model = name, file = path_text(&file), "a missing model is downloaded and found");
    Ended::Complete
}
