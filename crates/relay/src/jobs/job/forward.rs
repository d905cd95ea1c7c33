//! A job that is a whole HTTP request: the engine gets it as the caller wrote it, and the caller the engine's answer.

use super::*;

use std::future::poll_fn;

use auxot_fleet::Awaiting;
use auxot_llama::{AnswerHead, EngineError, ExchangeError, Forward, ForwardHead, KeptConnection, OpenError};
use auxot_protocol::ToRouter;
use futures_util::FutureExt;
use tracing::warn;

use crate::jobs::engine_answer::EngineAnswer;
use crate::jobs::job::attempts::{ATTEMPTS, LOSS_SEEN};
use crate::jobs::job::engine_call::{Bodies, EngineCall};

/// One read of the engine's answer.
const READ: usize = 16 * 1024;
/// The router hears this often that the engine works on its answer: it begins when its prompt is read, and one that is no
/// stream when all of it is generated.
const PENDING_EVERY: Duration = Duration::from_secs(20);

/// The most bytes of an engine's refusal that are looked into.
const REFUSAL: usize = 64 * 1024;

/// What there is of the engine's answer.
struct Answered {
    head: AnswerHead,
    bytes: Vec<u8>,
    /// What brings the rest.
    rest: Option<Forward>,
}

impl Answered {
    fn is_refusal(&self) -> bool {
        self.head.status >= 400
    }

    /// Whether the engine cannot read the tools.
    fn is_template_fault(&self) -> bool {
        self.is_refusal() && EngineError::from_body(self.head.status, &self.bytes).is_template_fault()
    }
}

impl Produce for EngineAnswer {
    async fn produce(job: &mut RunningJob<Self>) -> Result<(), Outcome> {
        run(job).await
    }
}

async fn run(job: &mut RunningJob<EngineAnswer>) -> Result<(), Outcome> {
    let call = EngineCall::of(&job.parsed, job.trace, job.config())?;
    let context = Arc::clone(&job.context);
    for left in (0..ATTEMPTS).rev() {
        job.wait_for_suspect_permit().await?;
        // Held until the engine's end is known, as for chats.
        let (lease, _share) = job.acquire_shared().await?;
        match job.pass_on(&lease, &call).await {
            Ok(()) => {
                context.crash_suspects.answered(job.parsed.request_hash);
                lease.answered();
                return Ok(());
            }
            Err(Outcome::EngineGone { after_text }) => job.on_engine_lost(lease, after_text, left > 0).await?,
            Err(Outcome::EngineUnreachable) if left > 0 => {
                job.prepare_retry(lease.model());
                job.within(None, lease.engine_end(LOSS_SEEN)).await?;
            }
            Err(outcome) => return Err(outcome),
        }
    }
    Err(Outcome::EngineGone { after_text: false })
}

/// Keeps the connection of an answer that is complete, for the next request.
fn keep(lease: &Lease, answered: Forward) {
    if let Some(kept) = answered.into_kept() {
        lease.keep(kept);
    }
}

impl RunningJob<EngineAnswer> {
    /// Sends the request to one engine and passes its answer on.
    async fn pass_on(&mut self, lease: &Lease, call: &EngineCall) -> Result<(), Outcome> {
        let awaits = lease.awaits();
        let mut answered = self.ask(lease, call, &call.bodies).await?;
        if answered.is_template_fault()
            && let Some(reduced) = call.with_reduced_tools()
        {
            warn!(job = %Shown(self.id()), model = lease.model(), "engine refused the tool schemas, trying again with reduced ones");
            let again = self.ask(lease, call, &reduced).await?;
            // A refusal is the one of the caller's own request.
            if !again.is_refusal() {
                answered = again;
            }
        }
        self.answer.begin(&answered.head);
        self.answer.push(&answered.bytes);
        self.on_first_token();
        // The next suspect may run: an answer that has begun is not run again.
        self.suspect_permit = None;
        match answered.rest {
            Some(mut rest) => {
                self.copy_body(&mut rest, lease, awaits).await?;
                keep(lease, rest);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sends the request with one of its bodies, and waits until an answer begins. One that is joined, and a short refusal of
    /// a request with tools, is complete then.
    async fn ask(&mut self, lease: &Lease, call: &EngineCall, bodies: &Bodies) -> Result<Answered, Outcome> {
        if let Some((joining, body)) = call.joining.as_ref().zip(bodies.joined.as_ref()) {
            let (head, mut stream) = self.exchange(lease, call, body).await?;
            if head.is_events {
                self.on_first_token();
                let answer = stream.join(joining, || lease.progressed());
                let answer = self.while_pending(lease, answer).await?;
                keep(lease, stream);
                if !answer.lacks_text {
                    return Ok(Answered { head: head.of_joined(&answer), bytes: answer.body, rest: None });
                }
            }
            // A refusal is the one of the caller's own request, and so is an answer that a stream has not.
        }
        let (head, mut stream) = self.exchange(lease, call, &bodies.written).await?;
        let mut bytes = Vec::new();
        if head.status >= 400 && call.tools.is_some() {
            bytes = self.while_pending(lease, stream.read(REFUSAL)).await?;
        }
        Ok(Answered { head, bytes, rest: Some(stream) })
    }

    /// The engine has begun to answer.
    fn on_first_token(&mut self) {
        if self.first_token.is_none() {
            self.first_token = Some(Instant::now());
            self.record.first_token();
        }
    }

    /// Sends a request over a connection that was kept, or over one of its own, and waits for the head of its answer.
    async fn exchange(
        &mut self,
        lease: &Lease,
        call: &EngineCall,
        body: &[u8],
    ) -> Result<(AnswerHead, Forward), Outcome> {
        let begun = match lease.kept_connection() {
            None => self.exchange_on(None, lease, call, body).await,
            Some(kept) => match self.exchange_on(Some(kept), lease, call, body).await {
                // The engine may have closed it meanwhile. Nothing of an answer has come then, so the request can be sent again.
                Err(Outcome::EngineGone { .. }) if lease.engine_stopping().now_or_never().is_none() => {
                    match self.exchange_on(None, lease, call, body).await {
                        // This request may have crashed it.
                        Err(Outcome::EngineUnreachable) => Err(Outcome::EngineGone { after_text: false }),
                        begun => begun,
                    }
                }
                begun => begun,
            },
        };
        let (head, stream) = begun?;
        if head.status == 503 {
            // The engine is being replaced or still loads: another attempt follows.
            return Err(Outcome::EngineGone { after_text: false });
        }
        Ok((head, stream))
    }

    async fn exchange_on(
        &mut self,
        kept: Option<KeptConnection>,
        lease: &Lease,
        call: &EngineCall,
        body: &[u8],
    ) -> Result<(AnswerHead, Forward), Outcome> {
        let head = ForwardHead { method: &call.method, target: &call.target, fields: &call.fields };
        let limit = Limit::Headers(self.config().headers_timeout);
        let opened = async {
            match kept {
                Some(kept) => Forward::send_on(kept, lease.endpoint(), head, body).await,
                None => Forward::send(lease.endpoint(), head, body).await,
            }
        };
        let opened = self.within(Some(limit), opened).await?;
        let mut stream = opened.map_err(|error| match error {
            OpenError::NotListening => Outcome::EngineUnreachable,
            OpenError::Cut => Outcome::EngineGone { after_text: false },
            OpenError::Io(_) => Outcome::Unreadable(error.to_string()),
        })?;
        let head = self.while_pending(lease, stream.head()).await?;
        Ok((head, stream))
    }

    /// Waits for a part of the engine's answer, while the router has nothing of it.
    async fn while_pending<T>(
        &mut self,
        lease: &Lease,
        part: impl Future<Output = Result<T, ExchangeError>>,
    ) -> Result<T, Outcome> {
        let stopping = lease.engine_stopping();
        tokio::pin!(part, stopping);
        loop {
            let step = async {
                tokio::select! {
                    biased;
                    part = &mut part => Some(part),
                    () = &mut stopping => Some(Err(ExchangeError::Cut)),
                    () = timer::until(Instant::now() + PENDING_EVERY) => None,
                }
            };
            if let Some(part) = self.within(None, step).await? {
                return part.map_err(|error| self.fault(&error));
            }
            let pending = ToRouter::AnswerPending { job_id: self.id().into() };
            self.sink.try_send(pending.to_frame());
        }
    }

    /// Copies the engine's bytes to the connection, no faster than the caller takes them.
    async fn copy_body(&mut self, stream: &mut Forward, lease: &Lease, mut awaits: Awaiting) -> Result<(), Outcome> {
        let (cancel, shutdown) = (self.cancel.clone(), self.context.shutdown.clone());
        let engine_stopping = lease.engine_stopping();
        tokio::pin!(engine_stopping);
        let mut buffer = vec![0; READ];
        let idle = Limit::Idle(self.config().idle_timeout);
        let mut silent_since = Instant::now();
        loop {
            self.send_what_fits();
            let is_read = self.answer.end() - self.sink.sent() < MERGE_LIMIT;
            if !is_read {
                silent_since = Instant::now();
            }
            awaits.hold_back(!is_read);
            let wants = if self.has_unsent() { WaitFor::Permit } else { WaitFor::Nothing };
            let limit = (silent_since + idle.length()).min(self.deadline());
            tokio::select! {
                biased;
                read = poll_fn(|context| stream.poll_body(context, &mut buffer)), if is_read => {
                    match read.map_err(|error| self.fault(&error))? {
                        0 => return Ok(()),
                        read => self.answer.push(&buffer[..read]),
                    }
                    silent_since = Instant::now();
                    lease.progressed();
                }
                () = cancel.cancelled() => return Err(self.cancelled_outcome()),
                () = shutdown.cancelled() => return Err(Outcome::ShuttingDown),
                () = &mut engine_stopping => return Err(self.fault(&ExchangeError::Cut)),
                Ok(()) = self.reads.changed() => self.on_read(),
                event = self.sink.next_event(wants) => self.on_sink_event(event)?,
                () = timer::until(limit) => return Err(self.timeout_outcome(Some(idle))),
            }
        }
    }

    fn fault(&self, error: &ExchangeError) -> Outcome {
        match error {
            ExchangeError::Cut | ExchangeError::Io(_) => Outcome::EngineGone { after_text: self.answer.has_begun() },
            other => Outcome::Unreadable(other.to_string()),
        }
    }
}
