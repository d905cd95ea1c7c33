//! A job's way to an answer: a slot, a request, and another engine where the first is lost before it has said anything.

use super::*;

use auxot_fleet::Loss;
use futures_util::FutureExt;
use tracing::warn;

use crate::jobs::crash_suspects::Known;
use crate::jobs::engine_sharing::Share;

/// How long a dead engine's exit may take to be seen, before a job asks for the next one.
const EXIT_SEEN: Duration = Duration::from_millis(500);
/// How long it may take to be seen that an engine lives and cannot be reached: longer than its checks take.
const LOSS_SEEN: Duration = Duration::from_secs(60);
/// Attempts on fresh engines for a job of which nothing has been said yet.
const ATTEMPTS: u32 = 3;

impl Exchange {
    /// Carries the job to the end of its answer. The engine is done then: its slot is free before a slow router has read
    /// the rest.
    pub(super) async fn carry_out(&mut self) -> Result<(), Ending> {
        let mut attempt = Attempt::first(self.order.clone(), self.config())?;
        let surroundings = Arc::clone(&self.surroundings);
        // Before a slot is waited for: nothing is loaded for what cannot be answered.
        attempt.fits(surroundings.fleet.most_text(self.order.job.model.as_deref()))?;
        for left in (0..ATTEMPTS).rev() {
            self.stand_in_line().await?;
            // The share is held until the engine's end is known: who waits behind a suspect must not meet its dead engine.
            let (lease, _share) = self.settled().await?;
            if !attempt.is_reduced() && surroundings.reductions.knows(lease.model()) {
                attempt.reduce();
            }
            match self.ask(&lease, &attempt).await {
                Ok(()) => {
                    surroundings.suspects.answered(self.order.request);
                    lease.answered();
                    if attempt.is_reduced() {
                        surroundings.reductions.remember(lease.model());
                    }
                    return Ok(());
                }
                Err(Ending::EngineGone { after_text }) => self.lost(lease, after_text, left > 0).await?,
                Err(Ending::EngineUnreachable) if left > 0 => {
                    self.try_again(lease.model());
                    self.within(None, lease.engine_gone(LOSS_SEEN)).await?;
                }
                Err(Ending::EngineRefused(error)) if left > 0 && attempt.can_reduce(&error) && attempt.reduce() => {
                    warn!(job = %Shown(self.id()), model = lease.model(), "engine refused the tool schemas, trying again with reduced ones");
                }
                Err(ending) => return Err(ending),
            }
        }
        Err(Ending::EngineGone { after_text: false })
    }

    /// A request during which an engine crashed waits until no other such request is before its first text; one that has
    /// ended two engines is not run any more.
    async fn stand_in_line(&mut self) -> Result<(), Ending> {
        let surroundings = Arc::clone(&self.surroundings);
        match surroundings.suspects.look_up(self.order.request) {
            Known::Clear => self.turn = None,
            Known::Refused => return Err(Ending::CrashesEngines),
            Known::Suspect if self.turn.is_some() => {}
            Known::Suspect => {
                self.turn = self.within(None, surroundings.suspects.turn()).await?;
                // The one before may have been the same request.
                if surroundings.suspects.look_up(self.order.request) == Known::Refused {
                    return Err(Ending::CrashesEngines);
                }
            }
        }
        Ok(())
    }

    /// The engine is lost: waits until it is known why, so that the next slot is one of another. `Err` is the job's end.
    async fn lost(&mut self, lease: Lease, after_text: bool, may_retry: bool) -> Result<(), Ending> {
        let model = lease.model().to_owned();
        let loss = self.within(None, lease.engine_gone(EXIT_SEEN)).await?;
        if loss == Loss::Crashed && self.surroundings.suspects.crashed(self.order.request) == Known::Refused {
            warn!(job = %Shown(self.id()), model, "the engine crashed twice during this request: it is not run again");
            return Err(Ending::CrashesEngines);
        }
        match loss {
            Loss::LetGo if after_text || !may_retry => Err(Ending::MadeRoom),
            _ if after_text || !may_retry => Err(Ending::EngineGone { after_text }),
            _ => {
                self.try_again(&model);
                Ok(())
            }
        }
    }

    fn try_again(&mut self, model: &str) {
        warn!(job = %Shown(self.id()), model, "no engine before the first token, trying again");
        self.surroundings.telemetry.retried();
        // What the first engine had begun and not said, half a tool call or an open thought, is not the next one's.
        self.answer = Answer::blank(&self.order.job, self.config().text_markers);
    }

    /// Waits for a slot of an engine, and there for a suspect to be alone, or for the end of one that is.
    async fn settled(&mut self) -> Result<(Lease, Share), Ending> {
        let surroundings = Arc::clone(&self.surroundings);
        let is_suspect = surroundings.suspects.look_up(self.order.request) == Known::Suspect;
        loop {
            let mut lease = self.admitted().await?;
            let (company, model) = (&surroundings.company, lease.model().to_owned());
            let share = async {
                let share = if is_suspect { company.alone(&model).await } else { company.join(&model).await };
                // It may have been lost to the suspect that was waited for.
                lease.called_in().now_or_never().is_none().then_some(share)
            };
            let share = async {
                tokio::select! {
                    biased;
                    share = share => share,
                    () = lease.called_in() => None,
                }
            };
            match self.within(None, share).await? {
                Some(share) => {
                    if is_suspect {
                        lease.suspect();
                    }
                    return Ok((lease, share));
                }
                None => _ = self.within(None, lease.engine_gone(EXIT_SEEN)).await?,
            }
        }
    }

    /// Waits for a slot.
    async fn admitted(&mut self) -> Result<Lease, Ending> {
        let (fleet, job, deadline) = (self.surroundings.fleet.clone(), Arc::clone(&self.order.job), self.deadline());
        let lease = self.within(None, fleet.acquire(job.model.as_deref(), deadline)).await?;
        let lease = lease.map_err(Ending::Refused)?;
        self.model = Some(lease.model().to_owned());
        self.started.get_or_insert_with(Instant::now);
        Ok(lease)
    }
}
