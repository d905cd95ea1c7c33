//! Models in the host's memory, of which only a part is ever measured, with and without a limit of the operator.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::{Layer, MemoryRequirements};
use auxot_placement::{Capacity, Config, Rules};
use auxot_scheduler::{Action, Decision, Limits, ModelId, ModelState, Moment, Profile, Run, Scheduler, Ticket};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const HOST: &str = auxot_placement::HOST;

/// A model, and what is measured of it.
#[derive(Debug, Clone)]
struct Sizes {
    weights: u64,
    /// What only running jobs take.
    at_work: u64,
    /// The part of the weights that is measured, in hundredths; more than all of them is an estimate that was too small.
    measured: u64,
    /// Whether a sample shows all that it holds before the next job arrives. Without one it is unknown what a model leaves
    /// that is pinned or of which nothing is measured, and jobs wait for the sample.
    is_shown: bool,
    /// Whether its owner can make it smaller.
    shrinks: bool,
    /// Whether it is never unloaded.
    pin: bool,
}

fn any_sizes() -> impl Strategy<Value = Sizes> {
    (50u64..900, 0u64..400, 0u64..130, any::<bool>(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(weights, at_work, measured, is_shown, shrinks, pin)| {
            let is_shown = is_shown || pin || measured == 0;
            Sizes { weights, at_work, measured, is_shown, shrinks, pin }
        },
    )
}

fn profile(name: usize, sizes: &Sizes) -> Profile {
    let layer = Layer { weights: sizes.weights * MIB / 4, experts: 0, cache: 0 };
    let requirements = MemoryRequirements {
        layers: vec![layer; 4],
        weights: sizes.weights * MIB,
        compute: sizes.at_work * MIB,
        ..MemoryRequirements::default()
    };
    Profile { shrinks: sizes.shrinks, pin: sizes.pin, ..Profile::new(format!("m{name}"), Arc::new(requirements)) }
}

/// A host on which every engine does what the scheduler says at once.
struct Host {
    scheduler: Scheduler,
    sizes: Vec<Sizes>,
    memory: u64,
    /// What each engine holds.
    held: Vec<u64>,
    runs: Vec<Run>,
    now: Moment,
}

impl Host {
    fn new(memory: u64, limit: Option<u64>, sizes: Vec<Sizes>) -> Self {
        let limits = Limits { min_loaded_time: Duration::ZERO, preempt_after: Duration::ZERO, ..Limits::default() };
        let rules = Rules { host_reserve: 0, host_limit: limit.map(|mib| mib * MIB), ..Config::default().rules(false) };
        let profiles = sizes.iter().enumerate().map(|(at, sizes)| profile(at, sizes)).collect();
        let scheduler = Scheduler::new(limits, rules, profiles);
        let (held, runs) = (vec![0; sizes.len()], vec![0; sizes.len()]);
        let mut host = Self { scheduler, sizes, memory: memory * MIB, held, runs, now: Moment::ZERO };
        host.measure();
        host
    }

    fn measure(&mut self) {
        let free = self.memory.saturating_sub(self.held.iter().sum());
        self.scheduler.measured(Capacity { devices: vec![], host: Some(free), ..Capacity::default() });
    }

    /// A job arrives while no other runs. Returns whether it runs.
    fn job(&mut self, ticket: Ticket, model: ModelId) -> bool {
        self.now += Duration::from_secs(1);
        let (decision, actions) = self.scheduler.job_arrived(ticket, model, self.now);
        let mut runs = decision == Decision::Admit;
        let mut answered = decision != Decision::Wait;
        let mut actions: Vec<Action> = actions;
        while let Some(action) = actions.pop() {
            match action {
                Action::Admit { .. } => (runs, answered) = (true, true),
                Action::Refuse { .. } => answered = true,
                Action::Load { model, .. } => actions.extend(self.load(model)),
                Action::Stop { model } => {
                    self.held[model] = 0;
                    self.measure();
                    actions.extend(self.scheduler.memory_freed(model, self.now));
                }
                // No smaller size fits either.
                Action::TooLarge { model, placement_error } => {
                    actions.extend(self.scheduler.refuse_waiting(model, &placement_error));
                }
                Action::Drain { .. } => panic!("no job runs: {action:?}"),
                Action::NoRoom { .. } => {}
            }
        }
        assert!(answered, "the job waits, although no model is busy: {:?}", self.states());
        if runs {
            self.scheduler.job_ended(model, self.runs[model], self.now);
        }
        runs
    }

    fn load(&mut self, model: ModelId) -> Vec<Action> {
        let sizes = &self.sizes[model];
        let held = sizes.weights * MIB / 100 * sizes.measured;
        let is_shown = sizes.is_shown;
        self.runs[model] += 1;
        self.held[model] = held;
        self.measure();
        if held > 0 {
            self.scheduler.set_measured(model, vec![(HOST.into(), held)]);
        }
        let actions = self.scheduler.engine_ready(model, self.runs[model], 1, self.now);
        if is_shown {
            self.scheduler.memory_shown(model);
        }
        actions
    }

    fn states(&self) -> Vec<&ModelState> {
        (0..self.sizes.len()).map(|model| self.scheduler.state(model)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// While no job runs, every loaded model that is not pinned may be unloaded: a job gets a place or is refused, and
    /// never waits.
    #[test]
    fn no_job_waits_while_no_model_is_busy(
        memory in 300u64..3_000,
        limit in prop::option::weighted(0.7, 200u64..1_500),
        sizes in prop::collection::vec(any_sizes(), 2..5),
        jobs in prop::collection::vec(0usize..5, 2..30),
    ) {
        let count = sizes.len();
        let mut host = Host::new(memory, limit, sizes);
        for (ticket, model) in jobs.into_iter().enumerate() {
            host.job(ticket as Ticket, model % count);
        }
    }
}
