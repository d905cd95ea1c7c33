//! A worker under test with its engines and its router, in a separate folder; it leaves nothing behind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use auxot_tests::Reports;
use auxot_tests::Scratch;
use auxot_tests::leftovers;
use auxot_tests::processes::of_command_line;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::compare;
use crate::direct::Direct;
use crate::peer::{Link, Peer};

/// An upper bound for every wait of a rig.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The setup of a rig.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup<'a> {
    /// Models, each with an engine.
    pub models: usize,
    /// Slots of each; by default the worker's choice.
    pub slots: Option<usize>,
    /// Switches of the fake engine, for every request and every load.
    pub switches: &'a str,
    /// Additional real models, by name, and the engine for all.
    pub real: &'a [(&'a str, PathBuf)],
    pub engine: Option<PathBuf>,
    /// Further settings of the worker.
    pub settings: &'a [(&'a str, &'a str)],
}

/// The programs under test. Dropping it kills the worker and its engines.
#[derive(Debug)]
pub(crate) struct Rig {
    scratch: Scratch,
    pub peer: Peer,
    /// The engines' reports.
    pub reports: Reports,
    worker: Child,
    pid: u32,
}

impl Rig {
    /// Starts a worker, which is not connected yet.
    pub(crate) async fn start(setup: Setup<'_>) -> anyhow::Result<Rig> {
        Rig::start_with(setup, true).await
    }

    /// Like [`Rig::start`], without engine reports, so that engines only produce tokens.
    async fn start_with(setup: Setup<'_>, reporting: bool) -> anyhow::Result<Rig> {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        let report = if reporting { format!("--report {}", reports.path().display()) } else { String::new() };
        let mut names: Vec<String> = (0..setup.models).map(|number| format!("bench{number}-f16")).collect();
        for name in &names {
            scratch.fake_model(&format!("{name}.gguf"), &format!("{} {report}", setup.switches));
        }
        for (name, file) in setup.real {
            std::os::unix::fs::symlink(file, scratch.models().join(format!("{name}.gguf")))?;
            names.push((*name).to_owned());
        }
        let peer = Peer::listen().await?;
        let log = std::fs::File::create(scratch.join("worker.log"))?;
        let mut command = Command::new(compare::worker());
        // The folder's name in the arguments identifies the processes of this rig.
        command.arg("--models-dir").arg(scratch.models());
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(std::env::vars_os().filter(|(name, _)| name == "AUXOT_LOG_LEVEL" || name == "MALLOC_ARENA_MAX"));
        command.env("HOME", scratch.path()).env("XDG_STATE_HOME", scratch.join("state"));
        command.env("AUXOT_ROUTER_URL", format!("http://{}", peer.address()?)).env("AUXOT_GPU_KEY", "bench");
        command.env("AUXOT_GPU_AUTOLOAD_MODELS", names.join(",")).env("AUXOT_METRICS_PORT", "0");
        // The first connection is the one that serves.
        command.env("AUXOT_ROUTER__WAIT_FOR_POLICY", "false");
        command
            .env("AUXOT_LLAMA_BINARY", setup.engine.unwrap_or_else(auxot_tests::binaries::fake_engine))
            .env("AUXOT_RUNTIME_DIR", scratch.join("rt"));
        command.envs(setup.slots.map(|slots| ("AUXOT_MAX_PARALLEL", slots.to_string())));
        command.envs(setup.settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let worker = command.spawn().context("cannot start the worker")?;
        let pid = worker.id().context("a worker without a process id")?;
        Ok(Rig { scratch, peer, reports, worker, pid })
    }

    /// A worker that serves one model, its connection and a direct client of its engine.
    pub(crate) async fn serving(slots: usize) -> anyhow::Result<(Rig, Link, Direct)> {
        let setup = Setup { models: 1, slots: Some(slots), ..Setup::default() };
        let rig = Rig::start_with(setup, false).await?;
        // The worker greets before its model is loaded.
        let link = rig.link().await?;
        rig.loaded().await?;
        let direct = Direct::new(rig.socket()?);
        Ok((rig, link, direct))
    }

    /// A worker that serves one model to local clients too, its connection, and the address of its gateway.
    /// With `reporting` its engine reports what happens to requests.
    pub(crate) async fn serving_local(slots: usize, reporting: bool) -> anyhow::Result<(Rig, Link, SocketAddr)> {
        Rig::local(Setup { models: 1, slots: Some(slots), ..Setup::default() }, reporting).await
    }

    /// The same for any setup.
    pub(crate) async fn local(setup: Setup<'_>, reporting: bool) -> anyhow::Result<(Rig, Link, SocketAddr)> {
        let local = [("AUXOT_GATEWAY_ADDR", "127.0.0.1:0"), ("AUXOT_CTX_SIZE", "2048")];
        let settings = [&local[..], setup.settings].concat();
        let rig = Rig::start_with(Setup { settings: &settings, ..setup }, reporting).await?;
        // The worker greets once its model is loaded, or being loaded.
        let link = rig.link().await?;
        let address = tokio::time::timeout(DEADLINE, rig.gateway()).await;
        let address = address.with_context(|| format!("no gateway in the log:\n{}", rig.log()))??;
        Ok((rig, link, address))
    }

    /// Waits until the model is loaded.
    async fn loaded(&self) -> anyhow::Result<()> {
        let looking = async {
            let mut tick = tokio::time::interval(Duration::from_millis(1));
            while !self.log().contains("model is loaded") {
                tick.tick().await;
            }
        };
        tokio::time::timeout(DEADLINE, looking).await.with_context(|| format!("no model loaded:\n{}", self.log()))
    }

    /// The address of the gateway, as the log has it, once the model is loaded.
    async fn gateway(&self) -> anyhow::Result<SocketAddr> {
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        loop {
            tick.tick().await;
            let log = self.log();
            if !log.contains("model is loaded") {
                continue;
            }
            let line = log.lines().find(|line| line.contains("gateway listens"));
            let address = line.and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("address=")));
            if let Some(address) = address {
                return Ok(address.parse()?);
            }
        }
    }

    /// Accepts the worker's connection.
    pub(crate) async fn link(&self) -> anyhow::Result<Link> {
        Ok(self.greeted().await?.0)
    }

    /// Accepts the worker's connection and returns when `hello` arrived.
    pub(crate) async fn greeted(&self) -> anyhow::Result<(Link, Instant)> {
        let accepted = tokio::time::timeout(DEADLINE, self.peer.accept()).await;
        accepted.unwrap_or_else(|_| bail!("no worker came:\n{}", self.log()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A model's file.
    pub(crate) fn model(&self) -> PathBuf {
        self.scratch.models().join("bench0-f16.gguf")
    }

    /// A path in the rig's folder.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The socket of the only engine.
    pub(crate) fn socket(&self) -> anyhow::Result<PathBuf> {
        let sockets = walk(self.scratch.join("rt"));
        sockets.into_iter().find(|path| leftovers::is_engine_socket(path)).with_context(|| {
            format!("cannot find the engine's socket in {}:\n{}", self.scratch.path().display(), self.log())
        })
    }

    /// Sends a signal to the worker alone.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.pid)?), signal)?)
    }

    /// Kills the worker and waits until no process of the rig is left; returns the time.
    pub(crate) async fn kill(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.signal(Signal::SIGKILL)?;
        let gone = self.emptied(begun).await?;
        self.worker.wait().await?;
        Ok(gone)
    }

    /// Waits until no process of this rig exists.
    pub(crate) async fn emptied(&self, since: Instant) -> anyhow::Result<Duration> {
        let needle = self.scratch.path().display().to_string();
        // Unknown processes have no exit event to wait for.
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        loop {
            let left = of_command_line(&needle);
            let took = since.elapsed();
            if left.is_empty() {
                return Ok(took);
            }
            if took > DEADLINE {
                bail!("processes {left:?} are left");
            }
            tick.tick().await;
        }
    }

    /// The worker's log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("worker.log")).unwrap_or_default()
    }
}

/// All files in a folder and its folders.
pub(crate) fn walk(folder: PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(path) } else { vec![path] }).collect()
}
