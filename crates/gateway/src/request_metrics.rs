//! The metrics of each model, looked up once: a name with its labels costs more than the figure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use auxot_llama::TokenCounts;
use metrics::{Counter, Histogram, counter, histogram};

/// The value of the label `door`: by which front end a job came.
pub(crate) const DOOR: &str = "gateway";
const DURATION: &str = "auxot_worker_inference_duration_seconds";
const FIRST_TOKEN: &str = "auxot_worker_time_to_first_token_seconds";
const QUEUE_WAIT: &str = "auxot_worker_queue_wait_seconds";
const JOBS: &str = "auxot_worker_jobs_total";
const TOKENS: &str = "auxot_worker_tokens_generated_total";
const PROMPT_TOKENS: &str = "auxot_worker_prompt_tokens_total";
const CACHED_TOKENS: &str = "auxot_worker_prompt_tokens_cached_total";

/// The metrics of all models that answered a request.
#[derive(Debug, Default)]
pub(crate) struct RequestMetrics(Mutex<HashMap<String, Arc<ModelMetrics>>>);

/// The metrics of one model.
pub(crate) struct ModelMetrics {
    pub(crate) duration: Histogram,
    pub(crate) queue_wait: Histogram,
    pub(crate) first_token: Histogram,
    completed: Counter,
    /// Of an engine that counts; a count that is not there leaves no series behind.
    generated: OnceLock<Counter>,
    processed: OnceLock<Counter>,
    cached: OnceLock<Counter>,
}

impl RequestMetrics {
    /// Those of a model that the fleet has.
    pub(crate) fn of(&self, model: &str) -> Arc<ModelMetrics> {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = models.get(model) {
            return Arc::clone(known);
        }
        let new = Arc::new(ModelMetrics::new(model));
        models.insert(model.to_owned(), Arc::clone(&new));
        new
    }
}

impl ModelMetrics {
    fn new(model: &str) -> Self {
        let of = |name: &'static str| histogram!(name, "model" => model.to_owned(), "door" => DOOR);
        Self {
            duration: of(DURATION),
            queue_wait: of(QUEUE_WAIT),
            first_token: of(FIRST_TOKEN),
            completed: jobs(model, "completed"),
            generated: OnceLock::new(),
            processed: OnceLock::new(),
            cached: OnceLock::new(),
        }
    }

    pub(crate) fn ended(&self, model: &str, ending: &'static str) {
        match ending {
            "completed" => self.completed.increment(1),
            other => jobs(model, other).increment(1),
        }
    }

    /// Adds the tokens of an answer.
    pub(crate) fn counted(&self, model: &str, counts: &TokenCounts) {
        for (counter, name, tokens) in [
            (&self.generated, TOKENS, counts.generated),
            (&self.processed, PROMPT_TOKENS, counts.processed),
            (&self.cached, CACHED_TOKENS, counts.cached),
        ] {
            if let Some(tokens) = tokens {
                counter.get_or_init(|| counter!(name, "model" => model.to_owned())).increment(tokens);
            }
        }
    }
}

impl std::fmt::Debug for ModelMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelMetrics").finish_non_exhaustive()
    }
}

/// The number of requests of a model that have ended so.
pub(crate) fn jobs(model: &str, ending: &'static str) -> Counter {
    counter!(JOBS, "model" => model.to_owned(), "ending" => ending, "door" => DOOR)
}
