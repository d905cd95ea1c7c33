//! A whole request on its way to an engine: the checks before it, and its bodies.

use std::ops::Range;

use auxot_fleet::TraceContext;
use auxot_llama::{ApiPath, Joining, PathTask, Peek, with_reduced_tools};
use auxot_protocol::HttpRequest;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::config::Config;
use crate::jobs::outcome::Outcome;
use crate::jobs::parsed_job::{ParsedJob, web_host};
use crate::jobs::tool_loop::is_tool_loop;
use crate::report::log_text::shown;

/// The field with the place in a trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A checked request.
#[derive(Debug)]
pub(super) struct EngineCall {
    pub(super) method: Method,
    pub(super) fields: HeaderMap,
    pub(super) target: String,
    pub(super) bodies: Bodies,
    /// How the answer is joined from a stream, where the caller wants none: an engine stops a stream whose client has left,
    /// and goes on with any other answer.
    pub(super) joining: Option<Joining>,
    /// Where the tools of a request for text are in its body.
    pub(super) tools: Option<Range<usize>>,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Bodies {
    /// As the caller wrote it.
    pub(super) written: Bytes,
    /// The request for a stream that the answer is joined from.
    pub(super) joined: Option<Vec<u8>>,
}

impl EngineCall {
    /// Checks all that can be checked without an engine.
    pub(super) fn of(parsed: &ParsedJob, trace: Option<TraceContext>, config: &Config) -> Result<Self, Outcome> {
        let bad = |text: String| Outcome::BadJob(text);
        let request = parsed.job.http().ok_or_else(|| bad("it has no request".to_owned()))?;
        let method: Method = request.method.parse().map_err(|_| bad("its method is not valid".to_owned()))?;
        let Some(path) = parsed.path.filter(|path| path.takes(&method)) else {
            let path = request.path.split('?').next().unwrap_or_default();
            return Err(bad(format!("this worker does not pass on {method} {}", shown(path))));
        };
        let mut fields = fields(request).ok_or_else(|| bad("its header fields are not valid".to_owned()))?;
        if let Some(value) = trace.and_then(|trace| trace.to_string().parse().ok()) {
            fields.insert(TRACEPARENT, value);
        }
        let peek = match path.is_form(&fields) || request.body.is_empty() {
            true => Peek::default(),
            false => peek(path, &request.body, config)?,
        };
        let joining = Joining::of(path.path, peek.whole);
        let bodies = Bodies::of(request.body.clone(), joining.as_ref());
        let tools = peek.tools.filter(|_| path.task == PathTask::Chat);
        Ok(Self { method, fields, target: request.path.clone(), bodies, joining, tools })
    }

    /// The body with reduced tool schemas. `None` without tools, and where they cannot be parsed.
    pub(super) fn with_reduced_tools(&self) -> Option<Bodies> {
        let reduced = with_reduced_tools(&self.bodies.written, self.tools.clone()?).ok()?;
        Some(Bodies::of(reduced.into(), self.joining.as_ref()))
    }
}

impl Bodies {
    fn of(written: Bytes, joining: Option<&Joining>) -> Self {
        Self { joined: joining.map(|joining| joining.with_fields(&written)), written }
    }
}

/// Looks into a body, with the checks that a job in the protocol's own fields has.
fn peek(path: &ApiPath, body: &[u8], config: &Config) -> Result<Peek, Outcome> {
    let may_fetch = |url: &str| web_host(url).is_some_and(|host| config.image_hosts.contains(&host));
    let peek = Peek::fetching(body, &may_fetch).map_err(|error| Outcome::BadJob(error.to_string()))?;
    let conversation = peek.conversation.as_ref().and_then(|place| body.get(place.clone()));
    if config.tool_loop_guard && path.task == PathTask::Chat && conversation.is_some_and(is_tool_loop) {
        return Err(Outcome::tool_loop());
    }
    Ok(peek)
}

fn fields(request: &HttpRequest) -> Option<HeaderMap> {
    let field =
        |(name, value): &(String, String)| Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?));
    request.headers.iter().map(field).collect()
}
