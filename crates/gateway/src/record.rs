//! What is counted and logged of a request: once, however it ends.

use std::sync::Arc;
use std::time::Instant;

use auxot_fleet::{Fleet, JobRecord, TraceContext};
use auxot_llama::AnswerTail;
use http::{HeaderMap, HeaderName};
use metrics::{counter, histogram};
use tracing::{debug, info};

use crate::failure::Failure;
use crate::unused_memory::Running;

const DURATION: &str = "auxot_worker_inference_duration_seconds";
const FIRST_TOKEN: &str = "auxot_worker_time_to_first_token_seconds";
const QUEUE_WAIT: &str = "auxot_worker_queue_wait_seconds";
const JOBS: &str = "auxot_worker_jobs_total";
const TOKENS: &str = "auxot_worker_tokens_generated_total";
const PROMPT_TOKENS: &str = "auxot_worker_prompt_tokens_total";
const CACHED_TOKENS: &str = "auxot_worker_prompt_tokens_cached_total";
/// The field with the place in a trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The value of the label `door`: by which front end a job came.
const DOOR: &str = "gateway";

/// A request, from its arrival to its one end.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    path: &'static str,
    model: String,
    arrived: Instant,
    leased: Option<Instant>,
    first_byte: Option<Instant>,
    /// What operators see of it.
    job: JobRecord,
    trace: Option<TraceContext>,
    /// The end of the answer, with the engine's counts.
    tail: AnswerTail,
    /// The count of running requests that it is a part of, until it ends.
    running: Option<Arc<Running>>,
}

impl RequestRecord {
    pub(crate) fn new(path: &'static str, fleet: &Fleet, running: &Arc<Running>) -> Self {
        running.begin();
        Self {
            path,
            model: "unknown".to_owned(),
            arrived: Instant::now(),
            leased: None,
            first_byte: None,
            job: fleet.jobs().begin(DOOR, None),
            trace: None,
            tail: AnswerTail::default(),
            running: Some(Arc::clone(running)),
        }
    }

    /// The request has a slot.
    pub(crate) fn leased(&mut self, model: &str) {
        model.clone_into(&mut self.model);
        self.leased.get_or_insert_with(Instant::now);
        self.job.leased(model);
    }

    /// Puts the request into the trace that its fields name, or into a new one where traces are exported; the engine gets it.
    pub(crate) fn trace(&mut self, fields: &mut HeaderMap) {
        self.trace = self.job.trace(fields.get(TRACEPARENT).and_then(|value| value.to_str().ok()));
        if let Some(value) = self.trace.and_then(|trace| trace.to_string().parse().ok()) {
            fields.insert(TRACEPARENT, value);
        }
    }

    /// Bytes of the answer's body have come.
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        if self.first_byte.is_none() {
            self.first_byte = Some(Instant::now());
            self.job.first_token();
        }
    }

    pub(crate) fn completed(&mut self) {
        self.end("completed", None);
    }

    /// The request ends with this error.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.end(failure.ending(), Some(failure));
    }

    pub(crate) fn ended(&mut self, ending: &'static str) {
        self.end(ending, None);
    }

    fn end(&mut self, ending: &'static str, failure: Option<&Failure>) {
        let Some(running) = self.running.take() else { return };
        running.end();
        let since_arrival = |at: Instant| at.duration_since(self.arrived);
        let took = self.arrived.elapsed();
        let counts = self.tail.counts();
        self.job.ended(ending, counts.generated);
        counter!(JOBS, "model" => self.model.clone(), "ending" => ending, "door" => DOOR).increment(1);
        for (name, tokens) in
            [(TOKENS, counts.generated), (PROMPT_TOKENS, counts.processed), (CACHED_TOKENS, counts.cached)]
        {
            // A count that is not there leaves no series behind.
            if let Some(tokens) = tokens {
                counter!(name, "model" => self.model.clone()).increment(tokens);
            }
        }
        if let Some(leased) = self.leased {
            histogram!(DURATION, "model" => self.model.clone(), "door" => DOOR).record(took);
            histogram!(QUEUE_WAIT, "model" => self.model.clone(), "door" => DOOR).record(since_arrival(leased));
        }
        if let Some(first_byte) = self.first_byte {
            histogram!(FIRST_TOKEN, "model" => self.model.clone(), "door" => DOOR).record(since_arrival(first_byte));
        }
        let (path, model, ms) = (self.path, &self.model, took.as_secs_f64() * 1e3);
        let (tokens, trace) = (counts.generated, self.trace.as_ref().map(TraceContext::trace_id));
        match failure {
            None => debug!(path, %model, ending, tokens, ms, trace, "request ended"),
            Some(reason) => info!(path, %model, ending, tokens, ms, trace, %reason, "request ended"),
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        // The client left, in whatever phase.
        self.end("cancelled", None);
    }
}
