//! A job that is a whole HTTP request: the engine gets it as the caller wrote it, and the caller the engine's answer.

use super::*;

use std::future::poll_fn;

use auxot_fleet::Awaiting;
use auxot_llama::{AnswerHead, ExchangeError, Forward, ForwardHead, Joining, OpenError, Peek};
use auxot_protocol::{HttpRequest, ToRouter};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::jobs::engine_answer::EngineAnswer;
use crate::jobs::job::attempts::{ATTEMPTS, LOSS_SEEN};

/// The field with the place in a trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// One read of the engine's answer.
const READ: usize = 16 * 1024;
/// The router hears this often that the engine works on its answer: it begins when its prompt is read, and one that is no
/// stream when all of it is generated.
const PENDING_EVERY: Duration = Duration::from_secs(20);

/// A checked request.
struct EngineCall {
    method: Method,
    fields: HeaderMap,
    target: String,
    body: Bytes,
    /// The request for a stream that the answer is joined from, where the caller wants none: an engine stops a stream whose
    /// client has left, and goes on with any other answer.
    joined: Option<JoinedCall>,
}

struct JoinedCall {
    joining: Joining,
    body: Vec<u8>,
}

impl EngineCall {
    /// Checks all that can be checked without an engine.
    fn of(parsed: &ParsedJob, trace: Option<TraceContext>) -> Result<Self, Outcome> {
        let bad = |text: String| Outcome::BadJob(text);
        let request = parsed.job.http().ok_or_else(|| bad("it has no request".to_owned()))?;
        let method: Method = request.method.parse().map_err(|_| bad("its method is not valid".to_owned()))?;
        if !parsed.path.is_some_and(|path| path.takes(&method)) {
            let path = request.path.split('?').next().unwrap_or_default();
            return Err(bad(format!("this worker does not pass on {method} {}", shown(path))));
        }
        let mut fields = fields(request).ok_or_else(|| bad("its header fields are not valid".to_owned()))?;
        if let Some(value) = trace.and_then(|trace| trace.to_string().parse().ok()) {
            fields.insert(TRACEPARENT, value);
        }
        let is_form = parsed.path.is_some_and(|path| path.is_form(&fields));
        let peek = match is_form || request.body.is_empty() {
            true => Peek::default(),
            false => Peek::into(&request.body).map_err(|error| bad(error.to_string()))?,
        };
        let joining = parsed.path.and_then(|path| Joining::of(path.path, peek.whole));
        let joined = joining.map(|joining| JoinedCall { body: joining.with_fields(&request.body), joining });
        Ok(Self { method, fields, target: request.path.clone(), body: request.body.clone(), joined })
    }
}

fn fields(request: &HttpRequest) -> Option<HeaderMap> {
    let field =
        |(name, value): &(String, String)| Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?));
    request.headers.iter().map(field).collect()
}

impl Produce for EngineAnswer {
    async fn produce(job: &mut RunningJob<Self>) -> Result<(), Outcome> {
        run(job).await
    }
}

async fn run(job: &mut RunningJob<EngineAnswer>) -> Result<(), Outcome> {
    let call = EngineCall::of(&job.parsed, job.trace)?;
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

impl RunningJob<EngineAnswer> {
    /// Sends the request to one engine and passes its answer on.
    async fn pass_on(&mut self, lease: &Lease, call: &EngineCall) -> Result<(), Outcome> {
        let awaits = lease.awaits();
        if let Some(joined) = &call.joined {
            let (head, mut stream) = self.exchange(lease, call, &joined.body).await?;
            if head.is_events {
                self.on_first_token();
                let answer = stream.join(&joined.joining, || lease.progressed());
                let answer = self.while_pending(lease, answer).await?;
                if !answer.lacks_text {
                    self.answer.begin(&head.of_joined(&answer));
                    self.answer.push(&answer.body);
                    return Ok(());
                }
            }
            // A refusal is the one of the caller's own request, and so is an answer that a stream has not.
        }
        let (head, mut stream) = self.exchange(lease, call, &call.body).await?;
        self.answer.begin(&head);
        self.on_first_token();
        // The next suspect may run: an answer that has begun is not run again.
        self.suspect_permit = None;
        self.copy_body(&mut stream, lease, awaits).await
    }

    /// The engine has begun to answer.
    fn on_first_token(&mut self) {
        if self.first_token.is_none() {
            self.first_token = Some(Instant::now());
            self.record.first_token();
        }
    }

    /// Sends a request and waits for the head of its answer.
    async fn exchange(
        &mut self,
        lease: &Lease,
        call: &EngineCall,
        body: &[u8],
    ) -> Result<(AnswerHead, Forward), Outcome> {
        let head = ForwardHead { method: &call.method, target: &call.target, fields: &call.fields };
        let limit = Limit::Headers(self.config().headers_timeout);
        let opened = self.within(Some(limit), Forward::send(lease.endpoint(), head, body)).await?;
        let mut stream = opened.map_err(|error| match error {
            OpenError::NotListening => Outcome::EngineUnreachable,
            OpenError::Cut => Outcome::EngineGone { after_text: false },
            OpenError::Io(_) => Outcome::Unreadable(error.to_string()),
        })?;
        let head = self.while_pending(lease, stream.head()).await?;
        if head.status == 503 {
            // The engine is being replaced or still loads: another attempt follows.
            return Err(Outcome::EngineGone { after_text: false });
        }
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
