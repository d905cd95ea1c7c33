//! A worker under test with its engines and its router, in a folder of its own; nothing is left of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use auxot_tests::Reports;
use auxot_tests::Scratch;
use auxot_tests::processes::of_command_line;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::direct::Direct;
use crate::peer::{Link, Peer};

/// Nothing in a rig takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a rig is set up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setup<'a> {
    /// Models, each with an engine.
    pub models: usize,
    /// Slots of each; the worker's own choice when absent.
    pub slots: Option<usize>,
    /// Switches of the fake engine, for every request and every load.
    pub switches: &'a str,
    /// Real models beside them, by name, and the engine for all.
    pub real: &'a [(&'a str, PathBuf)],
    pub engine: Option<PathBuf>,
    /// More of the worker's settings.
    pub settings: &'a [(&'a str, &'a str)],
}

/// What is under test. The worker is killed when this is dropped, and its engines with it.
#[derive(Debug)]
pub(crate) struct Rig {
    scratch: Scratch,
    pub peer: Peer,
    /// What the engines tell.
    pub reports: Reports,
    worker: Child,
    pid: u32,
}

impl Rig {
    /// Starts a worker; it has not come to its router yet.
    pub(crate) async fn start(setup: Setup<'_>) -> anyhow::Result<Rig> {
        Rig::start_with(setup, true).await
    }

    /// As [`Rig::start`]; engines that report nothing have nothing to do but tokens.
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
        let mut command = Command::new(auxot_tests::binaries::program("auxot-worker"));
        // The folder's name in the arguments is what tells the processes of this rig from all others.
        command.arg("--models-dir").arg(scratch.models());
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(std::env::vars_os().filter(|(name, _)| name == "AUXOT_LOG_LEVEL" || name == "MALLOC_ARENA_MAX"));
        command.env("HOME", scratch.path()).env("XDG_STATE_HOME", scratch.join("state"));
        command.env("AUXOT_ROUTER_URL", format!("http://{}", peer.address()?)).env("AUXOT_GPU_KEY", "bench");
        command.env("AUXOT_GPU_AUTOLOAD_MODELS", names.join(",")).env("AUXOT_METRICS_PORT", "0");
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

    /// A worker that serves one model, with the link to it and the way around it.
    pub(crate) async fn serving(slots: usize) -> anyhow::Result<(Rig, Link, Direct)> {
        let setup = Setup { models: 1, slots: Some(slots), ..Setup::default() };
        let rig = Rig::start_with(setup, false).await?;
        let link = rig.link().await?;
        let direct = Direct::new(rig.socket()?);
        Ok((rig, link, direct))
    }

    /// Takes the worker's link.
    pub(crate) async fn link(&self) -> anyhow::Result<Link> {
        Ok(self.greeted().await?.0)
    }

    /// Takes the worker's link and says when it greeted.
    pub(crate) async fn greeted(&self) -> anyhow::Result<(Link, Instant)> {
        let accepted = tokio::time::timeout(PATIENCE, self.peer.accept()).await;
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
        sockets.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "sock")).with_context(|| {
            format!("cannot find the engine's socket in {}:\n{}", self.scratch.path().display(), self.log())
        })
    }

    /// Sends a signal to the worker alone.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.pid)?), signal)?)
    }

    /// Kills the worker and waits until nothing of the rig is left; says how long that took.
    pub(crate) async fn kill(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.signal(Signal::SIGKILL)?;
        let gone = self.emptied(begun).await?;
        self.worker.wait().await?;
        Ok(gone)
    }

    /// Waits until no process of this rig lives.
    pub(crate) async fn emptied(&self, since: Instant) -> anyhow::Result<Duration> {
        let needle = self.scratch.path().display().to_string();
        // There is no event for the end of processes that may not even be known.
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        loop {
            let left = of_command_line(&needle);
            let took = since.elapsed();
            if left.is_empty() {
                return Ok(took);
            }
            if took > PATIENCE {
                bail!("processes {left:?} are left");
            }
            tick.tick().await;
        }
    }

    /// What the worker has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("worker.log")).unwrap_or_default()
    }
}

fn walk(folder: PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(path) } else { vec![path] }).collect()
}
