//! The streaming part of an exchange: the engine's bytes in, token messages out.

use super::*;

use auxot_llama::{Exchange as Upstream, ExchangeError, Fill, OpenError};

/// At most so often a prompt's progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// A refusal's body is read up to this size; the engine's own are a few hundred bytes.
const ERROR_BODY: usize = 64 * 1024;

impl Exchange {
    /// One request to one engine, up to the end of its answer or its refusal.
    pub(super) async fn ask(&mut self, lease: &Lease, attempt: &Attempt) -> Result<(), Ending> {
        let body = attempt.body(&self.job, lease)?;
        let opened = Upstream::post(lease.endpoint(), "/v1/chat/completions", &body).await;
        let mut upstream = opened.map_err(|error| match error {
            OpenError::NotListening | OpenError::Cut => Ending::EngineGone { after_text: false },
            OpenError::Io(_) => Ending::Unreadable(error.to_string()),
        })?;
        drop(body);
        let status = self.status_line(&mut upstream).await?;
        if status != 200 {
            return Err(self.refusal(&mut upstream, status).await);
        }
        self.pump(&mut upstream, lease).await?;
        self.answer.close()
    }

    async fn status_line(&mut self, upstream: &mut Upstream) -> Result<u16, Ending> {
        let limit = self.config().headers_timeout;
        let deadline = Instant::now() + limit;
        loop {
            tokio::select! {
                biased;
                status = upstream.head() => return status.map_err(|error| self.upstream_fault(&error)),
                ended = self.interrupted() => ended?,
                () = tokio::time::sleep_until(deadline.into()) => {
                    return Err(self.overdue(Limit::Headers(limit)));
                }
            }
        }
    }

    async fn refusal(&mut self, upstream: &mut Upstream, status: u16) -> Ending {
        match upstream.error_body(ERROR_BODY).await {
            // The engine is being replaced under us, or is still loading: another one will answer.
            Ok(_) if status == 503 => Ending::EngineGone { after_text: false },
            Ok(body) => Ending::EngineRefused(auxot_llama::EngineError::from_body(status, &body)),
            Err(error) => self.upstream_fault(&error),
        }
    }

    /// Reads the engine and writes to the lane until the engine has said all.
    async fn pump(&mut self, upstream: &mut Upstream, lease: &Lease) -> Result<(), Ending> {
        let mut last_heard = Instant::now();
        let alarm = tokio::time::sleep_until(self.next_alarm(last_heard).into());
        tokio::pin!(alarm);
        let cancel = self.cancel.clone();
        let shutdown = self.surroundings.shutdown.clone();
        let (cancelled, shut_down) = (cancel.cancelled(), shutdown.cancelled());
        tokio::pin!(cancelled, shut_down);
        loop {
            self.send_what_fits();
            let unsent = self.answer.transcript().len() - self.sent;
            if unsent >= MERGE_LIMIT {
                // A router that reads slowly is no silence of the engine.
                last_heard = Instant::now();
            }
            tokio::select! {
                biased;
                filled = upstream.fill(), if unsent < MERGE_LIMIT => {
                    last_heard = Instant::now();
                    lease.progressed();
                    if self.hear(upstream, filled)? == Fill::End {
                        return Ok(());
                    }
                }
                () = &mut cancelled => return Err(Ending::Cancelled),
                () = &mut shut_down => return Err(Ending::ShuttingDown),
                news = lane_turn(&self.lane, &mut self.lane_changes, unsent > 0) => self.take_lane_turn(news)?,
                () = &mut alarm => {
                    self.check_alarm(last_heard)?;
                    alarm.as_mut().reset(self.next_alarm(last_heard).into());
                }
            }
        }
    }

    /// Sends what is left after the engine's end.
    pub(super) async fn drain(&mut self) -> Result<(), Ending> {
        let deadline = self.arrived + self.config().job_timeout;
        let (cancel, shutdown) = (self.cancel.clone(), self.surroundings.shutdown.clone());
        loop {
            self.send_what_fits();
            if self.sent == self.answer.transcript().len() && matches!(self.lane, Lane::Attached(_)) {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Ending::Cancelled),
                () = shutdown.cancelled() => return Err(Ending::ShuttingDown),
                news = lane_turn(&self.lane, &mut self.lane_changes, true) => self.take_lane_turn(news)?,
                () = tokio::time::sleep_until(deadline.into()) => {
                    return Err(Ending::TimedOut(Limit::Total(self.config().job_timeout)));
                }
            }
        }
    }

    /// Takes in every event that one wake-up brought.
    fn hear(&mut self, upstream: &mut Upstream, filled: Result<Fill, ExchangeError>) -> Result<Fill, Ending> {
        let filled = filled.map_err(|error| self.upstream_fault(&error))?;
        loop {
            match upstream.next_event() {
                Ok(Some(data)) => self.answer.hear(data)?,
                Ok(None) => break,
                Err(error) => return Err(self.upstream_fault(&error)),
            }
        }
        if self.first_token.is_none() && self.answer.has_begun() {
            self.first_token = Some(Instant::now());
        }
        Ok(filled)
    }

    /// Hands over all that the lane has room for now: one message per run of text.
    pub(super) fn send_what_fits(&mut self) {
        let Lane::Attached(lane) = &self.lane else { return };
        if let Some(progress) = self.answer.take_progress()
            && *self.surroundings.sends_progress.borrow()
            && !self.answer.has_begun()
            && self.progress_due(&progress)
        {
            self.progress_sent = Some(Instant::now());
            lane.try_send(Frame::Text(progress_frame(&self.job.job_id, &progress), None));
        }
        while let Some((channel, range)) = self.answer.transcript().after(self.sent) {
            let Ok(room) = lane.try_reserve() else { return };
            let upto = range.end;
            let token = Token {
                job_id: self.job.job_id.as_str().into(),
                token: self.answer.transcript().slice(range).into(),
                reasoning: channel == Channel::Reasoning,
            };
            room.send(Frame::Text(ToRouter::Token(token).to_frame(), Some(Receipt::new(&self.delivered, upto))));
            self.sent = upto;
        }
        if self.answer.has_calls() && !self.tool_announced {
            let announcement = ToRouter::ToolGenerating { job_id: self.job.job_id.as_str().into() };
            self.tool_announced = lane.try_send(Frame::Text(announcement.to_frame(), None));
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

    fn take_lane_turn(&mut self, turn: LaneTurn) -> Result<(), Ending> {
        match turn {
            LaneTurn::Room => Ok(()),
            LaneTurn::News(news) => self.take_lane_news(news),
        }
    }

    fn next_alarm(&self, last_heard: Instant) -> Instant {
        (last_heard + self.config().idle_timeout).min(self.arrived + self.config().job_timeout)
    }

    fn check_alarm(&self, last_heard: Instant) -> Result<(), Ending> {
        let (idle, total) = (self.config().idle_timeout, self.config().job_timeout);
        let now = Instant::now();
        if now >= self.arrived + total {
            return Err(Ending::TimedOut(Limit::Total(total)));
        }
        if now >= last_heard + idle {
            return Err(self.overdue(Limit::Idle(idle)));
        }
        Ok(())
    }

    /// A silence is the job's own time running out when that came first.
    fn overdue(&self, limit: Limit) -> Ending {
        let total = self.config().job_timeout;
        Ending::TimedOut(if self.arrived.elapsed() >= total { Limit::Total(total) } else { limit })
    }

    fn upstream_fault(&self, error: &ExchangeError) -> Ending {
        match error {
            ExchangeError::Cut | ExchangeError::Io(_) => Ending::EngineGone { after_text: self.answer.has_begun() },
            other => Ending::Unreadable(other.to_string()),
        }
    }
}

/// What the lane has to say to a streaming job.
enum LaneTurn {
    Room,
    News(LaneNews),
}

/// Resolves when there is room for waiting text, or when the lane itself has news.
async fn lane_turn(lane: &Lane, changes: &mut watch::Receiver<Outbox>, wants_room: bool) -> LaneTurn {
    match lane {
        Lane::Attached(outbox) if wants_room => tokio::select! {
            biased;
            moved = moved(changes) => LaneTurn::News(LaneNews::Moved(moved)),
            room = outbox.reserve() => match room {
                // The permit is given back: what is sent next is decided when it is sent.
                Ok(_permit) => LaneTurn::Room,
                Err(_) => LaneTurn::News(LaneNews::Gone),
            },
        },
        _ => LaneTurn::News(lane_news(lane, changes).await),
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
