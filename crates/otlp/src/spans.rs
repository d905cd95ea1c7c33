//! The spans of a job, in the JSON form of OTLP.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auxot_fleet::{Job, JobTrace, TraceContext};
use serde_json::{Value, json};

/// The name of this program in traces.
const NAME: &str = "auxot-worker";
/// The kinds of spans and the status of an error, as OTLP numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// The request for these jobs.
pub(crate) fn request(version: &str, host: Option<&str>, jobs: &[Job]) -> Value {
    let mut resource = vec![text("service.name", NAME), text("service.version", version)];
    resource.extend(host.map(|host| text("host.name", host)));
    let spans: Vec<Value> = jobs.iter().flat_map(of_job).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": NAME, "version": version}, "spans": spans}],
    }]})
}

/// The job's span, and one for each of its phases.
fn of_job(job: &Job) -> Vec<Value> {
    let Some(trace) = &job.trace else { return Vec::new() };
    let (Some(end), context) = (&job.end, &trace.context) else { return Vec::new() };
    let at = |since_arrival: Duration| nanoseconds(job.arrived_at + since_arrival);
    let mut spans = vec![own(job, trace, end.ending, end.tokens, at(Duration::ZERO), at(end.took))];
    let mut phase = |name: &str, from: Duration, to: Duration| {
        // Without random bytes the job's own span is all there is.
        if let Some(span) = TraceContext::begin(Some(*context)) {
            spans.push(json!({
                "traceId": context.trace_id(), "spanId": id(span.span), "parentSpanId": id(context.span),
                "name": name, "kind": INTERNAL, "startTimeUnixNano": at(from), "endTimeUnixNano": at(to),
            }));
        }
    };
    phase("queue", Duration::ZERO, job.waited.unwrap_or(end.took));
    if let Some(waited) = job.waited {
        phase("prompt", waited, job.first_token.unwrap_or(end.took));
    }
    if let Some(first_token) = job.first_token {
        phase("generation", first_token, end.took);
    }
    spans
}

fn own(job: &Job, trace: &JobTrace, ending: &str, tokens: Option<u64>, from: String, to: String) -> Value {
    let mut attributes = vec![text("auxot.front_end", job.front_end), text("auxot.ending", ending)];
    attributes.extend(job.id.as_deref().map(|id| text("auxot.job.id", id)));
    attributes.extend(job.model.as_deref().map(|model| text("gen_ai.response.model", model)));
    attributes.extend(tokens.map(|tokens| number("gen_ai.usage.output_tokens", tokens)));
    let mut span = json!({
        "traceId": trace.context.trace_id(), "spanId": id(trace.context.span), "name": "job", "kind": SERVER,
        "startTimeUnixNano": from, "endTimeUnixNano": to, "attributes": attributes,
    });
    if let Some(caller) = &trace.caller {
        span["parentSpanId"] = id(caller.span).into();
    }
    if !matches!(ending, "completed" | "cancelled") {
        span["status"] = json!({"code": ERROR, "message": ending});
    }
    span
}

fn id(span: u64) -> String {
    format!("{span:016x}")
}

/// Numbers of 64 bits are texts in this form.
fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use auxot_fleet::JobLog;

    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// The spans of a job that ends so.
    fn spans(ending: &'static str, lives: impl FnOnce(&auxot_fleet::JobRecord)) -> Vec<Value> {
        let log = Arc::new(JobLog::default());
        let mut exported = log.export(1);
        let job = log.begin("router", Some("job-1"));
        job.trace(Some(HEADER));
        lives(&job);
        job.ended(ending, Some(7));
        let request = request("1.0", Some("host"), &[exported.try_recv().unwrap()]);
        request.pointer("/resourceSpans/0/scopeSpans/0/spans").unwrap().as_array().unwrap().clone()
    }

    #[test]
    fn a_job_is_a_span_of_its_caller_and_its_phases_are_spans_of_it() {
        let spans = spans("completed", |job| {
            job.leased("m");
            job.first_token();
        });
        let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["job", "queue", "prompt", "generation"]);
        assert_eq!(spans[0]["parentSpanId"], "00f067aa0ba902b7");
        assert!(spans[0].get("status").is_none());
        let time = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u128>().unwrap();
        for span in &spans {
            assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
            assert!(time(span, "startTimeUnixNano") <= time(span, "endTimeUnixNano"), "{span}");
        }
        assert!(spans[1..].iter().all(|span| span["parentSpanId"] == spans[0]["spanId"]));
        assert_eq!(spans[1]["endTimeUnixNano"], spans[2]["startTimeUnixNano"]);
        assert_eq!(spans[3]["endTimeUnixNano"], spans[0]["endTimeUnixNano"]);
        let attributes = spans[0]["attributes"].to_string();
        for part in [r#""intValue":"7""#, r#""stringValue":"m""#, r#""stringValue":"job-1""#] {
            assert!(attributes.contains(part), "{attributes}");
        }
    }

    #[test]
    fn a_job_that_fails_in_the_queue_has_that_phase_only_and_an_error() {
        let spans = spans("refused", |_| {});
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[0]["status"], json!({"code": 2, "message": "refused"}));
        assert_eq!((&spans[1]["name"], &spans[1]["endTimeUnixNano"]), (&"queue".into(), &spans[0]["endTimeUnixNano"]));
    }
}
