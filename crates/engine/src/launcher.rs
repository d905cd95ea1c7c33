//! The host of engines: what all engines of one worker share, and how one is made.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::{info, warn};

use crate::binary::dry_run::{DryRunError, MemoryEstimate};
use crate::binary::{BinaryError, EngineBinary};
use crate::command_line::{self, Listen};
use crate::config::Config;
use crate::engine_log::folder::LogFolder;
use crate::engine_log::writer::LogWriter;
use crate::engine_log::{EngineLog, EngineLogs};
use crate::handle::EngineHandle;
use crate::host::processors;
use crate::host::runtime_dir::{RuntimeDir, RuntimeDirError, default_base};
use crate::process::{EngineContext, ServerFactory};
use crate::spawner::Spawner;
use crate::spec::Spec;
use crate::state_machine::Policy;

/// Why this host cannot run engines.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no usable llama-server.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// There is no private directory for sockets.
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    /// The system gave no thread or no random bytes.
    #[error("cannot prepare to start engines: {0}")]
    System(#[from] io::Error),
}

/// Runs engines. Its parts are kept until the last driver has ended.
#[derive(Debug)]
pub struct Host {
    shared: Arc<EngineContext>,
    /// The settings of engines that are made from now on.
    config: RwLock<Arc<Config>>,
    engines: AtomicU64,
    logs: EngineLogs,
}

impl Host {
    /// Makes the runtime directory, ends the processes that dead workers left, and examines the engine's program.
    ///
    /// # Errors
    ///
    /// Fails where there is no usable program, no private directory, or no thread or random bytes.
    pub async fn open(mut config: Config) -> Result<Host, HostError> {
        make_words_absolute(&mut config.extra_args);
        let spawner = Spawner::start()?;
        let env = command_line::scrubbed(std::env::vars_os());
        let base = config.runtime_dir.clone().unwrap_or_else(default_base);
        let name = format!("{:08x}", random()? as u32);
        let directory = tokio::task::spawn_blocking(move || RuntimeDir::create(&base, &name));
        let dir = Arc::new(directory.await.map_err(io::Error::other)??);
        // The examination needs it too: some builds look for libraries in their working directory.
        let spawner = spawner.within(&dir);
        let engine = EngineBinary::examine(&spawner, &config.binary, &env).await?;
        let threads = processors::threads();
        let devices: Option<Vec<&str>> =
            engine.devices.as_ref().map(|listed| listed.iter().map(|listed| &*listed.name).collect());
        info!(
            binary = %engine.binary.display(),
            build = engine.build.as_ref().map(|build| format!("{} ({})", build.build, build.commit)),
            unix_sockets = engine.unix_sockets,
            dry_run = engine.has_dry_run(),
            threads,
            devices = devices.map(|names| names.join(", ")),
            "engine"
        );
        let missing_flags = command_line::missing_flags(&engine.flags);
        if !missing_flags.is_empty() {
            warn!(
                left_out = missing_flags.join(", "),
                "this build of the engine does not know all flags; those that it does not know are left out"
            );
        }
        let shared = Arc::new(EngineContext { engine, spawner, dir, threads, env });
        let logs = log_folder(&config).map(LogWriter::start).map(EngineLogs::with_files).unwrap_or_default();
        Ok(Host { shared, config: RwLock::new(Arc::new(config)), engines: AtomicU64::new(1), logs })
    }

    /// Sets the settings of engines that are made from now on; the program, the runtime directory and the log files stay.
    pub fn configure(&self, mut config: Config) {
        make_words_absolute(&mut config.extra_args);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a stopped engine: its handle, and its driver, which the caller must run.
    pub fn create(&self, mut spec: Spec) -> (EngineHandle, impl Future<Output = ()> + Send + use<>) {
        make_absolute(&mut spec);
        let model: Arc<str> = spec.model.as_str().into();
        let engine = self.engines.fetch_add(1, Ordering::Relaxed);
        // Without random bytes engines would only retry at the same times, which is no reason to fail.
        let config = self.config();
        let policy = Policy::new(&config, random().unwrap_or(engine));
        let (handle, driver) = EngineHandle::with_driver(Arc::clone(&model), policy, |usage| ServerFactory {
            shared: Arc::clone(&self.shared),
            config,
            engine,
            log: self.logs.open(&model),
            model,
            spec,
            usage: Arc::clone(usage),
        });
        (handle, driver.run())
    }

    /// The program, its build and its arguments without the address, as one line that differs between different engines.
    pub fn command_line(&self, spec: &Spec) -> String {
        let engine = &self.shared.engine;
        let (flags, threads) = (&engine.flags, self.shared.threads);
        let arguments = command_line::arguments(spec, &self.config(), flags, threads, &Listen::Unix(PathBuf::new()));
        let words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
        let build = self.build();
        [engine.binary.display().to_string(), build].into_iter().chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Estimates a model's memory by the engine's own dry run; `None` where the engine has none, or the settings forbid it.
    /// Dropping the future ends the program.
    pub fn dry_run(
        &self,
        mut spec: Spec,
    ) -> Option<impl Future<Output = Result<MemoryEstimate, DryRunError>> + Send + use<>> {
        let shared = Arc::clone(&self.shared);
        let config = self.config();
        make_absolute(&mut spec);
        let dry_run = shared.engine.dry_run.clone().filter(|_| config.dry_run)?;
        let env = command_line::inherited(&spec, &shared.env, &shared.dir.config_home());
        Some(async move { dry_run.run(&shared.spawner, &spec, &config, env).await })
    }

    /// The newest lines of a model's engines, if it has had one.
    pub fn log(&self, model: &str) -> Option<Arc<EngineLog>> {
        self.logs.get(model)
    }

    /// The private directory of this worker, which is locked while the worker runs.
    pub fn runtime_dir(&self) -> &Path {
        self.shared.dir.path()
    }

    /// The engine's build, where it reports one.
    pub fn build(&self) -> String {
        let build = self.shared.engine.build.as_ref();
        build.map(|build| format!("{}-{}", build.build, build.commit)).unwrap_or_default()
    }

    /// The program and what it can do.
    pub fn engine(&self) -> &EngineBinary {
        &self.shared.engine
    }
}

/// The folder of log files, where there shall be any.
fn log_folder(config: &Config) -> Option<LogFolder> {
    let (folder, total) = (config.log_dir.clone()?, config.log_total_size.as_u64());
    (total > 0).then(|| LogFolder::new(folder, config.log_file_size.as_u64(), total))
}

/// Engines run in a directory of their own, so relative paths are made absolute.
fn make_absolute(spec: &mut Spec) {
    let absolute = |path: &mut PathBuf| *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
    absolute(&mut spec.file);
    spec.mmproj.iter_mut().for_each(absolute);
    make_words_absolute(&mut spec.extra_args);
}

/// Does the same for extra arguments: for a word that is the relative path of an existing file.
fn make_words_absolute(words: &mut [String]) {
    for word in words {
        let looks_so = !word.starts_with(['-', '/']) && word.contains(['/', '.']);
        if looks_so
            && Path::new(word).is_file()
            && let Ok(path) = std::path::absolute(&*word)
            && let Some(path) = path.to_str()
        {
            *word = path.to_owned();
        }
    }
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|fault| io::Error::other(fault.to_string()))
}
