//! The answer to a request for an engine: a slot, the engine's answer, and what the client gets of both.
//!
//! A client that wants a stream and waits for its slot gets the head of its answer after a while, and then comments on the
//! load, which every client of events ignores. Its errors are events then.

mod comments;
mod pass_on;

use std::future::poll_fn;
use std::sync::Arc;

use auxot_fleet::ModelState;
use auxot_llama::Api;
use http::HeaderMap;

use crate::client::{Client, Terms, Unwritten};
use crate::engine_request::EngineRequest;
use crate::error_body;
use crate::failure::Failure;
use crate::record::RequestRecord;
use crate::running::{AnswerBody, BegunAnswer, RunningRequest};
use crate::service::Asked;
use crate::shared::Shared;

use comments::Comments;
use pass_on::PassOn;

/// The most of an engine's refusal that becomes an event.
const REFUSAL_LIMIT: usize = 64 << 10;
/// The head of a stream before there is a slot. Proxies are asked not to collect the stream.
const EARLY_HEAD: &[u8] =
    b"200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";

/// One request with its client.
struct Answering<'a> {
    shared: &'a Arc<Shared>,
    client: &'a mut Client,
    api: Api,
    terms: Terms,
    fields: HeaderMap,
    record: RequestRecord,
    comments: Comments,
}

/// Answers a request. After an error the connection is not usable.
pub(crate) async fn serve(shared: &Arc<Shared>, client: &mut Client, asked: Asked) -> Result<(), Unwritten> {
    let Asked { request, stream, api, terms, fields, record } = asked;
    let progress = stream.then(|| progress_text(shared, &request));
    let comments = Comments::new(progress, shared.config.early_head);
    let mut answering = Answering { shared, client, api, terms, fields, record, comments };
    let begun = match answering.begin(request).await? {
        Ok(begun) => begun,
        Err(failure) => {
            answering.record.failed(&failure);
            return answering.fail(&failure).await;
        }
    };
    let BegunAnswer { head, body } = *begun;
    if !answering.comments.has_begun() {
        answering.client.begin(terms, &head.lines, head.length, &answering.fields);
    } else if !head.is_events {
        let text = match body {
            AnswerBody::Running(running) => running.text(REFUSAL_LIMIT).await,
            AnswerBody::Whole(text) => text,
        };
        answering.record.ended("engine_refused");
        return answering.end_with(&error_body::engine_event(api, head.status, &text)).await;
    }
    match body {
        AnswerBody::Running(running) => answering.pass_on(running, head.is_events).await,
        AnswerBody::Whole(text) => answering.whole(&text).await,
    }
}

impl Answering<'_> {
    /// Waits for a slot and for the beginning of the engine's answer.
    async fn begin(&mut self, request: EngineRequest) -> Result<Result<Box<BegunAnswer>, Failure>, Unwritten> {
        let shared = self.shared;
        let lease = match self.beside_comments(request.lease(shared)).await? {
            Ok(lease) => lease,
            Err(failure) => return Ok(Err(failure)),
        };
        self.record.leased(lease.model(), &shared.metrics);
        self.comments.leased();
        self.beside_comments(request.begin(shared, lease)).await
    }

    /// Waits for something, with comments where they are due, until the client leaves.
    async fn beside_comments<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Unwritten> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.client.gone() => return Err(Unwritten::Left),
                comment = self.comments.next() => {
                    if self.comments.begin() {
                        self.client.begin(self.terms, EARLY_HEAD, None, &self.fields);
                    }
                    self.client.push(comment.as_bytes());
                    self.client.flush(self.shared.config.write_timeout).await?;
                }
            }
        }
    }

    /// Writes a failure: with its status, or as an event where the head was sent.
    async fn fail(&mut self, failure: &Failure) -> Result<(), Unwritten> {
        if self.comments.has_begun() {
            return self.end_with(&error_body::event(self.api, failure)).await;
        }
        self.client.answer(self.terms, &error_body::response(self.api, failure), &self.fields);
        self.client.flush(self.shared.config.write_timeout).await
    }

    /// Writes the last event.
    async fn end_with(&mut self, event: &[u8]) -> Result<(), Unwritten> {
        self.client.push(event);
        self.client.end();
        self.client.flush(self.shared.config.write_timeout).await
    }

    /// Writes a body that is complete.
    async fn whole(&mut self, text: &[u8]) -> Result<(), Unwritten> {
        self.record.part(text);
        self.record.completed();
        self.client.push(text);
        self.client.end();
        self.client.flush(self.shared.config.write_timeout).await
    }

    /// Writes the engine's answer.
    async fn pass_on(&mut self, running: RunningRequest, is_events: bool) -> Result<(), Unwritten> {
        let events = is_events.then_some(self.api);
        let mut passing = PassOn::new(running, self.shared.config.write_timeout);
        let end = poll_fn(|context| passing.poll(context, self.client, &mut self.record)).await;
        let ended = passing.ended(end, events, &mut self.record).await;
        match ended {
            pass_on::Ended::Whole => {
                self.client.end();
                self.client.flush(self.shared.config.write_timeout).await
            }
            pass_on::Ended::WithEvent(event) => self.end_with(&event).await,
            pass_on::Ended::Cut(reason) => Err(reason),
        }
    }
}

/// Says in a few words how far the model of a request is.
fn progress_text(shared: &Shared, request: &EngineRequest) -> Box<dyn Fn() -> String + Send> {
    let (fleet, task) = (shared.fleet.clone(), request.task);
    let wanted = request.wanted_model().map(str::to_owned);
    Box::new(move || match fleet.view(wanted.as_deref(), task) {
        None => "waiting".to_owned(),
        Some(view) => match (&view.state, view.load_progress()) {
            (ModelState::Ready(_), _) => format!("{} is busy: {} wait", view.model.name, view.waiting),
            (state, Some(part)) => format!("{} is {}: {:.0} %", view.model.name, state.name(), 100.0 * part),
            (state, None) => format!("{} is {}", view.model.name, state.name()),
        },
    })
}
