//! The one task that owns a child: it brings events to the machine and carries out what the machine decides.

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
use crate::status::{NotReady, State, Status, answer, outer};
use crate::supervisor::blame::BlameTracker;
use crate::supervisor::command::Command;
use crate::usage::Usage;

/// Where lives come from: real processes, or scripted ones in tests.
pub(crate) trait ProcessFactory: Send + 'static {
    type Process: Process;

    /// Begins a life. Returns at once; how it went comes as news.
    fn spawn(&mut self, run: RunId) -> Self::Process;
}

/// One child, from its start to its reaped exit. Dropping it ends the child by force.
pub(crate) trait Process: Send {
    /// Signals the whole group; one that is not there yet gets it as soon as it is.
    fn signal(&mut self, signal: Signal);

    /// Sets what is watched for.
    fn probe(&mut self, probing: Probing);

    /// The next piece of news. Cancel safe; after `Exited` there is none.
    fn next_event(&mut self) -> impl Future<Output = ProcessEvent> + Send;
}

/// What a life tells.
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
    /// It is there, and will never serve us.
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
    ready_waiters: Vec<oneshot::Sender<Result<Arc<Ready>, NotReady>>>,
    stop_waiters: Vec<oneshot::Sender<()>>,
}

/// What woke the driver.
enum Input {
    Command(Option<Command>),
    Process(RunId, ProcessEvent),
    Timer(RunId, Timer),
    Idle,
}

impl<F: ProcessFactory> Driver<F> {
    /// A driver at rest.
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
            ready_waiters: Vec::new(),
            stop_waiters: Vec::new(),
        }
    }

    /// Serves the commands until the last handle is gone and no process is left.
    pub(crate) async fn run(mut self) {
        let mut handles = true;
        while handles || self.phase.has_process() {
            match self.next_input(handles).await {
                Input::Command(Some(command)) => self.command(command),
                Input::Command(None) => {
                    handles = false;
                    self.feed(Event::Stop { drain: std::time::Duration::ZERO });
                }
                Input::Process(run, event) => self.process_event(run, event),
                Input::Timer(run, timer) => {
                    self.timer = None;
                    self.feed(Event::TimerFired { run, timer });
                }
                Input::Idle => self.feed(Event::Idle { run: self.phase.run() }),
            }
        }
    }

    /// Waits for whatever comes first. Verbs come before news and news before deadlines: a stop must be heard under
    /// any flood of news, and a child that did make it in time must not lose to its own deadline.
    async fn next_input(&mut self, handles: bool) -> Input {
        let draining = matches!(self.phase, Phase::Draining { .. });
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
            () = self.usage.emptied(), if draining => Input::Idle,
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
            Command::Start => self.feed(Event::Start),
            Command::Stop { drain } => self.feed(Event::Stop { drain }),
            Command::Kill => self.feed(Event::Kill),
            Command::Reset => self.feed(Event::Reset),
            Command::AwaitReady(reply) => {
                // Who has stopped waiting makes room, so the list is as long as there are waiters.
                self.ready_waiters.retain(|waiter| !waiter.is_closed());
                self.ready_waiters.push(reply);
                self.answer_ready_waiters();
            }
            Command::AwaitStopped(reply) => {
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
                self.feed(Event::Progress { run, fraction, output_only })
            }
            ProcessEvent::LoadRefused { why } => self.feed(Event::LoadRefused { run, why }),
            ProcessEvent::Ready(ready) => {
                metrics::loaded(&self.model, ready.load_time);
                // Where a script was started, the process that serves is another one.
                self.status.send_modify(|status| status.pid = status.pid.map(|_| ready.pid));
                self.feed(Event::ProbePassed { run, ready });
            }
            ProcessEvent::LivenessLost => {
                self.lost(run);
                self.feed(Event::LivenessLost { run });
            }
            ProcessEvent::Exited(mut report) => {
                self.lost(run);
                report.blame = self.blame.blame_for(run, self.usage.answers());
                debug!(model = %self.model, %run, code = report.code, signal = report.signal, "engine process gone");
                // First the life, then its news: a step that spawns the next one must find the place empty.
                self.process = None;
                self.feed(Event::Exited { run, report: Arc::new(report) });
            }
        }
    }

    /// Remembers who used a life that is being lost.
    fn lost(&mut self, run: RunId) {
        if matches!(self.phase, Phase::Ready { .. }) && self.usage.suspects() > 0 {
            self.blame.suspect_uses(run);
        }
    }

    /// One turn of the machine.
    fn feed(&mut self, event: Event) {
        let word = event.name();
        let from = (self.phase.name(), self.phase.run());
        // The placeholder is never seen: nothing between here and the assignment can fail or wait.
        let phase = std::mem::replace(&mut self.phase, Phase::Stopped { last: from.1 });
        let now = tokio::time::Instant::now().into_std();
        let (phase, effects) = step(phase, event, now, &self.policy);
        self.phase = phase;
        if (self.phase.name(), self.phase.run()) != from {
            let (to, run) = (self.phase.name(), self.phase.run());
            info!(model = %self.model, from = from.0, to, event = word, %run, "engine");
        }
        for effect in effects {
            self.carry_out(effect);
        }
        self.answer_stop_waiters();
    }

    fn carry_out(&mut self, effect: Effect) {
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
            Effect::Blame(report) => {
                warn!(model = %self.model, run = %self.phase.run(), class = report.class.name(), "engine ended: {report}");
                self.status.send_modify(|status| status.last_error = Some(report));
            }
            Effect::AnswerWaiters => self.answer_ready_waiters(),
            Effect::CountStale => metrics::stale(&self.model),
        }
    }

    fn publish(&mut self) {
        let state = outer(&self.phase);
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

    fn answer_ready_waiters(&mut self) {
        if let Some(answer) = answer(&self.phase) {
            for waiter in self.ready_waiters.drain(..) {
                // Who has stopped waiting needs no answer.
                let _unheard = waiter.send(answer.clone());
            }
        }
    }

    fn answer_stop_waiters(&mut self) {
        if matches!(self.phase, Phase::Stopped { .. } | Phase::Failed { .. }) {
            for waiter in self.stop_waiters.drain(..) {
                let _unheard = waiter.send(());
            }
        }
    }
}

impl<F: ProcessFactory> Drop for Driver<F> {
    /// A driver that ends in the middle, by a panic or with its runtime, takes its child with it (see [`Process`]); nobody
    /// may go on believing that the child serves. After a panic nobody is left to start another one either, so it is
    /// told as what it is, and those who wait need not wait for nothing.
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
