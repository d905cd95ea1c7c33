//! Turns what changes in the fleet and at the router into events, and keeps the history of each model.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auxot_fleet::{Download, ExitReport, Fleet, ModelState, ModelView, RunId};
use tokio::sync::watch;

use super::api::{EngineRun, EventKind, StateChange};
use super::event_log::{EventLog, now_ms};
use super::views::download_event;

/// States of one model that are kept.
const KEPT_STATES: usize = 32;
/// Processes of one model that are kept.
const KEPT_RUNS: usize = 16;

/// The events of the worker, and the history of its models.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) events: EventLog,
    models: Mutex<BTreeMap<String, History>>,
}

/// The history of one model.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) states: VecDeque<StateChange>,
    pub(crate) runs: VecDeque<EngineRun>,
    run: Option<RunId>,
    last_error: Option<Arc<ExitReport>>,
}

/// What is new about a model.
struct Seen<'a> {
    state: &'a ModelState,
    /// Its process, and the number of it among those of its engine.
    process: Option<(u32, RunId)>,
    last_error: Option<&'a Arc<ExitReport>>,
}

impl Observer {
    pub(crate) fn new() -> Self {
        Self { events: EventLog::new(), models: Mutex::default() }
    }

    /// Watches until it is dropped.
    pub(crate) async fn watch(&self, fleet: &Fleet, mut router: watch::Receiver<Option<&'static str>>) {
        let mut changes = fleet.changes();
        let (mut trouble, mut downloads) = (None, Vec::new());
        loop {
            changes.borrow_and_update();
            let report = fleet.report();
            self.compare(&report.models);
            changed_downloads(&downloads, &report.downloads).for_each(|now| self.events.push(download_event(now)));
            downloads = report.downloads;
            let now = *router.borrow_and_update();
            if now != trouble {
                trouble = now;
                self.events.push(EventKind::Router { trouble: now.map(str::to_owned) });
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                // Where there is no router, this end says so at once, and then nothing changes.
                Ok(()) = router.changed() => {}
            }
        }
    }

    /// The history of a model.
    pub(crate) fn history(&self, model: &str) -> History {
        self.lock().get(model).cloned().unwrap_or_default()
    }

    /// The processes of all models.
    pub(crate) fn runs(&self) -> Vec<EngineRun> {
        self.lock().values().flat_map(|history| history.runs.iter().cloned()).collect()
    }

    fn compare(&self, models: &[ModelView]) {
        let now = now_ms();
        let mut histories = self.lock();
        let mut events = Vec::new();
        for view in models {
            let name = &view.model.name;
            let status = &view.status;
            let process = status.pid.map(|pid| (pid, status.run));
            let seen = Seen { state: &view.state, process, last_error: status.last_error.as_ref() };
            match histories.get_mut(name) {
                Some(history) => history.compare(name, &seen, now, &mut events),
                None => histories.entry(name.clone()).or_default().compare(name, &seen, now, &mut events),
            }
        }
        histories.retain(|name, _| {
            let is_here = models.iter().any(|view| view.model.name == *name);
            if !is_here {
                events.push(EventKind::ModelGone { model: name.clone() });
            }
            is_here
        });
        drop(histories);
        events.into_iter().for_each(|event| self.events.push(event));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, History>> {
        // A panic under this lock leaves histories that miss a change.
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The downloads that are new or differ from those before.
fn changed_downloads<'n>(before: &[Download], now: &'n [Download]) -> impl Iterator<Item = &'n Download> {
    let is_known =
        |now: &Download| before.iter().any(|before| before.model == now.model && before.state.is_like(&now.state));
    now.iter().filter(move |now| !is_known(now))
}

impl History {
    fn compare(&mut self, model: &str, seen: &Seen<'_>, now: u64, events: &mut Vec<EventKind>) {
        let is_same = |known: &Arc<ExitReport>| seen.last_error.is_some_and(|error| Arc::ptr_eq(known, error));
        let failure = seen.last_error.filter(|_| !self.last_error.as_ref().is_some_and(is_same));
        let failure = failure.map(ToString::to_string);
        self.last_error = seen.last_error.cloned();
        self.compare_process(model, seen, &failure, now, events);
        let state = seen.state.name();
        let before = self.states.back().map(|before| before.state.clone());
        if before.as_deref() != Some(state) {
            push(
                &mut self.states,
                KEPT_STATES,
                StateChange { at_ms: now, state: state.to_owned(), cause: failure.clone() },
            );
            let (model, to) = (model.to_owned(), state.to_owned());
            events.push(EventKind::Model { model, from: before, to, cause: failure });
        }
    }

    fn compare_process(
        &mut self,
        model: &str,
        seen: &Seen<'_>,
        failure: &Option<String>,
        now: u64,
        events: &mut Vec<EventKind>,
    ) {
        let same_run = seen.process.filter(|(_, run)| self.run == Some(*run));
        if let Some(run) = self.runs.back_mut().filter(|run| run.ended_ms.is_none()) {
            match same_run {
                // Where the program is a script, the process that serves is another one.
                Some((pid, _)) => run.pid = pid,
                None => {
                    run.ended_ms = Some(now);
                    run.cause.clone_from(failure);
                    let (model, pid, cause) = (model.to_owned(), run.pid, failure.clone());
                    events.push(EventKind::EngineEnded { model, pid, cause });
                }
            }
        }
        self.run = seen.process.map(|(_, run)| run);
        let runs = self.runs.back().is_some_and(|run| run.ended_ms.is_none());
        if let Some((pid, _)) = seen.process.filter(|_| !runs) {
            let run = EngineRun {
                model: model.to_owned(),
                pid,
                started_ms: now,
                ready_ms: None,
                ended_ms: None,
                cause: None,
            };
            push(&mut self.runs, KEPT_RUNS, run);
            events.push(EventKind::EngineStarted { model: model.to_owned(), pid });
        }
        if let Some(run) = self.runs.back_mut().filter(|run| run.ended_ms.is_none())
            && matches!(seen.state, ModelState::Ready(_))
        {
            run.ready_ms.get_or_insert(now);
        }
    }
}

fn push<T>(kept: &mut VecDeque<T>, most: usize, new: T) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with a state and a process; returns the kinds of the events.
    fn see(history: &mut History, state: &ModelState, process: Option<(u32, u64)>) -> Vec<EventKind> {
        let mut events = Vec::new();
        let process = process.map(|(pid, run)| (pid, RunId(run)));
        history.compare("m", &Seen { state, process, last_error: None }, 7, &mut events);
        events
    }

    #[test]
    fn each_state_and_each_process_is_one_event() {
        let mut history = History::default();
        let (on_disk, failed) = (ModelState::OnDisk, ModelState::Failed);
        let first = see(&mut history, &on_disk, None);
        let to = |from: Option<&str>, to: &str| EventKind::Model {
            model: "m".into(),
            from: from.map(str::to_owned),
            to: to.into(),
            cause: None,
        };
        assert_eq!(first, [to(None, "on_disk")]);
        assert_eq!(see(&mut history, &on_disk, None), []);
        assert_eq!(see(&mut history, &on_disk, Some((4, 1))), [EventKind::EngineStarted { model: "m".into(), pid: 4 }]);
        let ended = |pid| EventKind::EngineEnded { model: "m".into(), pid, cause: None };
        assert_eq!(see(&mut history, &on_disk, Some((40, 1))), [], "a script has started the process that serves");
        let next = see(&mut history, &on_disk, Some((5, 2)));
        assert_eq!(next, [ended(40), EventKind::EngineStarted { model: "m".into(), pid: 5 }]);
        assert_eq!(see(&mut history, &failed, None), [ended(5), to(Some("on_disk"), "failed")]);
        assert_eq!(history.runs.iter().map(|run| run.ended_ms).collect::<Vec<_>>(), [Some(7), Some(7)]);
    }

    #[test]
    fn a_download_is_an_event_with_its_state_and_each_tenth() {
        let at = |model: &str, bytes| Download {
            model: model.to_owned(),
            state: auxot_fleet::DownloadState::Receiving { bytes, total: 100 },
        };
        let changed = |before: &[Download], now: &[Download]| changed_downloads(before, now).count();
        assert_eq!(changed(&[], &[at("a", 0), at("b", 0)]), 2);
        assert_eq!(changed(&[at("b", 0), at("a", 0)], &[at("a", 9), at("b", 0)]), 0);
        assert_eq!(changed(&[at("a", 9), at("b", 0)], &[at("a", 10), at("b", 0)]), 1);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut history = History::default();
        for pid in 0..100 {
            see(&mut history, &ModelState::OnDisk, Some((pid, u64::from(pid))));
            see(&mut history, &ModelState::Failed, None);
        }
        assert_eq!((history.states.len(), history.runs.len()), (KEPT_STATES, KEPT_RUNS));
    }
}
