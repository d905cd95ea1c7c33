//! The columns: the moment of the fault.

use auxot_tests::scripted_router::End;
use nix::sys::signal::Signal;

use crate::DEADLINE;
use crate::actor::Actor;
use crate::fault::Fault;
use crate::job::Hold;
use crate::stage::Stage;

/// The worker's state at the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Its first engine is a process that does not listen yet.
    Starting,
    /// Its second engine loads, while a job waits for it.
    Loading,
    /// The worker serves and is idle.
    Idle,
    /// The engine works on a prompt.
    Prompt,
    /// An answer is half sent.
    Streaming,
    /// Both slots stream, and two more jobs wait.
    Several,
    /// The worker drains, and an answer is half sent.
    Draining,
    /// Its engine aborts at every start, and a job waits.
    BackingOff,
}

/// Restart delays so long that the worker is mostly in "backing off".
const LONG_DELAYS: [(&str, &str); 3] = [
    ("AUXOT_ENGINE__RESTART_DELAY", "1s"),
    ("AUXOT_ENGINE__RESTART_MAX_DELAY", "1s"),
    ("AUXOT_ENGINE__RESTART_BUDGET", "100"),
];
/// A second connection makes a drain visible: the idle connection closes first.
const TWO_CONNECTIONS: [(&str, &str); 1] = [("AUXOT_ROUTER_CONNECTIONS", "2")];

impl Moment {
    /// The columns in their order.
    pub(crate) const ALL: [Moment; 8] = [
        Moment::Starting,
        Moment::Loading,
        Moment::Idle,
        Moment::Prompt,
        Moment::Streaming,
        Moment::Several,
        Moment::Draining,
        Moment::BackingOff,
    ];

    /// The column's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Moment::Starting => "starting",
            Moment::Loading => "loading",
            Moment::Idle => "ready idle",
            Moment::Prompt => "prompt",
            Moment::Streaming => "streaming",
            Moment::Several => "several jobs",
            Moment::Draining => "draining",
            Moment::BackingOff => "backing off",
        }
    }

    /// Starts a worker and brings it to this moment.
    pub(crate) async fn reach(self, fault: Fault, actor: Actor) -> Stage {
        let (switches, settings): (&str, &[(&str, &str)]) = match self {
            Moment::Starting => ("--hold start:GATE", &[]),
            Moment::Draining => ("", &TWO_CONNECTIONS),
            Moment::BackingOff => ("", &LONG_DELAYS),
            _ => ("", &[]),
        };
        let mut stage = Stage::open(fault, actor, switches, settings).await;
        if self == Moment::Starting {
            stage.reports.next("held", DEADLINE).await;
            return stage;
        }
        stage.ready().await;
        match self {
            Moment::Starting | Moment::Idle => {}
            Moment::Loading => {
                stage.set_switches("--hold load:GATE");
                stage.signal_engine(Signal::SIGKILL);
                stage.router.beside(stage.reports.next("held", DEADLINE)).await;
                stage.give_held(Hold::Middle);
                stage.held(1).await;
            }
            Moment::Prompt => {
                stage.give_held(Hold::Prompt);
                stage.router.beside(stage.reports.next("held", DEADLINE)).await;
            }
            Moment::Streaming => stage.stream(1).await,
            Moment::Several => {
                stage.stream(2).await;
                stage.give_held(Hold::Middle);
                stage.give_held(Hold::Middle);
                stage.held(4).await;
            }
            Moment::Draining => {
                stage.stream(1).await;
                stage.worker.program.signal(Signal::SIGTERM);
                stage.router.until("the idle link closed", |router| router.ends() == [End::Closed(1000)]).await;
            }
            Moment::BackingOff => {
                stage.set_switches("--abort-at-load");
                stage.signal_engine(Signal::SIGKILL);
                stage.router.until("a worker backing off", |router| router.model_state() == "backing_off").await;
                stage.give_held(Hold::Middle);
                stage.held(1).await;
            }
        }
        stage
    }
}
