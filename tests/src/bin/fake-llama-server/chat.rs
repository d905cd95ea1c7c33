//! `POST /v1/chat/completions`: a place in the queue, a slot, the prompt, then one JSON body or a stream.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::answer::Answer;
use crate::connection::{Connection, Gone};
use crate::engine::{Engine, Phase, stopping};
use crate::http::{self, Request};
use crate::request::{ChatRequest, Refusal};
use crate::stream;
use crate::{exits, log};

/// Why an answer stops before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client closed its socket, or a switch closes ours.
    Gone,
    /// The request is refused; nothing was sent yet.
    Refused(Refusal),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Stop {
        Stop::Gone
    }
}

/// One request on its way through the engine.
pub(crate) struct Chat<'a> {
    pub engine: &'a Engine,
    pub connection: &'a mut Connection,
    pub phase: watch::Receiver<Phase>,
    pub request: ChatRequest,
    pub answer: Answer,
    pub id: String,
    pub started: Instant,
}

/// Answers one request. An error means that the socket is to be closed.
pub(crate) async fn answer(engine: &Engine, connection: &mut Connection, request: &Request) -> Result<(), Gone> {
    let body = &request.body;
    if engine.report.wanted() {
        let text: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        engine
            .report
            .say("request", json!({"body": text, "headers": request.headers, "traceparent": request.traceparent}));
    }
    let request = match ChatRequest::read(engine, body) {
        Ok(request) => request,
        Err(refusal) => return refuse(connection, &refusal).await,
    };
    // In the queue the engine checks neither the socket nor the clock.
    let Some(slot) = engine.slots.take().await else { return Err(Gone) };
    if *engine.phase.borrow() == Phase::Stopping {
        return Err(stopped(connection, None).await);
    }
    connection.look()?;
    engine.report.say("slot", json!({"slot": slot.index()}));
    let answer = Answer::plan(&request);
    let phase = engine.phase.subscribe();
    let id = format!("chatcmpl-fake{:028}", engine.counters.next_request());
    let prompt_tokens = request.prompt_tokens;
    let mut chat = Chat { engine, connection, phase, request, answer, id, started: Instant::now() };
    let (ending, sent) = chat.run().await;
    engine.counters.add(prompt_tokens, sent);
    drop(slot);
    let how = match &ending {
        Ok(()) => "done",
        Err(Stop::Gone) => "gone",
        Err(Stop::Refused(_)) => "refused",
    };
    engine.report.say("released", json!({"how": how, "tokens": sent}));
    match ending {
        Ok(()) => Ok(()),
        Err(Stop::Gone) => Err(Gone),
        Err(Stop::Refused(refusal)) => refuse(connection, &refusal).await,
    }
}

async fn refuse(connection: &mut Connection, refusal: &Refusal) -> Result<(), Gone> {
    http::answer(connection, refusal.status, &refusal.body).await?;
    Err(Gone)
}

/// After SIGTERM a handler is silent until its client disconnects, or, for a stream, until its next ping is due.
async fn stopped(connection: &mut Connection, ping: Option<Duration>) -> Gone {
    match ping {
        Some(ping) => tokio::time::timeout(ping, connection.gone()).await.unwrap_or(Gone),
        None => connection.gone().await,
    }
}

impl Chat<'_> {
    async fn run(&mut self) -> (Result<(), Stop>, u64) {
        let mut sent = 0;
        let ending = self.try_run(&mut sent).await;
        (ending, sent)
    }

    async fn try_run(&mut self, sent: &mut u64) -> Result<(), Stop> {
        if let Some((status, kind, message)) = &self.request.switches.refuse {
            return Err(Stop::Refused(Refusal::new(*status, kind, message)));
        }
        self.request.check_context(self.engine.ctx_per_slot()).map_err(Stop::Refused)?;
        log::noise(self.request.switches.noise_kib);
        log::junk(self.request.switches.junk_mib);
        exits::check_cards(self.engine);
        if self.request.stream {
            return stream::run(self, sent).await;
        }
        let pace = self.request.switches.token;
        let whole = u32::try_from(self.answer.total).unwrap_or(u32::MAX);
        self.wait(self.started + self.request.switches.prompt + pace * whole, None).await?;
        *sent = self.answer.total;
        let body = self.completion(self.started.elapsed());
        http::answer(self.connection, 200, &body.to_string()).await?;
        Ok(())
    }

    /// Waits until `due`; ends early when the client disconnects or the engine stops. Writes pings into a silent stream.
    pub(crate) async fn wait(&mut self, due: Instant, ping: Option<Duration>) -> Result<(), Stop> {
        if due <= Instant::now() && *self.phase.borrow() != Phase::Stopping {
            // The runtime's clock has a resolution of a millisecond, which would be most of a short answer.
            return Ok(self.connection.look()?);
        }
        loop {
            let next_ping = ping.map(|ping| Instant::now() + ping).filter(|at| *at < due);
            let until = tokio::time::Instant::from_std(next_ping.unwrap_or(due));
            tokio::select! {
                biased;
                gone = self.connection.gone() => return Err(gone.into()),
                () = stopping(&mut self.phase) => {
                    return Err(stopped(self.connection, ping).await.into());
                }
                () = tokio::time::sleep_until(until) => {}
            }
            if next_ping.is_none() {
                return Ok(());
            }
            let mut chunk = Vec::new();
            http::push_chunk(&mut chunk, ":\n\n");
            self.connection.write(&chunk).await?;
        }
    }

    /// The figures at the end of an answer.
    pub(crate) fn timings(&self, predicted: u64, since_start: Duration) -> Value {
        let prompt = self.request.switches.prompt.min(since_start);
        let prompt_ms = prompt.as_secs_f64() * 1e3;
        let predicted_ms = (since_start - prompt).as_secs_f64() * 1e3;
        let (n, m) = (self.request.prompt_tokens as f64, predicted as f64);
        let per = |ms: f64, count: f64| if count > 0.0 { ms / count } else { 0.0 };
        let rate = |ms: f64, count: f64| if ms > 0.0 { count * 1e3 / ms } else { 0.0 };
        json!({
            "cache_n": 0, "prompt_n": self.request.prompt_tokens, "prompt_ms": prompt_ms,
            "prompt_per_token_ms": per(prompt_ms, n), "prompt_per_second": rate(prompt_ms, n),
            "predicted_n": predicted, "predicted_ms": predicted_ms,
            "predicted_per_token_ms": per(predicted_ms, m), "predicted_per_second": rate(predicted_ms, m),
        })
    }

    /// The token counts of an answer.
    pub(crate) fn usage(&self, completion: u64) -> Value {
        let prompt = self.request.prompt_tokens;
        json!({"completion_tokens": completion, "prompt_tokens": prompt, "total_tokens": prompt + completion,
               "prompt_tokens_details": {"cached_tokens": 0}})
    }

    fn completion(&self, took: Duration) -> Value {
        json!({
            "choices": [{"finish_reason": self.answer.finish, "index": 0, "message": self.answer.message()}],
            "created": self.engine.created, "model": self.engine.model_name(), "system_fingerprint": "b1-7e4c0a9",
            "object": "chat.completion", "usage": self.usage(self.answer.total), "id": self.id,
            "timings": self.timings(self.answer.total, took),
        })
    }
}
