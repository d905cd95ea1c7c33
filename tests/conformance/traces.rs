//! Traces and token counts of the router's jobs.

use auxot_tests::Collector;
use auxot_tests::scripted_router::job;
use serde_json::json;

use crate::{DEADLINE, MODEL, Stage};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_job_of_a_trace_has_it_at_the_engine_in_the_log_and_at_the_collector() {
    let mut collector = Collector::start().await;
    let (mut stage, mut link) = Stage::serving("", &[("AUXOT_TRACES__ENDPOINT", collector.url())]).await;
    let header = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let mut chat = job("chat", "fake: --text 'one two'");
    chat["request"] = json!({"traceparent": header});
    link.send(&chat).await;
    link.outcome("chat").await.completed();
    let at_engine = stage.reports.next("request", DEADLINE).await.detail["traceparent"].as_str().unwrap().to_owned();
    stage.worker.line(&format!("trace=\"{TRACE}\"")).await;
    let spans = collector.spans("job", 1).await;
    assert_eq!((&spans[0]["traceId"], &spans[0]["parentSpanId"]), (&TRACE.into(), &"00f067aa0ba902b7".into()));
    assert_eq!(at_engine, format!("00-{TRACE}-{}-01", spans[0]["spanId"].as_str().unwrap()));
    // A header that is none is ignored, of whatever type it is.
    for (id, odd) in [("odd", json!("00-0-0-00")), ("number", json!(7))] {
        let mut chat = job(id, "hi");
        chat["request"] = json!({"traceparent": odd});
        link.send(&chat).await;
        link.outcome(id).await.completed();
    }
    assert!(collector.spans("job", 3).await.iter().skip(1).all(|span| span.get("parentSpanId").is_none()));
}

#[tokio::test]
async fn tokens_of_requests_that_are_passed_on_are_counted() {
    let (stage, mut link) = Stage::serving("", &[]).await;
    let http =
        json!({"method": "POST", "path": "/v1/chat/completions", "headers": [["content-type", "application/json"]]});
    let line = json!({"type": "job", "job_id": "j", "request": {"http": http}}).to_string();
    let body = r#"{"messages":[{"role":"user","content":"fake: --tokens 9"}],"stream":true}"#;
    link.send_binary(&[line.as_bytes(), b"\n", body.as_bytes()].concat()).await;
    let length = loop {
        let message = link.about("j").await;
        if message["type"] == "complete" {
            break message["length"].clone();
        }
    };
    link.send(&json!({"type": "answer_read", "job_id": "j", "offset": length, "complete": true})).await;
    stage.worker.metric_until("auxot_worker_tokens_generated_total", &[MODEL], |value| value == 9.0).await;
    stage.worker.metric_until("auxot_worker_prompt_tokens_total", &[MODEL], |value| value == 3.0).await;
}
