//! How a job from a connection becomes a task of the registry.

use std::sync::Arc;

use crate::jobs::context::Seat;
use crate::jobs::job::{self, Exchange};
use crate::jobs::parsed_job::Order;
use crate::jobs::registry::{Accepted, Desk, Full, Leave};
use crate::send_queue::Outbox;

/// Jobs that may be here at once: those of every model's line, and those whose end waits for a router that hardly reads.
const MOST_JOBS: usize = 4096;

impl Desk {
    /// Takes a job from a lane; `Err` where there are more jobs here than may be, or more bytes of them.
    pub(crate) fn accept(self: &Arc<Self>, order: Order, from: &Outbox) -> Result<Accepted, Full> {
        if let Some(known) = self.adopt(&order, from) {
            return Ok(known);
        }
        let bytes = order.bytes as u64;
        self.room_for(bytes)?;
        let (job_id, fingerprint) = (order.job.job_id.clone(), order.fingerprint);
        let (seat, cancel, lane) = Seat::new(from);
        // Made before the table is locked: it reads what the caller wrote, and a panic there must harm this job alone.
        let exchange = Exchange::new(order, seat, Arc::clone(&self.surroundings));
        let mut state = self.lock();
        let (round, replaced) = state.table.begin(&job_id, fingerprint, cancel, lane);
        state.bytes += bytes;
        let leave = Leave { desk: Arc::clone(self), job_id, round, bytes };
        // Ended tasks are taken out as new ones come in, so the set is as large as the work.
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(job::run(exchange, leave));
        Ok(if replaced { Accepted::NewRound } else { Accepted::Started })
    }

    /// Whether one more job of so many bytes may come. The only one may always: it is bounded by its message.
    fn room_for(&self, bytes: u64) -> Result<(), Full> {
        let state = self.lock();
        let limit = self.surroundings.config.max_held.as_u64();
        if state.table.len() >= MOST_JOBS {
            return Err(Full::Jobs);
        }
        if state.bytes > 0 && state.bytes.saturating_add(bytes) > limit {
            return Err(Full::Bytes);
        }
        Ok(())
    }
}
