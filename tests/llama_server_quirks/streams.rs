//! Quirks of requests and connections: 4, 5, 9 and 10.

use auxot_tests::processes;
use auxot_tests::scripted_router::job;
use serde_json::Value;

use crate::{DEADLINE, served};

#[tokio::test]
async fn quirk_04_every_request_streams_and_a_client_that_leaves_is_noticed() {
    let mut served = served("", &[]).await;
    // Another stream continues meanwhile: its tokens would keep the engine from checking its clients.
    served.link.send(&job("other", "fake: --tokens 100000 --token-us 1000")).await;
    served.link.send(&job("left", "fake: --tokens 100000 --token-us 1000")).await;
    for _ in 0..2 {
        let request = served.stage.reports.next("request", DEADLINE).await;
        assert_eq!(request.detail["body"]["stream"], true);
    }
    served.link.about("left").await;
    served.link.cancel("left").await;
    let released = served.stage.reports.next("released", DEADLINE).await;
    assert_eq!(released.detail["how"], "gone");
    served.link.cancel("other").await;
}

#[tokio::test]
async fn quirk_05_no_request_carries_a_conversation_id() {
    let mut served = served("", &[]).await;
    let mut frame = job("one", "hello");
    frame["conversation_id"] = Value::from("c-1");
    frame["headers"] = serde_json::json!({"X-Conversation-Id": "c-1"});
    served.link.send(&frame).await;
    let request = served.stage.reports.next("request", DEADLINE).await;
    served.link.outcome("one").await.completed();
    let headers: Vec<&str> = request.detail["headers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!headers.is_empty() && !headers.contains(&"x-conversation-id"), "{headers:?}");
}

#[tokio::test]
async fn quirk_09_there_are_threads_to_spare_and_silence_at_work_is_no_death() {
    let mut served = served(
        "--hang-health",
        &[("AUXOT_ENGINE__LIVENESS_BUSY_INTERVAL", "50ms"), ("AUXOT_ENGINE__LIVENESS_TIMEOUT", "50ms")],
    )
    .await;
    assert!(served.start.number("--threads-http") >= served.start.number("--parallel") + 8);
    // `/health` is never answered, and yet an engine that streams is not replaced while it does: far longer
    // than an idle one would be kept.
    served.link.send(&job("long", "fake: --tokens 600 --token-us 10000")).await;
    served.link.outcome("long").await.completed();
    assert_eq!(served.worker.metric("auxot_worker_engine_restarts_total", &[]).await, 0.0);
}

#[tokio::test]
async fn quirk_10_however_much_an_engine_prints_it_is_read() {
    let mut served = served("", &[]).await;
    // A pipe holds 64 KiB; four mebibytes on each would stop the engine for good if they were not read.
    served.link.send(&job("noisy", "fake: --noise 4096 --text 'heard through all that'")).await;
    assert_eq!(served.link.outcome("noisy").await.completed(), "heard through all that");
    assert!(processes::alive(served.start.0.pid));
}
