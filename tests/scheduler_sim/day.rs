//! A day of mixed traffic over ten models and two devices: its figures, and a chart.
//!
//! The chart and the summary are written to the target folder: `tmp/traffic-day.svg` and `tmp/traffic-day.txt`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use auxot_scheduler::{Limits, Profile};

use crate::chart;
use crate::host::SimulatedHost;
use crate::random::Random;
use crate::scenario::{Behaviour, End, Job};

const DAY: u64 = 24 * 60 * 60;
/// Free MiB on each device.
const DEVICES: [u64; 2] = [24_000, 24_000];
/// Jobs per second at night; at noon there are five times as many.
const JOBS_A_SECOND: f64 = 0.08;

/// Name, MiB, and how often jobs name it. The last one needs both devices.
const MODELS: [(&str, u64, f64); 10] = [
    ("chat-8b", 8_500, 40.0),
    ("coder-14b", 14_500, 20.0),
    ("embed", 700, 15.0),
    ("chat-3b", 3_600, 8.0),
    ("coder-7b", 7_700, 6.0),
    ("translate-9b", 9_400, 4.0),
    ("vision-12b", 12_800, 3.0),
    ("reason-20b", 20_500, 2.0),
    ("rerank", 1_200, 1.5),
    ("large-70b", 40_500, 0.5),
];

fn models() -> Vec<Behaviour> {
    MODELS
        .iter()
        .map(|(name, mib, _)| {
            let plain = Behaviour::new(name, *mib);
            let (pin, ttl) = (*name == "embed", Some(Duration::from_secs(30 * 60)));
            Behaviour { profile: Profile { pin, ttl, ..plain.profile }, ..plain }
        })
        .collect()
}

/// Jobs at random times, more by day than by night, each model in bursts.
fn jobs(random: &mut Random) -> Vec<Job> {
    let weights = MODELS.map(|(_, _, weight)| weight);
    let mut jobs = Vec::new();
    let mut at = 0.0;
    let mut favourite = 0;
    while at < DAY as f64 {
        let noon = 1.0 + 4.0 * (at / DAY as f64 * std::f64::consts::PI).sin().powi(2);
        at += random.until(1.0 / (JOBS_A_SECOND * noon)).as_secs_f64();
        // Jobs for a model come in bursts.
        if random.share() < 0.3 {
            favourite = random.choose(&weights);
        }
        let runs = random.until(6.0).clamp(Duration::from_millis(300), Duration::from_secs(90));
        jobs.push(Job { at: Duration::from_secs_f64(at), model: favourite, runs, preempt_after: None });
    }
    jobs
}

/// The figures of a day.
struct Figures {
    jobs: usize,
    hits: usize,
    refused: usize,
    cut: usize,
    /// Sorted.
    waits: Vec<Duration>,
}

impl Figures {
    fn of<'a>(ends: impl Iterator<Item = &'a (Job, End)>) -> Figures {
        let mut figures = Figures { jobs: 0, hits: 0, refused: 0, cut: 0, waits: Vec::new() };
        for (_, end) in ends {
            figures.jobs += 1;
            match end {
                End::Ran { waited, hit } => {
                    figures.hits += usize::from(*hit);
                    figures.waits.push(*waited);
                }
                End::Refused(_) => figures.refused += 1,
                End::Cut => figures.cut += 1,
                End::Cancelled => {}
            }
        }
        figures.waits.sort();
        figures
    }

    fn hit_rate(&self) -> f64 {
        self.hits as f64 / self.jobs.max(1) as f64
    }

    /// The wait that a share of the jobs does not exceed, in seconds.
    fn wait(&self, share: f64) -> f64 {
        let at = (self.waits.len().saturating_sub(1) as f64 * share).ceil() as usize;
        self.waits.get(at).copied().unwrap_or_default().as_secs_f64()
    }

    fn row(&self) -> String {
        let (rate, half, most, worst) = (self.hit_rate() * 100.0, self.wait(0.5), self.wait(0.95), self.wait(1.0));
        let Figures { jobs, refused, cut, .. } = self;
        format!("{jobs:>7} {rate:>7.1} % {half:>8.1} s {most:>8.1} s {worst:>8.1} s {refused:>8} {cut:>5}")
    }
}

fn summary(host: &SimulatedHost) -> String {
    let mut text = String::new();
    let head = "   jobs     there       half   19 in 20      worst  refused   cut";
    let _ = writeln!(text, "{:<14} {:>8}  {head}", "model", "GiB");
    for (model, (name, mib, _)) in MODELS.iter().enumerate() {
        let figures = Figures::of(host.ends.values().filter(|(job, _)| job.model == model));
        let _ = writeln!(text, "{name:<14} {:>8.1}  {}", *mib as f64 / 1024.0, figures.row());
    }
    let _ = writeln!(text, "{:<14} {:>8}  {}", "all", "", Figures::of(host.ends.values()).row());
    let mut by_hour: BTreeMap<u64, u32> = BTreeMap::new();
    host.stays.iter().for_each(|stay| *by_hour.entry(stay.from.as_secs() / 3600).or_default() += 1);
    let busiest = by_hour.values().max().copied().unwrap_or(0);
    let _ = writeln!(text, "\n{} loads, {busiest} in the busiest hour", host.loads);
    text
}

#[test]
fn a_day_of_mixed_traffic() {
    let limits = Limits::default();
    let mut host = SimulatedHost::new(limits, &DEVICES, models());
    let jobs = jobs(&mut Random::new(20_261_126));
    host.run(&jobs);
    let summary = summary(&host);
    println!("{summary}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("traffic-day.txt"), &summary).unwrap();
    let names: Vec<&str> = MODELS.iter().map(|(name, ..)| *name).collect();
    let chart = chart::draw(&names, DEVICES.len(), Duration::from_secs(DAY), &host);
    std::fs::write(folder.join("traffic-day.svg"), chart).unwrap();

    let all = Figures::of(host.ends.values());
    assert!(all.jobs > 15_000, "{} jobs", all.jobs);
    assert!(all.hit_rate() > 0.75, "only {:.1} % of the jobs found their model there", all.hit_rate() * 100.0);
    assert!(all.wait(0.5) < 0.1, "half of the jobs wait {:.1} s", all.wait(0.5));
    assert_eq!(all.refused, 0, "a job starves");
    for (model, (name, ..)) in MODELS.iter().enumerate() {
        let figures = Figures::of(host.ends.values().filter(|(job, _)| job.model == model));
        assert!(figures.jobs > 20 && figures.wait(1.0) < limits.max_wait.as_secs_f64(), "{name}: {}", figures.row());
        assert!(figures.cut * 50 <= figures.jobs, "{name}: {} of {} jobs were cut", figures.cut, figures.jobs);
    }
}
