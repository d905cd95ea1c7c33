//! The request to the engine: the checks before it, and the changes for a second attempt.

use std::sync::Arc;

use auxot_fleet::{Lease, TextLimit};
use auxot_llama::{ChatRequest, EngineError, reduce_tools};
use serde_json::value::RawValue;

use crate::config::Config;
use crate::jobs::outcome::Outcome;
use crate::jobs::parsed_job::ParsedJob;

/// The request of a longer conversation is written on another thread: it would delay tokens.
const LONG: usize = 256 * 1024;

/// One job's request. Its tool schemas may be reduced once, after a refusal.
#[derive(Debug)]
pub(crate) struct EngineRequest {
    parsed: ParsedJob,
    reduced: Option<Arc<RawValue>>,
}

impl EngineRequest {
    /// Checks all that can be checked without an engine.
    pub(crate) fn first(parsed: ParsedJob, config: &Config) -> Result<Self, Outcome> {
        if let Some(fault) = &parsed.fault {
            return Err(Outcome::BadJob(fault.to_string()));
        }
        if !parsed.foreign_hosts.iter().all(|host| !host.is_empty() && config.image_hosts.contains(host)) {
            return Err(Outcome::BadJob("this worker fetches no pictures: send the picture as a data: URL".to_owned()));
        }
        if config.tool_loop_guard && parsed.is_tool_loop {
            return Err(Outcome::tool_loop());
        }
        Ok(Self { parsed, reduced: None })
    }

    /// The request's body for the engine behind this lease.
    pub(crate) async fn body(&self, lease: &Lease) -> Result<Vec<u8>, Outcome> {
        if self.parsed.has_images && !lease.vision() {
            return Err(Outcome::BadJob(format!("{} cannot see images", lease.model())));
        }
        self.fits(lease.text_limit())?;
        let (job, reduced, model) = (Arc::clone(&self.parsed.job), self.reduced.clone(), lease.model().to_owned());
        let length = job.messages.as_deref().map_or(0, |messages| messages.get().len());
        let write = move || {
            ChatRequest {
                model: &model,
                messages: job.messages.as_deref(),
                tools: reduced.as_deref().or(job.tools.as_deref()),
                temperature: job.temperature,
                max_tokens: job.max_tokens,
                reasoning_effort: job.reasoning_effort.as_deref(),
                progress: true,
                parameters: job.request.as_ref().and_then(|request| request.parameters.as_deref()),
            }
            .to_body()
        };
        let written = if length > LONG {
            tokio::task::spawn_blocking(write).await.map_err(|_| Outcome::Broken)?
        } else {
            write()
        };
        written.map_err(|error| Outcome::BadJob(error.to_string()))
    }

    /// Whether its text can fit the context of a slot.
    pub(crate) fn fits(&self, most: Option<TextLimit>) -> Result<(), Outcome> {
        let bytes = self.parsed.text_bytes;
        match most {
            Some(most) if bytes as u64 > most.bytes => Err(Outcome::TooLong { bytes, ctx: most.ctx }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the tool schemas are reduced.
    pub(crate) fn is_reduced(&self) -> bool {
        self.reduced.is_some()
    }

    /// Whether reduced tool schemas may help against this error.
    pub(crate) fn can_reduce(&self, error: &EngineError) -> bool {
        self.reduced.is_none() && error.is_template_fault()
    }

    /// Reduces the tool schemas for the next attempt. Tools that cannot be parsed stay unchanged; the engine's refusal is
    /// then the answer.
    pub(crate) fn reduce(&mut self) -> bool {
        self.reduced = self.parsed.job.tools.as_deref().and_then(|tools| reduce_tools(tools).ok()).map(Arc::from);
        self.reduced.is_some()
    }
}
