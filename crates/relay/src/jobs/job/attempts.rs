//! The attempts of a job: a slot, a request, and another engine when the first is lost before its first text.

use super::*;

use auxot_fleet::EngineEnd;
use futures_util::FutureExt;
use tracing::warn;

use crate::jobs::crash_suspects::{CrashHistory, Share};

/// How long a job waits for the exit of a dead engine before it requests the next one.
const EXIT_SEEN: Duration = Duration::from_millis(500);
/// How long a job waits until an engine that runs and cannot be reached is detected: longer than its health checks take.
pub(super) const LOSS_SEEN: Duration = Duration::from_secs(60);
/// Attempts for a job without text.
pub(super) const ATTEMPTS: u32 = 3;

impl Produce for Answer {
    async fn produce(job: &mut RunningJob<Self>) -> Result<(), Outcome> {
        job.run_to_answer().await
    }
}

impl RunningJob<Answer> {
    pub(super) async fn run_to_answer(&mut self) -> Result<(), Outcome> {
        let mut request = EngineRequest::first(self.parsed.clone(), self.config())?;
        let context = Arc::clone(&self.context);
        // Checked before the job waits for a slot: no model is loaded for a request that cannot be answered.
        request.fits(context.fleet.text_limit(self.parsed.job.model.as_deref()))?;
        for left in (0..ATTEMPTS).rev() {
            self.wait_for_suspect_permit().await?;
            // The share is held until the engine's end is known: a job that waits for a suspect must not get the suspect's
            // dead engine.
            let (lease, _share) = self.acquire_shared().await?;
            if !request.is_reduced() && context.reduced_tools.contains(lease.model()) {
                request.reduce();
            }
            match self.send_request(&lease, &request).await {
                Ok(()) => {
                    context.crash_suspects.answered(self.parsed.request_hash);
                    lease.answered();
                    if request.is_reduced() {
                        context.reduced_tools.remember(lease.model());
                    }
                    return Ok(());
                }
                Err(Outcome::EngineGone { after_text }) => self.on_engine_lost(lease, after_text, left > 0).await?,
                Err(Outcome::EngineUnreachable) if left > 0 => {
                    self.prepare_retry(lease.model());
                    self.within(None, lease.engine_end(LOSS_SEEN)).await?;
                }
                Err(Outcome::EngineRefused(error)) if left > 0 && request.can_reduce(&error) && request.reduce() => {
                    warn!(job = %Shown(self.id()), model = lease.model(), "engine refused the tool schemas, trying again with reduced ones");
                }
                Err(outcome) => return Err(outcome),
            }
        }
        Err(Outcome::EngineGone { after_text: false })
    }
}

impl<O: JobOutput> RunningJob<O> {
    /// A request during which an engine crashed waits until no other such request is before its first text. A request during
    /// which two engines crashed is refused.
    pub(super) async fn wait_for_suspect_permit(&mut self) -> Result<(), Outcome> {
        let context = Arc::clone(&self.context);
        match context.crash_suspects.look_up(self.parsed.request_hash) {
            CrashHistory::Clear => self.suspect_permit = None,
            CrashHistory::Refused => return Err(Outcome::CrashesEngines),
            CrashHistory::Suspect if self.suspect_permit.is_some() => {}
            CrashHistory::Suspect => {
                self.suspect_permit = self.within(None, context.crash_suspects.permit()).await?;
                // The previous suspect may have been the same request.
                if context.crash_suspects.look_up(self.parsed.request_hash) == CrashHistory::Refused {
                    return Err(Outcome::CrashesEngines);
                }
            }
        }
        Ok(())
    }

    /// The engine is lost: waits until the reason is known, so that the next slot belongs to another engine. `Err` ends the
    /// job.
    pub(super) async fn on_engine_lost(
        &mut self,
        lease: Lease,
        after_text: bool,
        may_retry: bool,
    ) -> Result<(), Outcome> {
        let model = lease.model().to_owned();
        let loss = self.within(None, lease.engine_end(EXIT_SEEN)).await?;
        if loss == EngineEnd::Crashed
            && self.context.crash_suspects.crashed(self.parsed.request_hash) == CrashHistory::Refused
        {
            warn!(job = %Shown(self.id()), model, "the engine crashed twice during this request: it is not run again");
            return Err(Outcome::CrashesEngines);
        }
        match loss {
            EngineEnd::Stopped if after_text || !may_retry => Err(Outcome::MadeRoom),
            _ if after_text || !may_retry => Err(Outcome::EngineGone { after_text }),
            _ => {
                self.prepare_retry(&model);
                Ok(())
            }
        }
    }

    pub(super) fn prepare_retry(&mut self, model: &str) {
        warn!(job = %Shown(self.id()), model, "the engine went away before the first token, trying again");
        self.context.telemetry.retried();
        // The next engine starts a new answer: half a tool call or an open thought of the first engine is dropped.
        self.answer = O::blank(&self.parsed, &self.context.config);
    }

    /// Waits for a slot. Then a suspect waits until it is alone on the engine, and another job for the end of a suspect.
    pub(super) async fn acquire_shared(&mut self) -> Result<(Lease, Share), Outcome> {
        let context = Arc::clone(&self.context);
        let is_suspect = context.crash_suspects.look_up(self.parsed.request_hash) == CrashHistory::Suspect;
        loop {
            let mut lease = self.acquire().await?;
            let (sharing, model) = (&context.sharing, lease.model().to_owned());
            let share = async {
                let share = if is_suspect { sharing.alone(&model).await } else { sharing.join(&model).await };
                // The suspect may have crashed this engine.
                lease.engine_stopping().now_or_never().is_none().then_some(share)
            };
            let share = async {
                tokio::select! {
                    biased;
                    share = share => share,
                    () = lease.engine_stopping() => None,
                }
            };
            match self.within(None, share).await? {
                Some(share) => {
                    if is_suspect {
                        lease.suspect();
                    }
                    return Ok((lease, share));
                }
                None => _ = self.within(None, lease.engine_end(EXIT_SEEN)).await?,
            }
        }
    }

    /// Waits for a slot.
    async fn acquire(&mut self) -> Result<Lease, Outcome> {
        let (fleet, job, deadline) = (self.context.fleet.clone(), Arc::clone(&self.parsed.job), self.deadline());
        let lease = self.within(None, fleet.acquire(job.model.as_deref(), self.parsed.task(), deadline)).await?;
        let lease = lease.map_err(Outcome::Refused)?;
        self.model = Some(lease.model().to_owned());
        self.started.get_or_insert_with(Instant::now);
        self.record.leased(lease.model());
        Ok(lease)
    }
}
