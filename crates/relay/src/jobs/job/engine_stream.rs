//! The streaming part of an exchange: the engine's bytes in, token messages out.

use super::*;

use auxot_llama::{Exchange as Upstream, ExchangeError, Fill, OpenError};

use crate::jobs::job::idle_timer::Patience;

/// At most so often a prompt's progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// A refusal's body is read up to this size; the engine's own are a few hundred bytes.
const ERROR_BODY: usize = 64 * 1024;
/// Where an engine takes chats.
const PATH: &str = "/v1/chat/completions";

impl Exchange {
    /// One request to one engine, up to the end of its answer or its refusal.
    pub(super) async fn ask(&mut self, lease: &Lease, attempt: &Attempt) -> Result<(), Ending> {
        let body = self.within(None, attempt.body(lease)).await??;
        let headers = Limit::Headers(self.config().headers_timeout);
        let opened = self.within(Some(headers), Upstream::post(lease.endpoint(), PATH, &body)).await?;
        let mut upstream = opened.map_err(|error| match error {
            OpenError::NotListening => Ending::EngineUnreachable,
            OpenError::Cut => Ending::EngineGone { after_text: false },
            OpenError::Io(_) => Ending::Unreadable(error.to_string()),
        })?;
        drop(body);
        let head = async {
            tokio::select! {
                biased;
                head = upstream.head() => head,
                () = lease.called_in() => Err(ExchangeError::Cut),
            }
        };
        let status = self.within(Some(headers), head).await?.map_err(|error| self.upstream_fault(&error))?;
        if status != 200 {
            return Err(self.refusal(&mut upstream, status).await);
        }
        self.pump(&mut upstream, lease).await?;
        self.answer.close()
    }

    async fn refusal(&mut self, upstream: &mut Upstream, status: u16) -> Ending {
        let silence = Limit::Idle(self.config().idle_timeout);
        match self.within(Some(silence), upstream.error_body(ERROR_BODY)).await {
            // The engine is being replaced under us, or is still loading: another one will answer.
            Ok(Ok(_)) if status == 503 => Ending::EngineGone { after_text: false },
            Ok(Ok(body)) => Ending::EngineRefused(auxot_llama::EngineError::from_body(status, &body)),
            Ok(Err(error)) => self.upstream_fault(&error),
            Err(ending) => ending,
        }
    }

    /// Reads the engine and writes to the lane until the engine has said all.
    async fn pump(&mut self, upstream: &mut Upstream, lease: &Lease) -> Result<(), Ending> {
        let mut patience = Patience::new(self.config().idle_timeout, Instant::now());
        let alarm = timer::until(self.next_alarm(&patience));
        let (cancel, shutdown) = (self.cancel.clone(), self.surroundings.shutdown.clone());
        let (cancelled, shut_down) = (cancel.cancelled(), shutdown.cancelled());
        let called_in = lease.called_in();
        tokio::pin!(alarm, cancelled, shut_down, called_in);
        let mut awaits = lease.awaits();
        loop {
            self.mention_progress();
            self.send_what_fits();
            self.mention_tool_call();
            let unsent = self.end() - self.outlet.sent();
            let is_read = unsent < MERGE_LIMIT;
            // A router that reads slowly is no silence of the engine, and makes it stand still.
            patience.read(is_read, Instant::now());
            awaits.hold_back(!is_read);
            let wants = if unsent > 0 { Wants::Room } else { Wants::Nothing };
            tokio::select! {
                biased;
                filled = upstream.fill(), if is_read => {
                    patience.heard(Instant::now());
                    let (filled, events) = self.hear(upstream, filled)?;
                    // A ping says that the engine's server lives, not that the engine works.
                    if events > 0 {
                        lease.progressed();
                    }
                    if filled == Fill::End {
                        return Ok(());
                    }
                }
                () = &mut cancelled => return Err(self.called_off()),
                () = &mut shut_down => return Err(Ending::ShuttingDown),
                () = &mut called_in => return Err(self.upstream_fault(&ExchangeError::Cut)),
                turn = self.outlet.turn(wants) => self.take_turn(turn)?,
                () = &mut alarm => {
                    if Instant::now() >= self.next_alarm(&patience) {
                        return Err(self.overdue(Some(Limit::Idle(self.config().idle_timeout))));
                    }
                    alarm.set(timer::until(self.next_alarm(&patience)));
                }
            }
        }
    }

    /// Takes in every event that one wake-up brought, and says how many there were.
    fn hear(&mut self, upstream: &mut Upstream, filled: Result<Fill, ExchangeError>) -> Result<(Fill, usize), Ending> {
        let filled = match filled {
            // It has said that it is done; how it hangs up does not matter.
            Err(ExchangeError::Cut) if self.answer.is_done() => Fill::End,
            other => other.map_err(|error| self.upstream_fault(&error))?,
        };
        let mut events = 0;
        loop {
            match upstream.next_event() {
                Ok(Some(data)) => {
                    events += 1;
                    self.answer.hear(data)?;
                }
                Ok(None) => break,
                Err(error) => return Err(self.upstream_fault(&error)),
            }
        }
        if self.first_token.is_none() && self.answer.has_begun() {
            self.first_token = Some(Instant::now());
            // The next suspect may come: this one is not run again.
            self.turn = None;
        }
        Ok((filled, events))
    }

    /// Says how far the prompt is.
    fn mention_progress(&mut self) {
        if let Some(progress) = self.answer.take_progress()
            && *self.surroundings.sends_progress.borrow()
            && !self.answer.has_begun()
            && self.progress_due(&progress)
        {
            self.progress_sent = Some(Instant::now());
            self.outlet.mention(progress_frame(self.id(), &progress));
        }
    }

    /// Says that a tool call is being written, which is no text and may take long.
    fn mention_tool_call(&mut self) {
        if self.answer.has_calls() && !self.tool_announced {
            let announcement = ToRouter::ToolGenerating { job_id: self.id().into() };
            self.tool_announced = self.outlet.mention(announcement.to_frame());
        }
    }

    /// A short prompt is not reported at all: its first token is the better news, and would only come later for it.
    fn progress_due(&self, progress: &auxot_llama::PromptProgress) -> bool {
        let due = |at: Instant| at.elapsed() >= PROGRESS_EVERY;
        match self.progress_sent {
            Some(last) => due(last) || progress.processed >= progress.total,
            None => self.started.is_some_and(due),
        }
    }

    fn next_alarm(&self, patience: &Patience) -> Instant {
        patience.ends().map_or(self.deadline(), |ends| ends.min(self.deadline()))
    }

    fn upstream_fault(&self, error: &ExchangeError) -> Ending {
        match error {
            ExchangeError::Cut | ExchangeError::Io(_) => Ending::EngineGone { after_text: self.answer.has_begun() },
            other => Ending::Unreadable(other.to_string()),
        }
    }
}

fn progress_frame(job_id: &str, progress: &auxot_llama::PromptProgress) -> String {
    ToRouter::PromptProgress(auxot_protocol::PromptProgress {
        job_id: job_id.into(),
        total: progress.total,
        cached: progress.cache,
        processed: progress.processed,
    })
    .to_frame()
}
