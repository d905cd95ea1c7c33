//! The cost of a decision with a hundred models, eight devices and a thousand waiting jobs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_catalog::{Layer, MemoryRequirements};
use auxot_gpu::Kind;
use auxot_placement::{Capacity, DeviceCapacity, Rules};
use auxot_scheduler::{Action, Decision, Limits, ModelState, Moment, Profile, Scheduler};

use crate::figure::Figure;
use crate::samples::Samples;

const MODELS: usize = 100;
const CARDS: usize = 8;
const WAITING: usize = 1_000;
const ROUNDS: u64 = 4_000;
const GIB: u64 = 1 << 30;

pub(crate) fn run() -> anyhow::Result<Vec<Figure>> {
    let Crowd { mut scheduler, used, now } = crowded()?;
    let (mut jobs, mut turns) = (Samples::default(), Samples::default());
    let mut ticket = 1_000_000;
    for round in 0..ROUNDS {
        let now = now + Duration::from_millis(round);
        let model = (round as usize * 37) % MODELS;
        ticket += 1;
        let begun = Instant::now();
        let answer = scheduler.job_arrived(ticket, model, now);
        jobs.push(begun.elapsed().as_secs_f64() * 1e6);
        drop(answer);
        scheduler.job_cancelled(ticket, now);
        // A new memory sample: every decision is made again.
        scheduler.measured(capacity(&used.map(|used| used - round * 1024)));
        let begun = Instant::now();
        let actions = scheduler.tick(now);
        turns.push(begun.elapsed().as_secs_f64() * 1e6);
        drop(actions);
    }
    Ok(vec![
        Figure::at_most(
            "decision about a job, 100 models, 8 devices, 1,000 waiting, p99",
            "µs",
            jobs.quantile(0.99),
            50.0,
        ),
        Figure::at_most("decision of loads and evictions, same crowd, p50", "µs", turns.median(), 50.0),
        Figure::at_most("decision of loads and evictions, same crowd, p99", "µs", turns.quantile(0.99), 50.0),
    ])
}

/// Many models and few devices.
struct Crowd {
    scheduler: Scheduler,
    used: [u64; CARDS],
    now: Moment,
}

fn profile(number: usize) -> Profile {
    // From two to some forty GiB.
    let layer = Layer { weights: (24 + (number as u64 * 61) % 480) << 20, experts: 0, cache: 8 << 20 };
    let requirements = MemoryRequirements {
        layers: vec![layer; 80],
        output: layer.weights / 2,
        embedding: layer.weights / 2,
        weights: layer.weights * 81,
        compute: 300 << 20,
        inputs: 20 << 20,
        logits: 1 << 20,
        ..MemoryRequirements::default()
    };
    let plain = Profile::new(format!("m{number}"), Arc::new(requirements));
    Profile { pin: number == 0, priority: (number % 3) as i32, ..plain }
}

fn capacity(used: &[u64]) -> Capacity {
    let room = |(at, used): (usize, &u64)| {
        DeviceCapacity::new(format!("GPU-{at}"), Kind::Nvidia, Some((80 * GIB).saturating_sub(*used)))
    };
    Capacity { devices: used.iter().enumerate().map(room).collect(), host: Some(1024 * GIB), ..Capacity::default() }
}

/// All devices are full of busy models, and all other models wait.
fn crowded() -> anyhow::Result<Crowd> {
    let limits = Limits { max_wait: Duration::from_secs(100_000), ..Limits::default() };
    let mut scheduler = Scheduler::new(limits, Rules::default(), (0..MODELS).map(profile).collect());
    let mut used = [0; CARDS];
    scheduler.measured(capacity(&used));
    let (mut now, mut waiting) = (Moment::ZERO, 0);
    for ticket in 0.. {
        let model = ticket as usize % MODELS;
        now += Duration::from_millis(1);
        let (decision, actions) = scheduler.job_arrived(ticket, model, now);
        let is_placed = matches!(scheduler.state(model), ModelState::Reserved { .. } | ModelState::Loading { .. });
        waiting += usize::from(decision == Decision::Wait && !is_placed);
        for action in actions {
            let Action::Load { model, placement } = action else { continue };
            for share in &placement.shares {
                let at = share.device.trim_start_matches("GPU-").parse::<usize>()?;
                used[at] += share.bytes;
            }
            let holds = placement.shares.iter().map(|share| (share.device.clone(), share.bytes)).collect();
            scheduler.set_measured(model, holds);
            scheduler.measured(capacity(&used));
            scheduler.engine_ready(model, 1, 1, now);
            scheduler.memory_shown(model);
        }
        if waiting >= WAITING {
            break;
        }
    }
    // Minimum loaded times are over, and the first waiter may preempt.
    Ok(Crowd { scheduler, used, now: now + Duration::from_secs(30) })
}
