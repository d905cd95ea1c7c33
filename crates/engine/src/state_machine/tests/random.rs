//! The machine against a simple model of the system, under any order of events.
//!
//! The model knows what the machine must never be wrong about: which processes live, what the one timer is, what was
//! published last. Events come in any order, late ones of earlier lives among them; children die when they like, or of
//! the signals they are sent, or not even of KILL.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::status::outer;

/// A child as the kernel sees it.
#[derive(Debug, Default)]
struct Child {
    terms: u32,
    killed: bool,
}

/// A simulated system around one machine.
struct Simulation {
    policy: Policy,
    now: Instant,
    phase: Phase,
    children: BTreeMap<RunId, Child>,
    /// News that may still come, of whatever life.
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
            published: outer(&phase).name(),
            phase,
            children: BTreeMap::new(),
            late: Vec::new(),
            timer: None,
            stale: 0,
        }
    }

    /// One step, with everything checked that must hold after it.
    fn feed(&mut self, event: Event) {
        let told = format!("{:?} --{event:?}-->", self.phase);
        let before = self.phase.clone();
        let old_news = event.run().is_some_and(|run| before.live_run() != Some(run));
        let (after, effects) = step(before.clone(), event.clone(), self.now, &self.policy);
        check(&before, &event, &after, &effects);
        self.phase = after;
        for effect in effects {
            match effect {
                Effect::Spawn { run, .. } => {
                    assert!(self.children.is_empty(), "{told} a second child beside {:?}", self.children);
                    self.children.insert(run, Child::default());
                }
                Effect::SignalGroup { run, signal } => {
                    let child = self.children.get_mut(&run).unwrap_or_else(|| panic!("{told} a signal to nobody"));
                    match signal {
                        Signal::Terminate => child.terms += 1,
                        Signal::Kill => {
                            assert!(!child.killed, "{told} KILL is sent once");
                            child.killed = true;
                        }
                    }
                    assert!(child.terms <= 2, "{told} a third TERM");
                }
                Effect::ArmTimer { run, timer, at } => self.timer = Some((run, timer, at)),
                Effect::DisarmTimer => self.timer = None,
                Effect::Publish => self.published = outer(&self.phase).name(),
                Effect::CountStale => self.stale += 1,
                Effect::Probe(_) | Effect::Blame(_) | Effect::AnswerWaiters => {}
            }
        }
        if old_news {
            assert_eq!(
                (self.phase.name(), self.phase.run()),
                (before.name(), before.run()),
                "{told} moved by old news"
            );
        }
        // Where a deadline is due, somebody will wake the machine at it.
        if let Some(due) = self.phase.timer() {
            assert_eq!(self.timer, Some(due), "{told} the timer is not that of {:?}", self.phase);
        }
        assert_eq!(self.phase.has_process(), !self.children.is_empty(), "{told} {:?}", self.phase);
        assert!(self.children.keys().all(|run| *run == self.phase.run()), "{told} a child of an earlier life");
        assert_eq!(self.published, outer(&self.phase).name(), "{told} shown as something else");
    }

    /// The child is gone, and so it is told.
    fn dies(&mut self, class: ExitClass) {
        if let Some((run, _)) = self.children.pop_first() {
            self.late.extend(every_event(run).into_iter().filter(|event| event.run().is_some()));
            self.feed(Event::Exited { run, report: report(class) });
        }
    }

    /// The armed deadline comes.
    fn wakes(&mut self) {
        if let Some((run, timer, at)) = self.timer.take() {
            self.now = self.now.max(at);
            self.feed(Event::TimerFired { run, timer });
        }
    }

    /// A stop, then only deadlines, with a child that dies of KILL.
    fn comes_to_rest(&mut self) {
        for _ in 0..20 {
            self.feed(Event::Stop { drain: S });
            while self.timer.is_some() && self.phase.timer().is_some() {
                self.wakes();
            }
            if self.children.values().any(|child| child.killed) {
                self.dies(ExitClass::Signal);
            }
            if matches!(self.phase, Phase::Stopped { .. }) {
                return;
            }
        }
        panic!("no rest was found: {:?}", self.phase);
    }
}

/// What may happen.
#[derive(Debug, Clone)]
enum Happening {
    Command(usize),
    /// News of the present life, as the child would tell it.
    News(usize),
    /// News of an earlier life that was on its way.
    Late(usize),
    Dies(usize),
    /// Time goes by, and the deadline comes if it is due.
    Time(u64),
    Wakes,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0usize..5).prop_map(Happening::Command),
        4 => (0usize..4).prop_map(Happening::News),
        2 => any::<usize>().prop_map(Happening::Late),
        2 => (0usize..ExitClass::ALL.len()).prop_map(Happening::Dies),
        2 => (0u64..90_000).prop_map(Happening::Time),
        2 => Just(Happening::Wakes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn no_order_of_events_breaks_the_world_or_traps_an_instance(script in prop::collection::vec(happening(), 0..100)) {
        let mut simulation = Simulation::new();
        for happening in script {
            match happening {
                Happening::Command(which) => simulation.feed(match which {
                    0 => Event::Start,
                    1 => Event::Stop { drain: Duration::ZERO },
                    2 => Event::Stop { drain: 30 * S },
                    3 => Event::Kill,
                    _ => Event::Reset,
                }),
                Happening::News(which) => {
                    if let Some(run) = simulation.children.keys().next().copied() {
                        simulation.feed(match which {
                            0 => Event::Progress { run, fraction: Some(0.5), output_only: false },
                            1 => Event::ProbePassed { run, ready: ready(run) },
                            2 => Event::LivenessLost { run },
                            _ => Event::Idle { run },
                        });
                    }
                }
                Happening::Late(which) => {
                    if !simulation.late.is_empty() {
                        let event = simulation.late.swap_remove(which % simulation.late.len());
                        // A life that failed or backs off may still be spoken of; all others are over.
                        if event.run() != simulation.phase.live_run() {
                            let stale = simulation.stale;
                            simulation.feed(event);
                            prop_assert_eq!(simulation.stale, stale + 1, "old news is counted");
                        }
                    }
                }
                Happening::Dies(class) => simulation.dies(ExitClass::ALL[class]),
                Happening::Time(ms) => {
                    simulation.now += Duration::from_millis(ms);
                    if simulation.timer.is_some_and(|(_, _, at)| at <= simulation.now) {
                        simulation.wakes();
                    }
                }
                Happening::Wakes => simulation.wakes(),
            }
        }
        simulation.comes_to_rest();
        prop_assert!(simulation.children.is_empty());
        // And a child that nothing kills ends up shown as such, never forgotten.
        simulation.feed(Event::Start);
        simulation.feed(Event::Kill);
        while simulation.phase.timer().is_some() {
            simulation.wakes();
        }
        prop_assert_eq!((simulation.phase.name(), simulation.published, simulation.children.len()), ("unkillable", "failed", 1));
    }
}
