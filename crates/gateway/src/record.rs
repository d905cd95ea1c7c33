//! What is counted and logged of a request: once, however it ends.

use std::sync::Arc;
use std::time::Instant;

use auxot_fleet::{Fleet, JobRecord, TraceContext};
use auxot_llama::AnswerExcerpt;
use http::{HeaderMap, HeaderName};
use tracing::{debug, info};

use crate::failure::Failure;
use crate::request_metrics::{DOOR, ModelMetrics, RequestMetrics, jobs};
use crate::unused_memory::Running;

/// The field with the place in a trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The model of a request that had no slot.
const UNKNOWN: &str = "unknown";

/// A request, from its arrival to its one end.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    path: &'static str,
    arrived: Instant,
    leased: Option<Leased>,
    first_byte: Option<Instant>,
    /// What operators see of it.
    job: JobRecord,
    trace: Option<TraceContext>,
    /// What holds the engine's counts.
    excerpt: AnswerExcerpt,
    /// The count of running requests that it is a part of, until it ends.
    running: Option<Arc<Running>>,
}

/// The slot of a request.
#[derive(Debug)]
struct Leased {
    model: String,
    at: Instant,
    metrics: Arc<ModelMetrics>,
}

impl RequestRecord {
    pub(crate) fn new(path: &'static str, fleet: &Fleet, running: &Arc<Running>) -> Self {
        running.begin();
        Self {
            path,
            arrived: Instant::now(),
            leased: None,
            first_byte: None,
            job: fleet.jobs().begin(DOOR, None),
            trace: None,
            excerpt: AnswerExcerpt::default(),
            running: Some(Arc::clone(running)),
        }
    }

    /// The request has a slot.
    pub(crate) fn leased(&mut self, model: &str, metrics: &RequestMetrics) {
        let metrics = metrics.of(model);
        self.leased = Some(Leased { model: model.to_owned(), at: Instant::now(), metrics });
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
        self.excerpt.push(bytes);
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
        let counts = self.excerpt.counts();
        self.job.ended(ending, counts.generated);
        let model = match &self.leased {
            None => {
                jobs(UNKNOWN, ending).increment(1);
                UNKNOWN
            }
            Some(Leased { model, at, metrics }) => {
                metrics.ended(model, ending);
                metrics.counted(model, &counts);
                metrics.duration.record(took);
                metrics.queue_wait.record(since_arrival(*at));
                if let Some(first_byte) = self.first_byte {
                    metrics.first_token.record(since_arrival(first_byte));
                }
                model
            }
        };
        let (path, ms) = (self.path, took.as_secs_f64() * 1e3);
        let (tokens, trace) = (counts.generated, self.trace.as_ref().map(TraceContext::trace_id));
        match failure {
            None => debug!(path, model, ending, tokens, ms, trace, "request ended"),
            Some(reason) => info!(path, model, ending, tokens, ms, trace, %reason, "request ended"),
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        // The client left, in whatever phase.
        self.end("cancelled", None);
    }
}
