//! A request's trace: from the client to the engine, into the log, and to a collector.

use auxot_tests::Collector;
use nix::sys::signal::Signal;

use super::client::{Client, request};
use super::{Setup, Stage, body};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A chat with these fields, and its answer.
async fn chat(stage: &Stage, fields: &str, text: &str) {
    let fields = format!("Content-Type: application/json\r\n{fields}");
    let bytes = request("POST", "/v1/chat/completions", &fields, &body(text, r#","stream":true"#));
    let mut client = Client::raw(&stage.address, bytes.as_bytes()).await;
    assert!(client.until("[DONE]").await, "{}", client.shown());
}

#[tokio::test]
async fn the_client_s_trace_goes_on_to_the_engine_and_into_the_log() {
    let mut stage = Stage::ready("", &[("AUXOT_LOG_LEVEL", "debug")]).await;
    let header = format!("00-{TRACE}-{CALLER}-01");
    chat(&stage, &format!("traceparent: {header}\r\n"), "hi").await;
    assert_eq!(stage.report("request").await.detail["traceparent"], header.as_str(), "nothing is recorded here");
    stage.worker.line(&format!("trace=\"{TRACE}\"")).await;
    chat(&stage, "", "hi").await;
    assert!(stage.report("request").await.detail["traceparent"].is_null(), "no trace is made up");
}

#[tokio::test]
async fn a_collector_gets_each_job_as_a_part_of_its_client_s_trace() {
    let mut collector = Collector::start().await;
    let mut stage = Setup::new().ready("", &[("AUXOT_TRACES__ENDPOINT", collector.url())]).await;
    chat(&stage, &format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n"), "fake: --tokens 5").await;
    let jobs = collector.spans("job", 1).await;
    assert_eq!((&jobs[0]["traceId"], &jobs[0]["parentSpanId"]), (&TRACE.into(), &CALLER.into()));
    let attributes = jobs[0]["attributes"].to_string();
    assert!(attributes.contains(r#"{"intValue":"5"}"#) && attributes.contains("tiny-chat"), "{attributes}");
    let at_engine = stage.report("request").await.detail["traceparent"].as_str().unwrap().to_owned();
    assert_eq!(at_engine, format!("00-{TRACE}-{}-01", jobs[0]["spanId"].as_str().unwrap()));
    for phase in ["queue", "prompt", "generation"] {
        assert_eq!(collector.spans(phase, 1).await[0]["parentSpanId"], jobs[0]["spanId"], "{phase}");
    }
    // A caller that does not record its trace: neither does the worker.
    chat(&stage, &format!("traceparent: 00-{TRACE}-{CALLER}-00\r\n"), "hi").await;
    // Without a caller the trace begins here; the last spans are sent before the worker ends.
    chat(&stage, "", "hi").await;
    stage.worker.program.signal(Signal::SIGTERM);
    assert_eq!(stage.worker.exit_code().await, Some(0));
    let jobs = collector.spans("job", 2).await;
    assert!(jobs.len() == 2 && jobs[1].get("parentSpanId").is_none() && jobs[1]["traceId"] != TRACE, "{jobs:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_harms_no_answer_and_is_warned_about_once() {
    let port = auxot_tests::scripted_router::ClosedPort::anywhere();
    let endpoint = port.url().replacen("ws", "http", 1);
    let mut stage = Stage::ready("", &[("AUXOT_TRACES__ENDPOINT", &endpoint)]).await;
    chat(&stage, "", "hi").await;
    stage.worker.line("cannot send traces").await;
    chat(&stage, "", "hi").await;
    stage.worker.program.signal(Signal::SIGTERM);
    assert_eq!(stage.worker.exit_code().await, Some(0));
    assert_eq!(stage.worker.lines_with("cannot send traces").len(), 1);
}
