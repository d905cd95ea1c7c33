//! The driver of one engine: it turns commands, process events and deadlines into events of the state machine, and applies
//! the effects.

mod blame;
pub(crate) mod command;
#[cfg(test)]
mod tests;

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use crate::exit_reason::{ExitClass, ExitReport};
use crate::metrics;
use crate::state_machine::{Effect, Event, Phase, Policy, Probing, Ready, RunId, Signal, Timer, step};
use crate::status::{State, Status};
use crate::supervisor::blame::BlameTracker;
use crate::supervisor::command::Command;
use crate::usage::Usage;

/// Makes the processes of one engine: real ones, or scripted ones in tests.
pub(crate) trait ProcessFactory: Send + 'static {
    type Process: Process;

    /// Starts a process. Returns at once; success and failure come as events.
    fn spawn(&mut self, run: RunId) -> Self::Process;
}

/// One process, from its start to its reaped exit. Dropping it kills the process.
pub(crate) trait Process: Send {
    /// Signals the whole process group; before the process exists, the signal waits for it.
    fn signal(&mut self, signal: Signal);

    /// Sets what the process is watched for.
    fn probe(&mut self, probing: Probing);

    /// The next event. Cancel safe; after `Exited` there is none.
    fn next_event(&mut self) -> impl Future<Output = ProcessEvent> + Send;
}

/// What happens to a process.
#[derive(Debug)]
pub(crate) enum ProcessEvent {
    Started {
        pid: u32,
    },
    Progress {
        fraction: Option<f32>,
        output_only: bool,
    },
    Ready(Arc<Ready>),
    /// It runs, and will never serve the worker.
    LoadRefused {
        why: ExitClass,
    },
    LivenessLost,
    Exited(ExitReport),
}

/// The owner of one engine.
pub(crate) struct Driver<F: ProcessFactory> {
    model: Arc<str>,
    factory: F,
    policy: Policy,
    phase: Phase,
    process: Option<(RunId, F::Process)>,
    timer: Option<(RunId, Timer, Instant)>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    usage: Arc<Usage>,
    blame: BlameTracker,
    stop_waiters: Vec<oneshot::Sender<()>>,
}

/// What the driver handles next.
enum Input {
    /// A command; `None` when the last handle is gone.
    Command(Option<Command>),
    Process(RunId, ProcessEvent),
    Timer(RunId, Timer),
}

impl<F: ProcessFactory> Driver<F> {
    /// The driver of a stopped engine.
    pub(crate) fn new(
        model: Arc<str>,
        factory: F,
        policy: Policy,
        commands: mpsc::Receiver<Command>,
        status: watch::Sender<Status>,
        usage: Arc<Usage>,
    ) -> Self {
        Driver {
            model,
            factory,
            policy,
            phase: Phase::Stopped { last: RunId(0) },
            process: None,
            timer: None,
            commands,
            status,
            usage,
            blame: BlameTracker::default(),
            stop_waiters: Vec::new(),
        }
    }

    /// Runs until the last handle is gone and no process is left.
    pub(crate) async fn run(mut self) {
        let mut handles = true;
        while handles || self.phase.has_process() {
            match self.next_input(handles).await {
                Input::Command(Some(command)) => self.command(command),
                Input::Command(None) => {
                    handles = false;
                    self.handle(Event::Stop);
                }
                Input::Process(run, event) => self.process_event(run, event),
                Input::Timer(run, timer) => {
                    self.timer = None;
                    self.handle(Event::TimerFired { run, timer });
                }
            }
        }
    }

    /// Waits for the next input. Commands come before process events and those before deadlines: a stop is handled under
    /// any number of process events, and a process that was in time does not lose to its own deadline.
    async fn next_input(&mut self, handles: bool) -> Input {
        let timer = self.timer;
        tokio::select! {
            biased;
            command = self.commands.recv(), if handles => Input::Command(command),
            (run, event) = async {
                match &mut self.process {
                    Some((run, process)) => (*run, process.next_event().await),
                    None => pending().await,
                }
            } => Input::Process(run, event),
            (run, timer) = async {
                match timer {
                    Some((run, timer, at)) => {
                        tokio::time::sleep_until(at.into()).await;
                        (run, timer)
                    }
                    None => pending().await,
                }
            } => Input::Timer(run, timer),
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Start => self.handle(Event::Start),
            Command::Stop => self.handle(Event::Stop),
            Command::Kill => self.handle(Event::Kill),
            Command::Reset => self.handle(Event::Reset),
            Command::AwaitStopped(reply) => {
                // Waiters that were dropped are removed, so the list is as long as there are waiters.
                self.stop_waiters.retain(|waiter| !waiter.is_closed());
                self.stop_waiters.push(reply);
                self.answer_stop_waiters();
            }
        }
    }

    fn process_event(&mut self, run: RunId, event: ProcessEvent) {
        match event {
            ProcessEvent::Started { pid } => {
                info!(model = %self.model, %run, pid, "engine process started");
                self.status.send_modify(|status| status.pid = Some(pid));
            }
            ProcessEvent::Progress { fraction, output_only } => {
                self.handle(Event::Progress { run, fraction, output_only });
            }
            ProcessEvent::LoadRefused { why } => self.handle(Event::LoadRefused { run, why }),
            ProcessEvent::Ready(ready) => {
                metrics::loaded(&self.model, ready.load_time);
                // Where the program is a script, the process that serves is another one.
                self.status.send_modify(|status| status.pid = status.pid.map(|_| ready.pid));
                self.handle(Event::ProbePassed { run, ready });
            }
            ProcessEvent::LivenessLost => {
                self.note_suspects(run);
                self.handle(Event::LivenessLost { run });
            }
            ProcessEvent::Exited(mut report) => {
                self.note_suspects(run);
                report.blame = self.blame.blame_for(run, self.usage.answers());
                let status = self.status.borrow().clone();
                if matches!(status.state, State::Stopping) {
                    let now = tokio::time::Instant::now().into_std();
                    metrics::stopped(&self.model, now.saturating_duration_since(status.since));
                }
                debug!(model = %self.model, %run, code = report.code, signal = report.signal, "engine process gone");
                // The process goes first: a step that spawns the next one must not find this one.
                self.process = None;
                self.handle(Event::Exited { run, report: Arc::new(report) });
            }
        }
    }

    /// Records whether a suspect request uses a run that is about to be lost.
    fn note_suspects(&mut self, run: RunId) {
        if matches!(self.phase, Phase::Ready { .. }) && self.usage.suspects() > 0 {
            self.blame.suspect_uses(run);
        }
    }

    /// One step of the state machine.
    fn handle(&mut self, event: Event) {
        let name = event.name();
        let from = (self.phase.name(), self.phase.run());
        // The placeholder is never visible: nothing between here and the assignment can fail or wait.
        let phase = std::mem::replace(&mut self.phase, Phase::Stopped { last: from.1 });
        let now = tokio::time::Instant::now().into_std();
        let (phase, effects) = step(phase, event, now, &self.policy);
        self.phase = phase;
        if (self.phase.name(), self.phase.run()) != from {
            let (to, run) = (self.phase.name(), self.phase.run());
            info!(model = %self.model, from = from.0, to, event = name, %run, "engine");
        }
        for effect in effects {
            self.apply(effect);
        }
        self.answer_stop_waiters();
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { run, after } => {
                metrics::started(&self.model, after.as_ref().map(|report| report.class));
                self.process = Some((run, self.factory.spawn(run)));
                self.status.send_modify(|status| status.restarts += u64::from(after.is_some()));
            }
            Effect::SignalGroup { run, signal } => {
                if let Some((of, process)) = &mut self.process
                    && *of == run
                {
                    process.signal(signal);
                }
            }
            Effect::ArmTimer { run, timer, at } => self.timer = Some((run, timer, at)),
            Effect::DisarmTimer => self.timer = None,
            Effect::Probe(probing) => {
                if let Some((_, process)) = &mut self.process {
                    process.probe(probing);
                }
            }
            Effect::Publish => self.publish(),
            Effect::RecordFailure(report) => {
                warn!(model = %self.model, run = %self.phase.run(), class = report.class.name(), "engine ended: {report}");
                self.status.send_modify(|status| status.last_error = Some(report));
            }
            Effect::CountStale => metrics::stale(&self.model),
        }
    }

    fn publish(&mut self) {
        let state = State::from(&self.phase);
        let run = self.phase.run();
        let has_process = self.phase.has_process();
        metrics::unkillable(&self.model, matches!(self.phase, Phase::Unkillable { .. }));
        self.status.send_modify(|status| {
            if status.state.name() != state.name() || status.run != run {
                status.since = tokio::time::Instant::now().into_std();
            }
            if status.run != run || !has_process {
                status.pid = None;
            }
            status.state = state;
            status.run = run;
        });
    }

    fn answer_stop_waiters(&mut self) {
        if matches!(self.phase, Phase::Stopped { .. } | Phase::Failed { .. }) {
            for waiter in self.stop_waiters.drain(..) {
                // A waiter that was dropped needs no answer.
                let _dropped = waiter.send(());
            }
        }
    }
}

impl<F: ProcessFactory> Drop for Driver<F> {
    /// A driver that ends early, by a panic or with its runtime, takes its process with it (see [`Process`]), and the
    /// status must not say that the process serves. After a panic no driver is left to start another process, so the
    /// engine has failed.
    fn drop(&mut self) {
        let failed = std::thread::panicking().then(|| Arc::new(ExitReport::driver_failed()));
        self.status.send_modify(|status| {
            status.pid = None;
            let state = match failed {
                Some(cause) => {
                    status.last_error = Some(Arc::clone(&cause));
                    State::Failed { cause }
                }
                None if matches!(status.state, State::Stopped | State::Failed { .. }) => return,
                None => State::Stopped,
            };
            status.state = state;
            status.since = tokio::time::Instant::now().into_std();
        });
    }
}
