//! The streaming part of a job: the engine's bytes in, token messages out.

use super::*;

use auxot_llama::{Exchange as EngineStream, ExchangeError, Fill, OpenError};

/// The shortest time between two reports of prompt progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// The most bytes of an error body that are read; the engine's own have a few hundred.
const ERROR_BODY: usize = 64 * 1024;
/// The engine's path for chats.
const CHAT_PATH: &str = "/v1/chat/completions";

impl RunningJob<Answer> {
    /// Sends one request to one engine and reads its answer or its error.
    pub(super) async fn send_request(&mut self, lease: &Lease, request: &EngineRequest) -> Result<(), Outcome> {
        let body = self.within(None, request.body(lease)).await??;
        let headers = Limit::Headers(self.config().headers_timeout);
        let trace = self.trace.as_ref().map(ToString::to_string);
        let posted = EngineStream::post_traced(lease.endpoint(), CHAT_PATH, trace.as_deref(), &body);
        let opened = self.within(Some(headers), posted).await?;
        let mut stream = opened.map_err(|error| match error {
            OpenError::NotListening => Outcome::EngineUnreachable,
            OpenError::Cut => Outcome::EngineGone { after_text: false },
            OpenError::Io(_) => Outcome::Unreadable(error.to_string()),
        })?;
        drop(body);
        let head = async {
            tokio::select! {
                biased;
                head = stream.head() => head,
                () = lease.engine_stopping() => Err(ExchangeError::Cut),
            }
        };
        let status = self.within(Some(headers), head).await?.map_err(|error| self.engine_fault(&error))?;
        if status != 200 {
            return Err(self.read_refusal(&mut stream, status).await);
        }
        self.pump(&mut stream, lease).await?;
        self.answer.close()
    }

    async fn read_refusal(&mut self, stream: &mut EngineStream, status: u16) -> Outcome {
        let silence = Limit::Idle(self.config().idle_timeout);
        match self.within(Some(silence), stream.error_body(ERROR_BODY)).await {
            // The engine is being replaced or still loads: another attempt follows.
            Ok(Ok(_)) if status == 503 => Outcome::EngineGone { after_text: false },
            Ok(Ok(body)) => Outcome::EngineRefused(auxot_llama::EngineError::from_body(status, &body)),
            Ok(Err(error)) => self.engine_fault(&error),
            Err(outcome) => outcome,
        }
    }

    /// Reads the engine and writes to the connection until the engine's stream ends.
    async fn pump(&mut self, stream: &mut EngineStream, lease: &Lease) -> Result<(), Outcome> {
        let mut idle_timer = IdleTimer::new(self.config().idle_timeout, Instant::now());
        let alarm = timer::until(self.next_alarm(&idle_timer));
        let (cancel, shutdown) = (self.cancel.clone(), self.context.shutdown.clone());
        let (cancelled, shut_down) = (cancel.cancelled(), shutdown.cancelled());
        let engine_stopping = lease.engine_stopping();
        tokio::pin!(alarm, cancelled, shut_down, engine_stopping);
        let mut awaits = lease.awaits();
        loop {
            self.send_progress();
            self.send_what_fits();
            self.send_tool_call();
            let unsent = self.end() - self.sink.sent();
            let is_read = unsent < MERGE_LIMIT;
            // While the router reads slowly the engine is not read: that is not a silence of the engine.
            idle_timer.set_read(is_read, Instant::now());
            awaits.hold_back(!is_read);
            let wants = if unsent > 0 { WaitFor::Permit } else { WaitFor::Nothing };
            tokio::select! {
                biased;
                filled = stream.fill(), if is_read => {
                    idle_timer.restart(Instant::now());
                    let (filled, events) = self.read_events(stream, filled)?;
                    // A ping shows that the engine's server is alive, not that the engine makes progress.
                    if events > 0 {
                        lease.progressed();
                    }
                    if filled == Fill::End {
                        return Ok(());
                    }
                }
                () = &mut cancelled => return Err(self.cancelled_outcome()),
                () = &mut shut_down => return Err(Outcome::ShuttingDown),
                () = &mut engine_stopping => return Err(self.engine_fault(&ExchangeError::Cut)),
                event = self.sink.next_event(wants) => self.on_sink_event(event)?,
                () = &mut alarm => {
                    if Instant::now() >= self.next_alarm(&idle_timer) {
                        return Err(self.timeout_outcome(Some(Limit::Idle(self.config().idle_timeout))));
                    }
                    alarm.set(timer::until(self.next_alarm(&idle_timer)));
                }
            }
        }
    }

    /// Handles all events of one wake-up; returns how many there were.
    fn read_events(
        &mut self,
        stream: &mut EngineStream,
        filled: Result<Fill, ExchangeError>,
    ) -> Result<(Fill, usize), Outcome> {
        let filled = match filled {
            // The end of the stream was received; the way the connection closes does not matter.
            Err(ExchangeError::Cut) if self.answer.is_done() => Fill::End,
            other => other.map_err(|error| self.engine_fault(&error))?,
        };
        let mut events = 0;
        loop {
            match stream.next_event() {
                Ok(Some(data)) => {
                    events += 1;
                    self.answer.push_event(data)?;
                }
                Ok(None) => break,
                Err(error) => return Err(self.engine_fault(&error)),
            }
        }
        if self.first_token.is_none() && self.answer.has_begun() {
            self.first_token = Some(Instant::now());
            self.record.first_token();
            // The next suspect may run: this job is not retried after its first text.
            self.suspect_permit = None;
        }
        Ok((filled, events))
    }

    /// Sends the prompt progress.
    fn send_progress(&mut self) {
        if let Some(progress) = self.answer.take_progress()
            && *self.context.sends_progress.borrow()
            && !self.answer.has_begun()
            && self.progress_due(&progress)
        {
            self.progress_sent = Some(Instant::now());
            self.sink.try_send(progress_frame(self.id(), &progress));
        }
    }

    /// Sends `tool_generating`: writing a tool call takes time and sends no text.
    fn send_tool_call(&mut self) {
        if self.answer.has_calls() && !self.tool_announced {
            let announcement = ToRouter::ToolGenerating { job_id: self.id().into() };
            self.tool_announced = self.sink.try_send(announcement.to_frame());
        }
    }

    /// A short prompt is not reported: the report would only delay its first token.
    fn progress_due(&self, progress: &auxot_llama::PromptProgress) -> bool {
        let due = |at: Instant| at.elapsed() >= PROGRESS_EVERY;
        match self.progress_sent {
            Some(last) => due(last) || progress.processed >= progress.total,
            None => self.started.is_some_and(due),
        }
    }

    fn next_alarm(&self, idle_timer: &IdleTimer) -> Instant {
        idle_timer.ends().map_or(self.deadline(), |ends| ends.min(self.deadline()))
    }

    fn engine_fault(&self, error: &ExchangeError) -> Outcome {
        match error {
            ExchangeError::Cut | ExchangeError::Io(_) => Outcome::EngineGone { after_text: self.answer.has_begun() },
            other => Outcome::Unreadable(other.to_string()),
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

/// The silence of one engine in one answer. It counts only while the engine is read, which stops while the router takes
/// nothing.
#[derive(Debug)]
struct IdleTimer {
    limit: Duration,
    /// Since when the engine is read and silent; `None` while it is not read.
    since: Option<Instant>,
}

impl IdleTimer {
    /// A timer for an engine that is read from now on.
    fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: Some(now) }
    }

    /// Sets whether the engine is read now. The time starts again when reading does: the engine was blocked too.
    fn set_read(&mut self, is_read: bool, now: Instant) {
        self.since = is_read.then(|| self.since.unwrap_or(now));
    }

    /// Bytes were received.
    fn restart(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// When the silence reaches the limit.
    fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_the_engine_is_read_and_starts_again_with_reading() {
        let (limit, s, begin) = (Duration::from_secs(10), Duration::from_secs(1), Instant::now());
        let mut timer = IdleTimer::new(limit, begin);
        timer.set_read(true, begin + 4 * s);
        assert_eq!(timer.ends(), Some(begin + limit));
        timer.set_read(false, begin + 5 * s);
        assert_eq!(timer.ends(), None, "the engine is not read");
        timer.set_read(true, begin + 500 * s);
        assert_eq!(timer.ends(), Some(begin + 510 * s));
        timer.restart(begin + 501 * s);
        timer.set_read(true, begin + 502 * s);
        assert_eq!(timer.ends(), Some(begin + 511 * s));
    }
}
