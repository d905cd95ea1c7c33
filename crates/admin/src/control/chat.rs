//! One answer of a model as a stream of events, for the page's chat.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use auxot_fleet::{Fleet, JobRecord, JobTask, Lease};
use auxot_llama::{Chunk, EngineError, Exchange, ExchangeError, Fill, is_done};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, future, stream};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::api::{ChatEvent, ChatRequest};

/// The longest wait for a slot.
const SLOT_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// A comment is sent after so long without text.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The longest error of an engine that is read.
const LONGEST_ERROR: usize = 64 << 10;
/// The path of the engine's interface.
const PATH: &str = "/v1/chat/completions";

/// An answer under way. Dropping it ends the request at the engine.
struct Conversation {
    exchange: Exchange,
    lease: Lease,
    record: JobRecord,
    tokens: u64,
    ready: VecDeque<ChatEvent>,
    is_over: bool,
}

/// Streams the answer of a model.
pub(crate) fn answer(fleet: Fleet, model: String, request: ChatRequest, permit: OwnedSemaphorePermit) -> Response {
    let record = fleet.jobs().begin("page", None);
    let opening = stream::once(async move { open(&fleet, &model, &request, record).await });
    let events = opening.flat_map(|opened| match opened {
        Ok(conversation) => stream::unfold(conversation, next).boxed(),
        Err(error) => stream::once(future::ready(ChatEvent::error(error))).boxed(),
    });
    let events = events.map(move |event| {
        let _held = &permit;
        // Texts can always be serialised.
        Ok::<_, Infallible>(SseEvent::default().json_data(event).unwrap_or_default())
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

async fn open(fleet: &Fleet, model: &str, request: &ChatRequest, record: JobRecord) -> Result<Conversation, String> {
    let lease = fleet.acquire(Some(model), JobTask::Chat, Instant::now() + SLOT_TIMEOUT).await;
    let lease = lease.map_err(|refusal| {
        record.ended("refused", None);
        refusal.to_string()
    })?;
    record.leased(lease.model());
    let body = json!({"model": lease.model(), "messages": request.messages, "stream": true}).to_string();
    let gone = |fault: String| {
        record.ended("engine_gone", None);
        format!("the engine went away: {fault}")
    };
    let mut exchange =
        Exchange::post(lease.endpoint(), PATH, body.as_bytes()).await.map_err(|fault| gone(fault.to_string()))?;
    let status = exchange.head().await.map_err(|fault| gone(fault.to_string()))?;
    if status != 200 {
        let body = exchange.error_body(LONGEST_ERROR).await.unwrap_or_default();
        record.ended("engine_refused", None);
        return Err(EngineError::from_body(status, &body).message);
    }
    lease.progressed();
    Ok(Conversation { exchange, lease, record, tokens: 0, ready: VecDeque::new(), is_over: false })
}

async fn next(mut conversation: Conversation) -> Option<(ChatEvent, Conversation)> {
    loop {
        if let Some(event) = conversation.ready.pop_front() {
            return Some((event, conversation));
        }
        if conversation.is_over {
            return None;
        }
        if let Err(fault) = conversation.read().await {
            conversation.is_over = true;
            conversation.record.ended("engine_gone", Some(conversation.tokens));
            return Some((ChatEvent::error(format!("the answer was cut: {fault}")), conversation));
        }
    }
}

impl Conversation {
    /// Waits for more of the answer, and takes its events.
    async fn read(&mut self) -> Result<(), ExchangeError> {
        let stopping = self.lease.engine_stopping();
        let fill = tokio::select! {
            fill = self.exchange.fill() => fill?,
            () = stopping => return Err(ExchangeError::Cut),
        };
        if fill == Fill::End {
            self.complete();
            return Ok(());
        }
        self.lease.progressed();
        while let Some(data) = self.exchange.next_event()? {
            if is_done(data) {
                continue;
            }
            let Ok(chunk) = Chunk::parse(data) else { continue };
            if let Some(error) = chunk.error {
                self.is_over = true;
                self.record.ended("engine_failed", Some(self.tokens));
                self.ready.push_back(ChatEvent::error(error.message));
                return Ok(());
            }
            let text = |part: Option<std::borrow::Cow<'_, str>>| {
                part.map(|text| text.into_owned()).filter(|text| !text.is_empty())
            };
            let event = ChatEvent { text: text(chunk.content), reasoning: text(chunk.reasoning), error: None };
            if event != ChatEvent::default() {
                self.record.first_token();
                self.tokens += 1;
                self.ready.push_back(event);
            }
            self.tokens = chunk.timings.map_or(self.tokens, |timings| timings.predicted_n);
        }
        Ok(())
    }

    fn complete(&mut self) {
        self.is_over = true;
        self.lease.answered();
        self.record.ended("completed", Some(self.tokens));
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // The client has left, unless the answer has ended.
        self.record.ended("cancelled", Some(self.tokens));
    }
}
