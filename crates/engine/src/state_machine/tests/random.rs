//! The state machine against a simple model of the system, with events in any order.
//!
//! The model knows what the machine must always have right: which processes exist, what the one timer is, and what was
//! published last. Events come in any order, with late ones of earlier runs among them; processes exit at any time, or of
//! the signals that they are sent, or not even of KILL.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::status::State;

/// A process as the kernel sees it.
#[derive(Debug, Default)]
struct Child {
    terms: u32,
    killed: bool,
}

/// A simulated system around one state machine.
struct Simulation {
    policy: Policy,
    now: Instant,
    phase: Phase,
    children: BTreeMap<RunId, Child>,
    /// Events of ended runs that may still come.
    late: Vec<Event>,
    timer: Option<(RunId, Timer, Instant)>,
    published: &'static str,
    stale: u32,
}

impl Simulation {
    fn new() -> Simulation {
        let phase = Phase::Stopped { last: RunId(0) };
        Simulation {
            policy: policy(),
            now: Instant::now(),
            published: State::from(&phase).name(),
            phase,
            children: BTreeMap::new(),
            late: Vec::new(),
            timer: None,
            stale: 0,
        }
    }

    /// Makes one step and checks everything that must hold after it.
    fn handle(&mut self, event: Event) {
        let context = format!("{:?} --{event:?}-->", self.phase);
        let before = self.phase.clone();
        let is_stale = event.run().is_some_and(|run| before.live_run() != Some(run));
        let (after, effects) = step(before.clone(), event.clone(), self.now, &self.policy);
        check(&before, &event, &after, &effects);
        self.phase = after;
        for effect in effects {
            match effect {
                Effect::Spawn { run, .. } => {
                    assert!(self.children.is_empty(), "{context} a second process beside {:?}", self.children);
                    self.children.insert(run, Child::default());
                }
                Effect::SignalGroup { run, signal } => {
                    let child =
                        self.children.get_mut(&run).unwrap_or_else(|| panic!("{context} a signal to no process"));
                    match signal {
                        Signal::Terminate => child.terms += 1,
                        Signal::Kill => {
                            assert!(!child.killed, "{context} KILL is sent once");
                            child.killed = true;
                        }
                    }
                    assert!(child.terms <= 2, "{context} a third TERM");
                }
                Effect::ArmTimer { run, timer, at } => self.timer = Some((run, timer, at)),
                Effect::DisarmTimer => self.timer = None,
                Effect::Publish => self.published = State::from(&self.phase).name(),
                Effect::CountStale => self.stale += 1,
                Effect::Probe(_) | Effect::RecordFailure(_) => {}
            }
        }
        if is_stale {
            assert_eq!(
                (self.phase.name(), self.phase.run()),
                (before.name(), before.run()),
                "{context} changed by a stale event"
            );
        }
        // Each deadline of a phase is armed.
        if let Some(due) = self.phase.timer() {
            assert_eq!(self.timer, Some(due), "{context} the timer is not that of {:?}", self.phase);
        }
        assert_eq!(self.phase.has_process(), !self.children.is_empty(), "{context} {:?}", self.phase);
        assert!(self.children.keys().all(|run| *run == self.phase.run()), "{context} a process of an earlier run");
        assert_eq!(self.published, State::from(&self.phase).name(), "{context} published as something else");
    }

    /// The process exits, and the exit is reported.
    fn process_exits(&mut self, class: ExitClass) {
        if let Some((run, _)) = self.children.pop_first() {
            self.late.extend(every_event(run).into_iter().filter(|event| event.run().is_some()));
            self.handle(Event::Exited { run, report: report(class) });
        }
    }

    /// The armed deadline passes.
    fn timer_fires(&mut self) {
        if let Some((run, timer, at)) = self.timer.take() {
            self.now = self.now.max(at);
            self.handle(Event::TimerFired { run, timer });
        }
    }

    /// A stop, then only deadlines, with a process that KILL ends.
    fn stops(&mut self) {
        for _ in 0..20 {
            self.handle(Event::Stop);
            while self.timer.is_some() && self.phase.timer().is_some() {
                self.timer_fires();
            }
            if self.children.values().any(|child| child.killed) {
                self.process_exits(ExitClass::Signal);
            }
            if matches!(self.phase, Phase::Stopped { .. }) {
                return;
            }
        }
        panic!("the engine does not stop: {:?}", self.phase);
    }
}

/// One thing that can happen.
#[derive(Debug, Clone)]
enum Incident {
    Command(usize),
    /// An event of the present process.
    Process(usize),
    /// An event of an earlier run that comes late.
    Late(usize),
    Exit(usize),
    /// Time passes, and so does the deadline if it is due.
    Time(u64),
    Timer,
}

fn incident() -> impl Strategy<Value = Incident> {
    prop_oneof![
        3 => (0usize..4).prop_map(Incident::Command),
        4 => (0usize..3).prop_map(Incident::Process),
        2 => any::<usize>().prop_map(Incident::Late),
        2 => (0usize..ExitClass::ALL.len()).prop_map(Incident::Exit),
        2 => (0u64..90_000).prop_map(Incident::Time),
        2 => Just(Incident::Timer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn no_order_of_events_breaks_the_rules_or_hangs_an_engine(script in prop::collection::vec(incident(), 0..100)) {
        let mut simulation = Simulation::new();
        for incident in script {
            match incident {
                Incident::Command(which) => simulation.handle(match which {
                    0 => Event::Start,
                    1 => Event::Stop,
                    2 => Event::Kill,
                    _ => Event::Reset,
                }),
                Incident::Process(which) => {
                    if let Some(run) = simulation.children.keys().next().copied() {
                        simulation.handle(match which {
                            0 => Event::Progress { run, fraction: Some(0.5), output_only: false },
                            1 => Event::ProbePassed { run, ready: ready(run) },
                            _ => Event::LivenessLost { run },
                        });
                    }
                }
                Incident::Late(which) => {
                    if !simulation.late.is_empty() {
                        let event = simulation.late.swap_remove(which % simulation.late.len());
                        // A run that backs off still has events; every other run in the list has ended.
                        if event.run() != simulation.phase.live_run() {
                            let stale = simulation.stale;
                            simulation.handle(event);
                            prop_assert_eq!(simulation.stale, stale + 1, "a stale event is counted");
                        }
                    }
                }
                Incident::Exit(class) => simulation.process_exits(ExitClass::ALL[class]),
                Incident::Time(ms) => {
                    simulation.now += Duration::from_millis(ms);
                    if simulation.timer.is_some_and(|(_, _, at)| at <= simulation.now) {
                        simulation.timer_fires();
                    }
                }
                Incident::Timer => simulation.timer_fires(),
            }
        }
        simulation.stops();
        prop_assert!(simulation.children.is_empty());
        // A process that nothing kills is published as such, never forgotten.
        simulation.handle(Event::Start);
        simulation.handle(Event::Kill);
        while simulation.phase.timer().is_some() {
            simulation.timer_fires();
        }
        prop_assert_eq!((simulation.phase.name(), simulation.published, simulation.children.len()), ("unkillable", "failed", 1));
    }
}
