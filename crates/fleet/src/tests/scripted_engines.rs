//! Scripted engines: no process, and each status and dry run as the test says.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use auxot_engine::scripted::{self, Script};
use auxot_engine::{Config, DryRunError, EngineHandle, EngineLog, ListedDevice, MemoryEstimate, MemoryParts, Spec};
use auxot_gpu::ProcessUse;
use tokio::sync::oneshot;

use crate::factory::{Driver, DryRun, Engines};

/// Creates scripted engines and keeps their scripts.
#[derive(Debug, Clone, Default)]
pub(super) struct ScriptedEngines {
    pub(super) scripts: Arc<Mutex<Vec<(Spec, Script)>>>,
    pub(super) ended: Arc<AtomicUsize>,
    pub(super) program: PathBuf,
    /// Dry runs that wait for their result.
    dry_run_answers: DryRunAnswers,
}

/// The model of each dry run, and the channel for its result; `None` where dry runs are off.
type DryRunAnswers = Arc<Mutex<Option<Vec<(String, oneshot::Sender<Option<MemoryEstimate>>)>>>>;

impl ScriptedEngines {
    /// The engines of this program; dry runs are off.
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program, ..Self::default() }
    }

    /// Turns dry runs on.
    pub(super) fn allow_dry_runs(&self) {
        *self.dry_run_answers.lock().unwrap() = Some(Vec::new());
    }

    /// Ends the dry runs of a model, or of all, without a result.
    pub(super) fn answer_dry_runs(&self, of: Option<&str>) {
        self.answer(of, None);
    }

    /// Ends the dry runs of a model with this many bytes of weights in host memory.
    pub(super) fn count_in_dry_runs(&self, of: &str, weights: u64) {
        self.answer(
            Some(of),
            Some(MemoryEstimate { devices: Vec::new(), host: MemoryParts { weights, ..MemoryParts::default() } }),
        );
    }

    /// The running dry runs of a model.
    pub(super) fn dry_runs(&self, of: &str) -> usize {
        let dry_run_answers = self.dry_run_answers.lock().unwrap();
        dry_run_answers.iter().flatten().filter(|(model, answer)| of == model && !answer.is_closed()).count()
    }

    fn answer(&self, of: Option<&str>, estimate: Option<MemoryEstimate>) {
        let mut dry_run_answers = self.dry_run_answers.lock().unwrap();
        let answered = dry_run_answers.as_mut().unwrap().extract_if(.., |(model, _)| of.is_none_or(|of| of == model));
        for (_, answer) in answered {
            // A dropped receiver is a cancelled dry run.
            let _given_up = answer.send(estimate.clone());
        }
    }
}

impl Engines for ScriptedEngines {
    fn create(&self, spec: Spec) -> (EngineHandle, Driver) {
        let (handle, driver, script) = scripted::engine(&spec.model, &Config::default());
        script.exit_on_signal();
        self.scripts.lock().unwrap().push((spec, script));
        let ended = Arc::clone(&self.ended);
        let counted = async move {
            driver.await;
            ended.fetch_add(1, Ordering::SeqCst);
        };
        (handle, Box::pin(counted))
    }

    fn dry_run(&self, spec: Spec) -> Option<DryRun> {
        let (answer, answered) = oneshot::channel();
        self.dry_run_answers.lock().unwrap().as_mut()?.push((spec.model, answer));
        Some(Box::pin(async move {
            let none = || DryRunError::Unreadable { program: PathBuf::new(), output: String::new() };
            answered.await.ok().flatten().ok_or_else(none)
        }))
    }

    fn devices(&self) -> Option<Vec<ListedDevice>> {
        None
    }

    fn host_memory(&self, pid: u32) -> ProcessUse {
        // A process of this number may exist, and is none of theirs.
        ProcessUse::on_device(pid, None)
    }

    fn log(&self, _: &str) -> Option<Arc<EngineLog>> {
        None
    }

    fn program(&self) -> PathBuf {
        self.program.clone()
    }

    fn build(&self) -> String {
        "b1".to_owned()
    }

    fn configure(&self, _: Config) {}

    fn line(&self, spec: &Spec) -> String {
        format!("{} {:?}", spec.slots, spec.ctx_per_slot)
    }
}
