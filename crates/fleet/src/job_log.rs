//! The jobs of all front ends: those that run, and the newest that have ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use crate::trace_context::{JobTrace, TraceContext};

/// Ended jobs that are kept.
const KEPT_JOBS: usize = 256;
/// Bytes of a client's id that are kept.
const ID_BYTES: usize = 64;

/// A job, as an operator sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number, from 1 in the order of arrival.
    pub number: u64,
    /// By which front end it came.
    pub front_end: &'static str,
    /// Its id, where its client has one; cut where it is long.
    pub id: Option<String>,
    /// The model that runs it; `None` before it has a slot.
    pub model: Option<String>,
    /// When it arrived.
    pub arrived_at: SystemTime,
    arrived: Instant,
    /// From its arrival to its slot.
    pub waited: Option<Duration>,
    /// From its arrival to the first text.
    pub first_token: Option<Duration>,
    /// Its place in a trace, where its client or this worker records one.
    pub trace: Option<JobTrace>,
    /// How it ended; `None` while it runs.
    pub end: Option<JobEnd>,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEnd {
    /// The word for it, as in the metrics.
    pub ending: &'static str,
    /// From its arrival to its end.
    pub took: Duration,
    /// Tokens that were generated, where they were counted.
    pub tokens: Option<u64>,
}

impl Job {
    /// From its arrival to its end, or to now.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.end.as_ref().map_or_else(|| self.arrived.elapsed(), |end| end.took)
    }

    /// The time since its end; zero while it runs.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.arrived.elapsed().saturating_sub(self.took())
    }
}

/// All jobs that run, and the newest that have ended.
#[derive(Debug, Default)]
pub struct JobLog(Mutex<Jobs>);

#[derive(Debug, Default)]
struct Jobs {
    newest: u64,
    running: BTreeMap<u64, Job>,
    ended: VecDeque<Job>,
    /// Gets each traced job when it has ended.
    exporter: Option<mpsc::Sender<Job>>,
}

impl JobLog {
    /// Records the arrival of a job.
    #[must_use]
    pub fn begin(self: &Arc<Self>, front_end: &'static str, id: Option<&str>) -> JobRecord {
        let id = id.map(|id| id[..id.floor_char_boundary(ID_BYTES)].to_owned());
        let (arrived, arrived_at) = (Instant::now(), SystemTime::now());
        let mut jobs = self.lock();
        jobs.newest += 1;
        let number = jobs.newest;
        let job = Job {
            number,
            front_end,
            id,
            model: None,
            arrived_at,
            arrived,
            waited: None,
            first_token: None,
            trace: None,
            end: None,
        };
        jobs.running.insert(number, job);
        JobRecord { log: Arc::clone(self), number }
    }

    /// The jobs that run, oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<Job> {
        self.lock().running.values().cloned().collect()
    }

    /// The newest jobs that have ended, newest first.
    #[must_use]
    pub fn ended(&self) -> Vec<Job> {
        self.lock().ended.iter().rev().cloned().collect()
    }

    /// Records traces from now on: the receiver gets each job of one that has ended. At most `capacity` of them wait; of more the
    /// newest are lost.
    #[must_use]
    pub fn export(&self, capacity: usize) -> mpsc::Receiver<Job> {
        let (sender, receiver) = mpsc::channel(capacity);
        self.lock().exporter = Some(sender);
        receiver
    }

    /// Records no traces any more: the receiver ends.
    pub fn end_export(&self) {
        self.lock().exporter = None;
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // A panic under this lock leaves whole records.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that runs. A drop ends it as `broken`, unless it has ended.
#[derive(Debug)]
pub struct JobRecord {
    log: Arc<JobLog>,
    number: u64,
}

impl JobRecord {
    /// Puts it into a trace: into that of the header that its client has sent, or into a new one where traces are exported. Gives
    /// what the engine shall get.
    pub fn trace(&self, header: Option<&str>) -> Option<TraceContext> {
        let caller = header.and_then(TraceContext::parse);
        let mut jobs = self.log.lock();
        let is_exported = jobs.exporter.is_some();
        let context = if is_exported { TraceContext::begin(caller) } else { caller }?;
        jobs.running.get_mut(&self.number)?.trace = Some(JobTrace { context, caller });
        Some(context)
    }

    /// It has a slot of this model.
    pub fn leased(&self, model: &str) {
        self.change(|job| {
            if job.model.as_deref() != Some(model) {
                job.model = Some(model.to_owned());
            }
            job.waited.get_or_insert_with(|| job.arrived.elapsed());
        });
    }

    /// Its first text is there.
    pub fn first_token(&self) {
        self.change(|job| _ = job.first_token.get_or_insert_with(|| job.arrived.elapsed()));
    }

    /// It has ended. Later ends have no effect.
    pub fn ended(&self, ending: &'static str, tokens: Option<u64>) {
        let mut jobs = self.log.lock();
        let Some(mut job) = jobs.running.remove(&self.number) else { return };
        job.end = Some(JobEnd { ending, took: job.arrived.elapsed(), tokens });
        if let Some(exporter) = &jobs.exporter
            && job.trace.is_some_and(|trace| trace.context.is_sampled())
        {
            // Full where the collector is slow: an answer does not wait for it.
            let _lost = exporter.try_send(job.clone());
        }
        if jobs.ended.len() == KEPT_JOBS {
            jobs.ended.pop_front();
        }
        jobs.ended.push_back(job);
    }

    fn change(&self, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.log.lock().running.get_mut(&self.number) {
            change(job);
        }
    }
}

impl Drop for JobRecord {
    fn drop(&mut self) {
        self.ended("broken", None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_ends_once_and_the_newest_are_kept() {
        let log = Arc::new(JobLog::default());
        let job = log.begin("router", Some("id-1"));
        assert_eq!(log.running()[0].model, None);
        job.leased("m");
        job.first_token();
        let running = log.running();
        assert_eq!((running.len(), running[0].model.as_deref()), (1, Some("m")));
        assert!(running[0].waited.is_some() && running[0].first_token >= running[0].waited);
        job.ended("completed", Some(7));
        job.ended("cancelled", None);
        drop(job);
        assert!(log.running().is_empty());
        let ended = log.ended();
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].end.as_ref().map(|end| (end.ending, end.tokens)), Some(("completed", Some(7))));
        for _ in 0..2 * KEPT_JOBS {
            drop(log.begin("gateway", None));
        }
        let ended = log.ended();
        assert_eq!((ended.len(), ended[0].number), (KEPT_JOBS, 1 + 2 * KEPT_JOBS as u64));
        assert_eq!(ended[0].end.as_ref().map(|end| end.ending), Some("broken"));
    }

    #[test]
    fn jobs_of_traces_are_exported_when_they_have_ended() {
        const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let log = Arc::new(JobLog::default());
        let before = log.begin("router", None);
        assert_eq!(before.trace(None), None, "no trace is exported");
        assert_eq!(before.trace(Some(HEADER)).map(|context| context.to_string()).as_deref(), Some(HEADER));
        let mut exported = log.export(2);
        let (job, root, unsampled) =
            (log.begin("router", None), log.begin("gateway", None), log.begin("gateway", None));
        let context = job.trace(Some(HEADER)).unwrap();
        assert!(root.trace(None).is_some_and(|root| root.trace != context.trace));
        assert!(unsampled.trace(Some(&HEADER.replace("-01", "-00"))).is_some_and(|context| !context.is_sampled()));
        assert!(context.to_string().starts_with(&HEADER[..36]) && context.span != 0xf0_67aa_0ba9_02b7);
        unsampled.ended("completed", None);
        job.ended("completed", Some(3));
        let first = exported.try_recv().unwrap();
        assert_eq!(
            first.trace.map(|trace| (trace.context, trace.caller)),
            Some((context, TraceContext::parse(HEADER)))
        );
        for _ in 0..5 {
            let more = log.begin("gateway", None);
            more.trace(None);
        }
        root.ended("completed", None);
        log.end_export();
        assert_eq!(std::iter::from_fn(|| exported.try_recv().ok()).count(), 2, "what is beyond the bound is lost");
        assert!(exported.is_closed());
    }

    #[test]
    fn a_long_id_is_cut() {
        let log = Arc::new(JobLog::default());
        let _job = log.begin("router", Some(&"ü".repeat(1000)));
        assert_eq!(log.running()[0].id.as_ref().map(String::len), Some(ID_BYTES));
    }
}
