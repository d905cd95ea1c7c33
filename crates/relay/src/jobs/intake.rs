//! Starts a job: capacity check, registration, task.

use std::sync::Arc;

use crate::jobs::answer::Answer;
use crate::jobs::context::JobChannels;
use crate::jobs::engine_answer::EngineAnswer;
use crate::jobs::job::{self, Produce, RunningJob};
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::registry::{Accepted, Full, JobGuard, JobRegistry};
use crate::send_queue::SendQueue;

/// The most jobs at once: those in every model's queue, and those whose terminal message waits for a slow router.
const MOST_JOBS: usize = 4096;

impl JobRegistry {
    /// Takes a job from a connection; `Err` when the limit of jobs, or of their bytes, is reached.
    pub(crate) fn accept(self: &Arc<Self>, parsed: ParsedJob, from: &SendQueue) -> Result<Accepted, Full> {
        if let Some(known) = self.adopt(&parsed, from) {
            return Ok(known);
        }
        self.check_capacity(parsed.bytes as u64)?;
        let (job_id, fingerprint) = (parsed.job.job_id.clone(), parsed.fingerprint);
        if parsed.job.http().is_some() {
            Ok(self.start::<EngineAnswer>(parsed, job_id, fingerprint, from))
        } else {
            Ok(self.start::<Answer>(parsed, job_id, fingerprint, from))
        }
    }

    fn start<O: Produce>(
        self: &Arc<Self>,
        parsed: ParsedJob,
        job_id: String,
        fingerprint: u64,
        from: &SendQueue,
    ) -> Accepted {
        let bytes = parsed.bytes as u64;
        let (channels, controls) = JobChannels::new(from);
        // Made before the table is locked: it reads the caller's text, and a panic there must affect this job only.
        let job = RunningJob::<O>::new(parsed, channels, Arc::clone(&self.context));
        let mut state = self.lock();
        let (round, replaced) = state.table.begin(&job_id, fingerprint, controls);
        state.bytes += bytes;
        let guard = JobGuard { registry: Arc::clone(self), job_id, round, bytes };
        // Ended tasks are removed when new ones start, so the set is bounded by the number of jobs.
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(job::run(job, guard));
        if replaced { Accepted::NewRound } else { Accepted::Started }
    }

    /// Whether one more job of this size may start. A single job always may: the message limit bounds it.
    fn check_capacity(&self, bytes: u64) -> Result<(), Full> {
        let state = self.lock();
        let limit = self.context.config.max_job_memory.as_u64();
        if state.table.len() >= MOST_JOBS {
            return Err(Full::Jobs);
        }
        if state.bytes > 0 && state.bytes.saturating_add(bytes) > limit {
            return Err(Full::Bytes);
        }
        Ok(())
    }
}
