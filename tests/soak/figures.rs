//! The result of a run: jobs by ending, faults by kind, and the worker's resources over time.

use std::fmt;
use std::time::Duration;

use auxot_tests::leftovers::Descriptors;
use auxot_tests::processes;

use crate::counts::Counts;
use crate::drift::{self, Series};

/// Resident memory may grow by this from the first third of the rests to the last: allocators do not return everything.
const GROWTH_MIB: f64 = 24.0;
/// Threads of the runtime for blocking work: each exits after ten idle seconds.
const SPARE_THREADS: f64 = 8.0;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Jobs.
    pub endings: Counts,
    /// Faults.
    pub faults: Counts,
    /// Jobs that were restarted after a lost connection.
    pub reruns: u64,
    /// The worker's resources in rests, and in storms.
    pub rest: Held,
    pub storm: Held,
    /// Its connections, in rests.
    pub links: Series,
}

/// The worker's resources over time.
#[derive(Debug)]
pub(crate) struct Held {
    resident: Series,
    descriptors: Series,
    threads: Series,
    jobs: Series,
}

impl Held {
    fn new(when: &str) -> Held {
        let series = |what: &str| Series::new(&format!("{when}: {what}"));
        Held {
            resident: series("resident MiB"),
            descriptors: series("descriptors"),
            threads: series("threads"),
            jobs: series("jobs"),
        }
    }

    /// Records the resources of a process; `jobs` is its own metric.
    pub(crate) fn note(&mut self, at: Duration, pid: u32, jobs: f64) {
        let resident = processes::resident_bytes(pid).unwrap_or_default() as f64;
        self.resident.note(at, resident / f64::from(1 << 20));
        self.descriptors.note(at, Descriptors::of(pid).count() as f64);
        self.threads.note(at, processes::threads(pid) as f64);
        self.jobs.note(at, jobs);
    }

    fn all(&self) -> [&Series; 4] {
        [&self.resident, &self.descriptors, &self.threads, &self.jobs]
    }
}

impl Figures {
    /// None yet.
    pub(crate) fn new() -> Figures {
        Figures {
            endings: Counts::default(),
            faults: Counts::default(),
            reruns: 0,
            rest: Held::new("at rest"),
            storm: Held::new("in storms"),
            links: Series::new("at rest: links"),
        }
    }

    /// Panics when a resource has grown that must not. (Each rest compares the descriptors with the first one.)
    pub(crate) fn check(&self) {
        let Held { resident, threads, jobs, .. } = &self.rest;
        let growth = resident.mean_of(2, 3).zip(resident.mean_of(0, 3)).map_or(0.0, |(last, first)| last - first);
        assert!(growth <= GROWTH_MIB, "resident memory has grown by {growth:.1} MiB");
        assert_eq!(jobs.bounds(), (0.0, 0.0), "jobs that were never given");
        assert_eq!(self.links.bounds(), (1.0, 1.0), "links at rest");
        let (_, most) = threads.bounds();
        let first = threads.first().unwrap_or_default();
        assert!(most <= first + SPARE_THREADS, "{first} threads at first, {most} later");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} jobs by their ending ({} were begun anew after a lost link):",
            self.endings.total(),
            self.reruns
        )?;
        writeln!(f, "{}\n{} faults by their kind:\n{}", self.endings, self.faults.total(), self.faults)?;
        let series: Vec<&Series> = self.rest.all().into_iter().chain([&self.links]).chain(self.storm.all()).collect();
        drift::table(&series, f)
    }
}
