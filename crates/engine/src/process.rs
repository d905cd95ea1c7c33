//! One llama-server process: its start, its pipes, what it is watched for, and its exit.

pub(crate) mod liveness;
pub(crate) mod output;
pub(crate) mod probe;

use std::ffi::OsString;
use std::fs::File;
use std::future::{Future, pending};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use auxot_llama::{Control, Endpoint};
use secrecy::SecretString;
use tokio::process::{ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::binary::EngineBinary;
use crate::command_line::{self, Listen};
use crate::config::Config;
use crate::engine_log::EngineLog;
use crate::exit_reason::{ExitClass, ExitContext, ExitReport};
use crate::host::runtime_dir::RuntimeDir;
use crate::host::{system, tasks};
use crate::process::liveness::LivenessLimits;
use crate::process::output::{Output, Printed};
use crate::process::probe::{Activity, Progress, Readiness};
use crate::spawner::{Child, Files, Spawner};
use crate::spec::Spec;
use crate::state_machine::Ready;
use crate::state_machine::{Probing, RunId, Signal};
use crate::supervisor::{Process, ProcessEvent, ProcessFactory};
use crate::usage::Usage;

/// Lines in an exit report.
const LAST_LINES: usize = 40;
/// How long the pipes of an exited process may take to reach their end. They do so at once, unless a process outside of
/// its group holds them; then the last lines are not worth a late restart.
const PIPE_TIMEOUT: Duration = Duration::from_millis(10);

/// The line that ends an engine in child mode once it has loaded. Before that it does not read, and TERM is enough.
const EXIT_LINE: &[u8] = b"cmd_router_to_child:exit\n";

/// What every process of this worker needs.
#[derive(Debug)]
pub(crate) struct EngineContext {
    pub(crate) engine: EngineBinary,
    pub(crate) spawner: Spawner,
    pub(crate) dir: Arc<RuntimeDir>,
    /// The number of threads for an engine where the operator sets none.
    pub(crate) threads: Option<u32>,
    /// The part of our environment that an engine gets.
    pub(crate) env: Vec<(OsString, OsString)>,
}

/// Starts the processes of one engine.
#[derive(Debug)]
pub(crate) struct ServerFactory {
    pub(crate) shared: Arc<EngineContext>,
    pub(crate) config: Arc<Config>,
    pub(crate) engine: u64,
    pub(crate) model: Arc<str>,
    pub(crate) log: Arc<EngineLog>,
    pub(crate) spec: Spec,
    pub(crate) usage: Arc<Usage>,
}

impl ProcessFactory for ServerFactory {
    type Process = ServerProcess;

    fn spawn(&mut self, run: RunId) -> ServerProcess {
        let begun = Instant::now();
        let stage = match self.begin(run) {
            Ok(spawning) => Stage::Spawning(spawning),
            Err(fault) => Stage::SpawnFailed(fault),
        };
        ServerProcess { stage, context: self.context(run, begun), signal: None, probing: Probing::Off }
    }
}

impl ServerFactory {
    fn begin(&self, run: RunId) -> std::io::Result<Spawning> {
        let shared = &self.shared;
        let (listen, endpoint, socket) = if shared.engine.unix_sockets {
            let path = shared.dir.file(self.engine, run.0, "sock");
            (Listen::Unix(path.clone()), Endpoint::Unix(path.clone()), Some(path))
        } else {
            let (port, key) = (free_port()?, random_key()?);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            (Listen::Tcp { port, key: key.clone() }, Endpoint::Tcp { address, key }, None)
        };
        let mut command = Command::new(&shared.engine.binary);
        let flags = &shared.engine.flags;
        command.args(command_line::arguments(&self.spec, &self.config, flags, shared.threads, &listen));
        command.env_clear();
        command.envs(command_line::environment(&self.spec, &shared.env, &shared.dir.config_home(), &listen));
        // Standard input stays open as long as the worker runs: its end shows an engine that the worker is gone.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (record, mark) = (shared.dir.file(self.engine, run.0, "json"), shared.dir.mark(self.engine, run.0));
        let files = Files { socket, record: Some(record), mark: Some(mark), model: self.spec.files.clone() };
        let answer = shared.spawner.spawn(command, files.clone());
        Ok(Spawning { answer, endpoint, files })
    }

    fn context(&self, run: RunId, begun: Instant) -> Context {
        Context {
            shared: Arc::clone(&self.shared),
            config: Arc::clone(&self.config),
            model: Arc::clone(&self.model),
            printed: Arc::new(Printed::new(Arc::clone(&self.log))),
            usage: Arc::clone(&self.usage),
            run,
            begun,
            limit_hits: tasks::limit_hits(),
        }
    }
}

/// One process, from the request to spawn it to its reaped exit.
pub(crate) struct ServerProcess {
    stage: Stage,
    context: Context,
    /// A signal that came before the process existed; it is sent as soon as it does.
    signal: Option<Signal>,
    probing: Probing,
}

struct Context {
    shared: Arc<EngineContext>,
    config: Arc<Config>,
    model: Arc<str>,
    printed: Arc<Printed>,
    usage: Arc<Usage>,
    run: RunId,
    begun: Instant,
    /// How often limits on tasks were hit before it started.
    limit_hits: tasks::LimitHits,
}

enum Stage {
    /// The spawn could not be requested.
    SpawnFailed(std::io::Error),
    Spawning(Spawning),
    Running(Box<Running>),
    Exited,
}

struct Spawning {
    answer: oneshot::Receiver<std::io::Result<Child>>,
    endpoint: Endpoint,
    files: Files,
}

impl Process for ServerProcess {
    fn signal(&mut self, signal: Signal) {
        match &mut self.stage {
            Stage::Running(running) => running.signal(&self.context, signal),
            Stage::Spawning(_) => self.signal = Some(signal),
            Stage::SpawnFailed(_) | Stage::Exited => {}
        }
    }

    fn probe(&mut self, probing: Probing) {
        self.probing = probing;
        if let Stage::Running(running) = &mut self.stage {
            running.probe(&self.context, probing);
        }
    }

    async fn next_event(&mut self) -> ProcessEvent {
        loop {
            match &mut self.stage {
                Stage::Running(running) => {
                    let event = running.next_event(&self.context).await;
                    if matches!(event, ProcessEvent::Exited(_)) {
                        self.stage = Stage::Exited;
                    }
                    return event;
                }
                Stage::Spawning(spawning) => {
                    let gone = |_| std::io::Error::other("the spawner thread is gone");
                    let started = (&mut spawning.answer).await.map_err(gone).and_then(|started| started);
                    if let Some(event) = self.spawned(started) {
                        return event;
                    }
                }
                Stage::SpawnFailed(fault) => {
                    let report = ExitReport::not_started(fault);
                    self.stage = Stage::Exited;
                    return ProcessEvent::Exited(report);
                }
                Stage::Exited => pending::<()>().await,
            }
        }
    }
}

impl ServerProcess {
    /// Takes over the spawned child. There is no await in here, so it cannot be lost half way.
    fn spawned(&mut self, started: std::io::Result<Child>) -> Option<ProcessEvent> {
        let Stage::Spawning(spawning) = std::mem::replace(&mut self.stage, Stage::Exited) else { return None };
        match started.and_then(|child| Running::new(child, spawning, &self.context)) {
            Ok(mut running) => {
                running.probe(&self.context, self.probing);
                if let Some(signal) = self.signal.take() {
                    running.signal(&self.context, signal);
                }
                let pid = running.child.pid();
                self.stage = Stage::Running(Box::new(running));
                Some(ProcessEvent::Started { pid })
            }
            Err(fault) => Some(ProcessEvent::Exited(ExitReport::not_started(&fault))),
        }
    }
}

/// A process that runs.
struct Running {
    child: Child,
    /// The process that serves: the child, or a descendant where the child is a script.
    server: u32,
    /// Closing it would end the child, so it stays open as long as the child runs.
    stdin: Option<File>,
    output: Output,
    endpoint: Endpoint,
    control: Control,
    files: Files,
    watch: Watch,
    loaded: bool,
}

/// What the process is watched for beside its exit.
enum Watch {
    Nothing,
    Load { ready: Pin<Box<dyn Future<Output = Result<Readiness, ExitClass>> + Send>>, activity: Activity },
    Liveness(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Running {
    fn new(mut child: Child, spawning: Spawning, context: &Context) -> std::io::Result<Running> {
        let Spawning { endpoint, files, .. } = spawning;
        let control = Control::new(&endpoint).map_err(std::io::Error::other)?;
        let (stdin, stdout, stderr) = child.take_pipes();
        let stdin = stdin.map(ChildStdin::into_owned_fd).transpose()?.map(File::from);
        let output = Output::start(&context.model, context.run, &context.printed, stdout, stderr);
        let server = child.pid();
        Ok(Running { child, server, stdin, output, endpoint, control, files, watch: Watch::Nothing, loaded: false })
    }

    fn signal(&mut self, context: &Context, signal: Signal) {
        let (model, run, pid) = (&context.model, context.run, self.child.pid());
        tracing::info!(%model, %run, pid, signal = signal.name(), "signal to the engine's group");
        let sent = match signal {
            Signal::Terminate => self.child.terminate(),
            Signal::Kill => self.child.kill(),
        };
        if let Err(fault) = sent {
            warn!(%model, %run, pid, signal = signal.name(), "cannot signal the engine: {fault}");
        }
        if signal == Signal::Terminate
            && let Some(stdin) = &mut self.stdin
        {
            // In child mode an engine that got TERM still waits for the thread that reads its standard input: measured,
            // it never ends by TERM alone. This line ends that thread and does not count as a second signal. A few
            // bytes into a pipe of 64 KiB never block; an exited process does not need them.
            let _exited = stdin.write_all(EXIT_LINE);
        }
    }

    fn probe(&mut self, context: &Context, probing: Probing) {
        let control = self.control.clone();
        let config = &context.config;
        self.watch = match probing {
            Probing::Off => Watch::Nothing,
            Probing::Readiness => {
                let reported = self.output.reported_state();
                let printed = Arc::clone(&context.printed);
                let activity = Activity::new(self.child.pid(), printed, reported.clone(), config.load_stall);
                let endpoint = self.endpoint.clone();
                Watch::Load { ready: Box::pin(probe::until_ready(control, endpoint, reported)), activity }
            }
            Probing::Liveness => {
                let usage = Arc::clone(&context.usage);
                let limits = LivenessLimits {
                    idle: config.liveness_interval,
                    busy: config.liveness_busy_interval,
                    timeout: config.liveness_timeout,
                    stall: config.liveness_stall,
                };
                let pid = self.server;
                let cpu = move || system::cpu_time(pid);
                Watch::Liveness(Box::pin(async move { liveness::until_lost(&control, &usage, cpu, limits).await }))
            }
        };
    }

    /// Cancel safe: every future that is awaited here keeps its progress or can be started again.
    async fn next_event(&mut self, context: &Context) -> ProcessEvent {
        tokio::select! {
            biased;
            // The exit first: other events of an exited process do not matter any more.
            status = self.child.wait() => match status {
                Ok(status) => ProcessEvent::Exited(self.exit_report(context, status).await),
                Err(fault) => ProcessEvent::Exited(ExitReport::not_started(&fault)),
            },
            observed = watched(&mut self.watch) => match observed {
                Observed::Ready(readiness) => ProcessEvent::Ready(Arc::new(self.became_ready(context, readiness))),
                Observed::LoadRefused(why) => {
                    self.watch = Watch::Nothing;
                    ProcessEvent::LoadRefused { why }
                }
                Observed::Progress(progress) => ProcessEvent::Progress { fraction: progress.fraction, output_only: progress.output_only },
                Observed::Lost => {
                    self.watch = Watch::Nothing;
                    ProcessEvent::LivenessLost
                }
            },
        }
    }

    fn became_ready(&mut self, context: &Context, readiness: Readiness) -> Ready {
        self.watch = Watch::Nothing;
        self.loaded = true;
        if let Some(server) = readiness.server
            && self.child.served_by(server)
        {
            self.server = server;
        }
        Ready {
            run: context.run,
            pid: self.server,
            endpoint: self.endpoint.clone(),
            props: readiness.props,
            load_time: context.begun.elapsed(),
        }
    }

    /// Reads the rest of the pipes and classifies the exit.
    async fn exit_report(&mut self, context: &Context, status: std::process::ExitStatus) -> ExitReport {
        let _timed_out = timeout(PIPE_TIMEOUT, self.output.finished()).await;
        context.shared.spawner.remove(self.files.clone());
        let lines = context.printed.tail(LAST_LINES);
        let exit_context = ExitContext {
            loaded: self.loaded,
            left_behind: self.child.left_behind(),
            task_limit: tasks::hit_task_limit(context.limit_hits),
        };
        ExitReport::classify(status, lines, exit_context)
    }
}

enum Observed {
    Ready(Readiness),
    LoadRefused(ExitClass),
    Progress(Progress),
    Lost,
}

async fn watched(watch: &mut Watch) -> Observed {
    match watch {
        Watch::Nothing => pending().await,
        Watch::Load { ready, activity } => tokio::select! {
            biased;
            ready = ready => ready.map_or_else(Observed::LoadRefused, Observed::Ready),
            progress = activity.next_progress() => Observed::Progress(progress),
        },
        Watch::Liveness(lost) => {
            lost.await;
            Observed::Lost
        }
    }
}

/// A port that was free a moment ago. Another program may take it before the engine does; the engine then fails to bind,
/// which is retried with another port.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn random_key() -> std::io::Result<SecretString> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|fault| std::io::Error::other(fault.to_string()))?;
    Ok(SecretString::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

#[cfg(test)]
mod tests;
