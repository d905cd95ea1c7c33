//! A request on its way to an engine: a slot, the bytes as the client wrote them, and another engine when the first is lost
//! before its answer begins.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_fleet::{EngineEnd, JobTask, Lease};
use auxot_llama::{
    AnswerHead, EngineError, ExchangeError, Forward, ForwardHead, Joining, KeptConnection, ModelName, OpenError, Peek,
    with_reduced_tools,
};
use http::{HeaderMap, Method};

use crate::api_key::UsedKey;
use crate::failure::Failure;
use crate::request_body::HeldBody;
use crate::running::{AnswerBody, BegunAnswer, RequestStop, RunningRequest, Stop};
use crate::shared::Shared;

/// How long a request waits for the exit of a dead engine before it asks for the next one.
const EXIT_SEEN: Duration = Duration::from_millis(500);
/// Engines that a request may be sent to.
const ATTEMPTS: u32 = 3;
/// Crashes after which a request is not sent again.
const CRASHES: u32 = 2;
/// The longest refusal of a request with tools.
const REFUSAL_LIMIT: usize = 16 << 20;
/// A request may wait for a slot as long as the fleet lets it.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// A request on its way to an engine.
#[derive(Debug)]
pub(crate) struct EngineRequest {
    pub(crate) method: Method,
    /// The engine's path, with the query.
    pub(crate) target: String,
    pub(crate) fields: HeaderMap,
    pub(crate) body: HeldBody,
    /// The model that the target names.
    pub(crate) model: Option<String>,
    /// The model that the body names.
    pub(crate) in_body: Option<ModelName>,
    pub(crate) task: JobTask,
    /// Whether it is a request for text with tools.
    pub(crate) has_tools: bool,
    /// How the answer is joined, where it is asked for as a stream and the client wants none: a stream is cancelled when its
    /// client leaves.
    pub(crate) joining: Option<Joining>,
    /// The client's key, where keys are required.
    pub(crate) key: Option<UsedKey>,
}

/// Why an attempt came to nothing.
enum Attempt {
    Begun(Box<BegunAnswer>),
    /// The engine went away before its answer began.
    Lost(Lease),
    Failed(Failure),
}

impl EngineRequest {
    /// The model that the client named; `None` for the primary one.
    pub(crate) fn wanted_model(&self) -> Option<&str> {
        let in_body = self.in_body.as_ref().map(|model| model.name.as_str());
        self.model.as_deref().or(in_body).filter(|name| !name.is_empty())
    }

    /// Waits for a slot.
    pub(crate) async fn lease(&self, shared: &Shared) -> Result<Lease, Failure> {
        let slot = shared.fleet.acquire(self.wanted_model(), self.task, Instant::now() + NO_DEADLINE);
        tokio::select! {
            // A request that is to end takes no slot that another one has just left for the same reason.
            biased;
            stop = stopped(shared, self.key.clone()) => Err(stop.into()),
            lease = slot => lease.map_err(Failure::Refused),
        }
    }

    /// Sends the request, and waits until its answer begins. The body is dropped then.
    pub(crate) async fn begin(mut self, shared: &Arc<Shared>, mut lease: Lease) -> Result<Box<BegunAnswer>, Failure> {
        let mut crashes = 0;
        for left in (0..ATTEMPTS).rev() {
            self.name(lease.model());
            let model = lease.model().to_owned();
            let lost = match self.attempt(shared, lease).await {
                Attempt::Begun(begun) => return Ok(begun),
                Attempt::Failed(failure) => return Err(failure),
                Attempt::Lost(lost) => lost,
            };
            let end = lost.engine_end(EXIT_SEEN).await;
            crashes += u32::from(end == EngineEnd::Crashed);
            if crashes == CRASHES {
                return Err(Failure::CrashesModel { model });
            }
            match (end, left) {
                (EngineEnd::Stopped, 0) => return Err(Failure::MadeRoom { model }),
                (_, 0) => return Err(Failure::EngineGone { model }),
                _ => lease = self.lease(shared).await?,
            }
            if crashes > 0 {
                lease.suspect();
            }
        }
        Err(Failure::Stopping)
    }

    /// Writes the name that the engine knows into the body, where the client used another one.
    fn name(&mut self, model: &str) {
        let Some(known) = self.in_body.as_mut().filter(|known| known.name != model) else { return };
        // A string always has a JSON form.
        let Ok(text) = serde_json::to_string(model) else { return };
        let end = known.place.start + text.len();
        self.body.bytes.splice(known.place.clone(), text.into_bytes());
        (known.place.end, known.name) = (end, model.to_owned());
    }

    /// Asks for a stream; its answer is joined.
    pub(crate) fn ask_for_stream(&mut self, joining: Joining) {
        joining.add_fields(&mut self.body.bytes);
        self.joining = Some(joining);
    }

    /// Makes the body as the client wrote it; returns how its answer would be joined.
    fn ask_as_written(&mut self) -> Option<Joining> {
        let joining = self.joining.take();
        if let Some(joining) = &joining {
            joining.remove_fields(&mut self.body.bytes);
        }
        joining
    }

    /// The body with reduced tool schemas, where it has tools that can be parsed.
    fn with_reduced_tools(&self) -> Option<Vec<u8>> {
        // The name of the model may have been changed, and the place of the tools with it.
        let place = Peek::into(&self.body.bytes).ok()?.tools?;
        with_reduced_tools(&self.body.bytes, place).ok()
    }

    async fn attempt(&mut self, shared: &Arc<Shared>, lease: Lease) -> Attempt {
        let awaits = lease.awaits();
        let mut stop = Box::pin(stopped_with(shared.clone(), self.key.clone(), lease.engine_stopping()));
        let begun = tokio::select! {
            biased;
            begun = self.answered(&lease) => begun,
            stop = &mut stop => match stop {
                Stop::Engine => Err(Lost::Engine),
                Stop::Request(stop) => return Attempt::Failed(stop.into()),
            },
        };
        match begun {
            Ok((head, Answered::Begun(forward))) => {
                lease.progressed();
                let body = AnswerBody::Running(RunningRequest { forward, awaits, stop, lease });
                Attempt::Begun(Box::new(BegunAnswer { head, body }))
            }
            Ok((head, Answered::Whole(text))) => {
                lease.answered();
                Attempt::Begun(Box::new(BegunAnswer { head, body: AnswerBody::Whole(text) }))
            }
            Err(Lost::Engine) => {
                drop(awaits);
                Attempt::Lost(lease)
            }
            Err(Lost::Unreadable(reason)) => {
                Attempt::Failed(Failure::Unreadable { model: lease.model().to_owned(), reason })
            }
        }
    }

    /// Waits for the head of the answer, and for all of an answer that is joined.
    ///
    /// Where the engine cannot read the tools, it is asked once more, with reduced schemas. A refusal is the one of the
    /// client's own request, and so is an answer that a stream has not.
    async fn answered(&mut self, lease: &Lease) -> Result<(AnswerHead, Answered), Lost> {
        if let Some(joining) = &self.joining
            && let Some(joined) = self.joined(lease, joining, &self.body.bytes).await?
        {
            return Ok(joined);
        }
        let joining = self.ask_as_written();
        let (head, mut forward) = self.exchange(lease, &self.body.bytes).await?;
        if head.status < 400 || !self.has_tools {
            return Ok((head, Answered::Begun(forward)));
        }
        let refusal = forward.read(REFUSAL_LIMIT).await.map_err(Lost::of_answer)?;
        if !forward.is_complete() {
            return Err(Lost::Unreadable(format!("a refusal of more than {REFUSAL_LIMIT} bytes")));
        }
        if EngineError::from_body(head.status, &refusal).is_template_fault()
            && let Some(reduced) = self.with_reduced_tools()
        {
            tracing::warn!(model = lease.model(), "engine refused the tool schemas, trying again with reduced ones");
            let again = self.asked_again(lease, joining.as_ref(), &reduced).await?;
            if again.0.status < 400 {
                return Ok(again);
            }
        }
        Ok((head, Answered::Whole(refusal)))
    }

    /// As [`EngineRequest::answered`], with another body and once.
    async fn asked_again(
        &self,
        lease: &Lease,
        joining: Option<&Joining>,
        body: &[u8],
    ) -> Result<(AnswerHead, Answered), Lost> {
        if let Some(joining) = joining
            && let Some(joined) = self.joined(lease, joining, &joining.with_fields(body)).await?
        {
            return Ok(joined);
        }
        let (head, forward) = self.exchange(lease, body).await?;
        Ok((head, Answered::Begun(forward)))
    }

    /// The answer joined from a stream; `None` for a refusal, and where the stream has not all of it.
    async fn joined(
        &self,
        lease: &Lease,
        joining: &Joining,
        body: &[u8],
    ) -> Result<Option<(AnswerHead, Answered)>, Lost> {
        let (head, mut forward) = self.exchange(lease, body).await?;
        if !head.is_events {
            return Ok(None);
        }
        let joined = forward.join(joining, || lease.progressed()).await.map_err(Lost::of_answer)?;
        if let Some(kept) = forward.into_kept() {
            lease.keep(kept);
        }
        Ok((!joined.lacks_text).then(|| (head.of_joined(&joined), Answered::Whole(joined.body))))
    }

    /// Sends the request over a connection that was kept, or over one of its own, and waits for the head of the answer.
    async fn exchange(&self, lease: &Lease, body: &[u8]) -> Result<(AnswerHead, Forward), Lost> {
        if let Some(kept) = lease.kept_connection() {
            // The engine may have closed it meanwhile. Nothing of an answer has come then, so the request can be sent again.
            match self.exchange_on(Some(kept), lease, body).await {
                Err(Lost::Engine) => {}
                begun => return begun,
            }
        }
        self.exchange_on(None, lease, body).await
    }

    async fn exchange_on(
        &self,
        kept: Option<KeptConnection>,
        lease: &Lease,
        body: &[u8],
    ) -> Result<(AnswerHead, Forward), Lost> {
        let head = ForwardHead { method: &self.method, target: &self.target, fields: &self.fields };
        let endpoint = lease.endpoint();
        let sent = match kept {
            Some(kept) => Forward::send_on(kept, endpoint, head, body).await,
            None => Forward::send(endpoint, head, body).await,
        };
        let mut forward = sent.map_err(Lost::of_opening)?;
        let head = forward.head().await.map_err(Lost::of_answer)?;
        Ok((head, forward))
    }
}

/// What there is of an answer.
enum Answered {
    Begun(Forward),
    Whole(Vec<u8>),
}

/// Why no answer begins.
enum Lost {
    /// The engine is gone, or this connection to it.
    Engine,
    /// The answer is not HTTP, or too long.
    Unreadable(String),
}

impl Lost {
    fn of_opening(error: OpenError) -> Self {
        match error {
            OpenError::NotListening | OpenError::Cut => Self::Engine,
            OpenError::Io(_) => Self::Unreadable(error.to_string()),
        }
    }

    fn of_answer(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Cut | ExchangeError::Io(_) => Self::Engine,
            other => Self::Unreadable(other.to_string()),
        }
    }
}

/// Resolves when a request is to end, wherever it is.
async fn stopped(shared: &Shared, key: Option<UsedKey>) -> RequestStop {
    let revoked = async {
        match key {
            Some(key) => key.revoked().await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = shared.ending.cancelled() => RequestStop::Shutdown,
        () = revoked => RequestStop::KeyRevoked,
    }
}

async fn stopped_with(shared: Arc<Shared>, key: Option<UsedKey>, engine: impl Future<Output = ()>) -> Stop {
    tokio::select! {
        () = engine => Stop::Engine,
        stop = stopped(&shared, key) => Stop::Request(stop),
    }
}
