//! How a job from a connection becomes a task of the registry.

use std::sync::Arc;

use crate::jobs::context::JobChannels;
use crate::jobs::job::{self, RunningJob};
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::registry::{Accepted, Full, JobGuard, JobRegistry};
use crate::send_queue::SendQueue;

/// Jobs that may be here at once: those of every model's line, and those whose end waits for a router that hardly reads.
const MOST_JOBS: usize = 4096;

impl JobRegistry {
    /// Takes a job from a lane; `Err` where there are more jobs here than may be, or more bytes of them.
    pub(crate) fn accept(self: &Arc<Self>, parsed: ParsedJob, from: &SendQueue) -> Result<Accepted, Full> {
        if let Some(known) = self.adopt(&parsed, from) {
            return Ok(known);
        }
        let bytes = parsed.bytes as u64;
        self.check_capacity(bytes)?;
        let (job_id, fingerprint) = (parsed.job.job_id.clone(), parsed.fingerprint);
        let (channels, cancel, connection) = JobChannels::new(from);
        // Made before the table is locked: it reads what the caller wrote, and a panic there must harm this job alone.
        let job = RunningJob::new(parsed, channels, Arc::clone(&self.context));
        let mut state = self.lock();
        let (round, replaced) = state.table.begin(&job_id, fingerprint, cancel, connection);
        state.bytes += bytes;
        let guard = JobGuard { registry: Arc::clone(self), job_id, round, bytes };
        // Ended tasks are taken out as new ones come in, so the set is as large as the work.
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(job::run(job, guard));
        Ok(if replaced { Accepted::NewRound } else { Accepted::Started })
    }

    /// Whether one more job of so many bytes may come. The only one may always: it is bounded by its message.
    fn check_capacity(&self, bytes: u64) -> Result<(), Full> {
        let state = self.lock();
        let limit = self.context.config.max_held.as_u64();
        if state.table.len() >= MOST_JOBS {
            return Err(Full::Jobs);
        }
        if state.bytes > 0 && state.bytes.saturating_add(bytes) > limit {
            return Err(Full::Bytes);
        }
        Ok(())
    }
}
