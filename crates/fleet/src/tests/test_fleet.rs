//! A fleet with real model files and scripted engines.

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use auxot_catalog::Catalog;
use auxot_engine::Spec;
use auxot_engine::scripted::Script;
use auxot_gpu::{Device, Sample};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::tests::scripted_engines::ScriptedEngines;
use crate::{
    Config, DesiredModel, Devices, Fleet, FleetSettings, JobTask, Lease, ModelState, ModelView, Paths, Refusal,
};

/// Far away and never waited for: the paused clock advances only when nothing else can happen.
pub(super) const LONG: Duration = Duration::from_secs(3600);

thread_local! {
    /// Folders that are kept until the test's thread ends: a blocking thread that still writes a state file would create a
    /// removed folder again.
    static KEPT: RefCell<Vec<Arc<tempfile::TempDir>>> = const { RefCell::new(Vec::new()) };
}

/// The answer to a waiting job, once there is one: the model, or the refusal.
type PendingJob = watch::Receiver<Option<Result<String, String>>>;

/// A fleet with its folder of models.
pub(super) struct TestFleet {
    pub(super) fleet: Fleet,
    pub(super) engines: ScriptedEngines,
    folder: Arc<tempfile::TempDir>,
    tasks: JoinSet<()>,
    pub(super) settings: FleetSettings,
    /// The next device sample.
    readings: Arc<Mutex<(Vec<Device>, Device)>>,
    devices: Devices,
    is_silent: Arc<std::sync::atomic::AtomicBool>,
}

impl TestFleet {
    /// A fleet with these models, and these on the operator's list.
    pub(super) fn new(models: &[&str], autoload: &[&str], desired: Option<DesiredModel>) -> TestFleet {
        let folder = folder_of(models);
        Self::open(folder, autoload, desired)
    }

    /// The same with a limit of host memory in KiB; jobs may name any model.
    pub(super) fn shared(models: &[&str], autoload: &[&str], kib: u64) -> TestFleet {
        let folder = folder_of(models);
        let autoload = autoload.iter().map(ToString::to_string).collect();
        let fleet = Config { autoload, ..Config::default() };
        let host_limit = Some(bytesize::ByteSize::kib(kib));
        let placement = auxot_placement::Config { host_limit, ..Default::default() };
        Self::with(folder, FleetSettings { fleet, placement, ..FleetSettings::default() }, None)
    }

    /// The next run over the same folders.
    pub(super) fn restart(self, desired: Option<DesiredModel>) -> TestFleet {
        drop(self.tasks);
        Self::open(self.folder, &[], desired)
    }

    fn open(folder: impl Into<Arc<tempfile::TempDir>>, autoload: &[&str], desired: Option<DesiredModel>) -> TestFleet {
        let autoload = autoload.iter().map(ToString::to_string).collect();
        let fleet = Config { autoload, on_demand: false, ..Config::default() };
        Self::with(folder, FleetSettings { fleet, ..FleetSettings::default() }, desired)
    }

    pub(super) fn of(models: &[&str], settings: FleetSettings) -> TestFleet {
        let folder = folder_of(models);
        Self::with(folder, settings, None)
    }

    /// Records a measurement for the newest placement of a model.
    pub(super) fn learn(&self, model: &str, bytes: u64) {
        self.fleet.learn(model, bytes);
    }

    /// Stops the device samples.
    pub(super) fn stop_readings(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// The folder of the models.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes a new device sample with these values.
    pub(super) async fn read(&self, devices: Vec<Device>, free: u64) {
        {
            let mut readings = self.readings.lock().unwrap();
            readings.0 = devices;
            readings.1.free = Some(free);
        }
        self.devices.refresh();
        self.settle().await;
    }

    pub(super) fn with(
        folder: impl Into<Arc<tempfile::TempDir>>,
        settings: FleetSettings,
        desired: Option<DesiredModel>,
    ) -> TestFleet {
        let readings = Arc::new(Mutex::new((vec![reading().host], reading().host)));
        let folder = folder.into();
        KEPT.with_borrow_mut(|kept| kept.push(Arc::clone(&folder)));
        let files = auxot_catalog::Config { models_dir: vec![folder.path().to_owned()], ..settings.catalog.clone() };
        let catalog = Arc::new(Catalog::scan(&files));
        let settings = FleetSettings { catalog: files, ..settings };
        let scripted = ScriptedEngines::new(folder.path().join("engine"));
        let under = Arc::clone(&readings);
        let sample = move || {
            let readings = under.lock().unwrap();
            Arc::new(Sample { devices: readings.0.clone(), host: readings.1.clone(), ..reading() })
        };
        let (sender, samples) = watch::channel(sample());
        let is_silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let silent = Arc::clone(&is_silent);
        let devices = Devices::new(samples, move || {
            if !silent.load(Ordering::SeqCst) {
                sender.send_replace(sample());
            }
        });
        let (seen, kept) = (devices.clone(), settings.clone());
        let paths = Paths { catalog, state: folder.path().join("state") };
        let engines = Box::new(scripted.clone());
        let (fleet, fleet_tasks) = Fleet::open_with(settings, engines, paths, devices, desired);
        let mut tasks = JoinSet::new();
        tasks.spawn(fleet_tasks.run());
        TestFleet { fleet, engines: scripted, folder, tasks, settings: kept, readings, devices: seen, is_silent }
    }

    /// Adds a model file to the folder.
    pub(super) fn put(&self, model: &str) {
        put(self.folder.path(), model);
    }

    /// Creates the engine program, which was missing.
    pub(super) fn put_engine(&self) {
        std::fs::write(&self.engines.program, "an engine").unwrap();
    }

    /// Lets everything happen that needs no time but a moment. The paused clock stands still while a blocking task runs, so
    /// slow threads are waited for.
    pub(super) async fn settle(&self) {
        for _ in 0..2 {
            for _ in 0..500 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_micros(1)).await;
        }
    }

    /// The scripts of a model's engines, oldest first.
    pub(super) fn scripts(&self, model: &str) -> Vec<Script> {
        let scripts = self.engines.scripts.lock().unwrap();
        scripts.iter().filter(|(spec, _)| spec.model == model).map(|(_, script)| script.clone()).collect()
    }

    /// The script of a model's newest engine.
    pub(super) fn script(&self, model: &str) -> Script {
        self.scripts(model).pop().unwrap()
    }

    /// The specs of a model's engines, oldest first.
    pub(super) fn specs(&self, model: &str) -> Vec<Spec> {
        let scripts = self.engines.scripts.lock().unwrap();
        scripts.iter().filter(|(spec, _)| spec.model == model).map(|(spec, _)| spec.clone()).collect()
    }

    /// The spec of a model's newest engine.
    pub(super) fn spec(&self, model: &str) -> Spec {
        self.specs(model).pop().unwrap()
    }

    /// Waits until a size is stored on disk.
    pub(super) async fn size_stored(&self) {
        let path = self.folder.path().join("state/sizes.json");
        while !path.is_file() {
            tokio::task::yield_now().await;
        }
    }

    /// Makes the newest engine of a model ready, in the size of its spec.
    pub(super) async fn make_ready(&self, model: &str) {
        let spec = self.spec(model);
        self.script(model).become_ready(spec.slots, spec.ctx_per_slot);
        self.settle().await;
    }

    /// The number of drivers that have ended.
    pub(super) fn ended(&self) -> usize {
        self.engines.ended.load(Ordering::SeqCst)
    }

    /// The number of handles, leases and tasks that share the fleet.
    pub(super) fn holders(&self) -> usize {
        self.fleet.holders()
    }

    pub(super) fn view(&self, model: &str) -> Option<ModelView> {
        self.fleet.report().models.into_iter().find(|view| view.model.name == model)
    }

    pub(super) fn state(&self, model: &str) -> &'static str {
        self.view(model).map_or("absent", |view| view.state.name())
    }

    /// The best of all models: `ready`, `pending`, `on_disk` or `failed`; `none` without one.
    pub(super) fn best(&self) -> &'static str {
        let states: Vec<_> = self.fleet.report().models.into_iter().map(|view| view.state).collect();
        match () {
            () if states.iter().any(|state| matches!(state, ModelState::Ready(_))) => "ready",
            () if states.iter().any(ModelState::is_pending) => "pending",
            () if states.iter().any(ModelState::takes_jobs) => "on_disk",
            () if states.is_empty() => "none",
            () => "failed",
        }
    }

    pub(super) async fn acquire(&self, model: Option<&str>) -> Result<Lease, Refusal> {
        self.acquire_for(model, JobTask::Chat).await
    }

    pub(super) async fn acquire_for(&self, model: Option<&str>, task: JobTask) -> Result<Lease, Refusal> {
        self.fleet.acquire(model, task, in_a_long_time()).await
    }

    /// A waiting job in a task of its own, and the channel for its answer.
    pub(super) async fn waiting(&mut self, model: Option<&'static str>) -> PendingJob {
        self.waiting_for(model, JobTask::Chat).await
    }

    pub(super) async fn waiting_for(&mut self, model: Option<&'static str>, task: JobTask) -> PendingJob {
        let (sender, receiver) = watch::channel(None);
        let fleet = self.fleet.clone();
        self.tasks.spawn(async move {
            let answer = fleet.acquire(model, task, in_a_long_time()).await;
            sender.send_replace(Some(
                answer.map(|lease| lease.model().to_owned()).map_err(|refusal| refusal.to_string()),
            ));
        });
        self.settle().await;
        receiver
    }
}

/// A sample of a host with memory and without devices.
fn reading() -> Sample {
    let host = Device { total: Some(64 << 30), free: Some(60 << 30), ..Sample::unread().host };
    Sample { taken: tokio::time::Instant::now().into_std(), devices: vec![host.clone()], host, withheld: false }
}

/// A desired model in a size.
pub(super) fn desired(model: &str, slots: u32) -> DesiredModel {
    DesiredModel { model: model.to_owned(), ctx_size: Some(1024), slots: Some(slots) }
}

/// A folder with these models.
fn folder_of(models: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for model in models {
        put(folder.path(), model);
    }
    folder
}

/// A model file that the catalog accepts: a header, one key for each required fact, one small tensor.
pub(crate) fn put(folder: &Path, name: &str) {
    put_sized(folder, name, 8192);
}

/// The same with this training length.
pub(super) fn put_sized(folder: &Path, name: &str, trained: u32) {
    put_headed(folder, name, trained, None);
}

/// The same with attention heads, which keep a cache for each token of the context.
pub(super) fn put_headed(folder: &Path, name: &str, trained: u32, heads: Option<u32>) {
    put_with(folder, name, trained, heads, None);
}

/// The same with a pooling type: an embedding or a rerank model.
pub(super) fn put_pooling(folder: &Path, name: &str, pooling: u32) {
    put_with(folder, name, 8192, None, Some(pooling));
}

fn put_with(folder: &Path, name: &str, trained: u32, heads: Option<u32>, pooling: Option<u32>) {
    let text = |into: &mut Vec<u8>, text: &str| {
        into.extend((text.len() as u64).to_le_bytes());
        into.extend(text.as_bytes());
    };
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.extend((4 + u64::from(heads.is_some()) + u64::from(pooling.is_some())).to_le_bytes());
    text(&mut file, "general.architecture");
    file.extend(8_u32.to_le_bytes());
    text(&mut file, "llama");
    let heads = heads.map(|heads| ("llama.attention.head_count", heads));
    let facts = [("llama.block_count", 1_u32), ("llama.context_length", trained), ("llama.embedding_length", 32)];
    let pooling = pooling.map(|pooling| ("llama.pooling_type", pooling));
    for (key, value) in facts.into_iter().chain(heads).chain(pooling) {
        text(&mut file, key);
        file.extend(4_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    text(&mut file, if heads.is_some() { "blk.0.attn_k.weight" } else { "token_embd.weight" });
    file.extend(2_u32.to_le_bytes());
    file.extend(32_u64.to_le_bytes());
    file.extend(3_u64.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(32) + 32 * 3 * 4, 0);
    std::fs::write(folder.join(format!("{name}.gguf")), file).unwrap();
}

/// A deadline on the paused clock, which tests advance by as much.
pub(super) fn in_a_long_time() -> Instant {
    tokio::time::Instant::now().into_std() + LONG
}
