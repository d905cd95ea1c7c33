//! Heartbeats and their content, dead connections, and a router that does not read (items 22 and 23).

use std::time::Instant;

use auxot_tests::processes;
use auxot_tests::scripted_router::{End, Link, job, saying};
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL, Stage};

const QUICK: (&str, &str) = ("AUXOT_HEARTBEAT_INTERVAL", "200ms");

/// The next heartbeat that fits; there is one every 200 ms.
async fn heartbeat_with(link: &mut Link, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    link.take(what, |frame| frame["type"] == "heartbeat" && fits(frame)).await
}

#[tokio::test]
async fn c22_heartbeats_keep_their_interval() {
    let (_stage, mut link) = Stage::serving("", &[QUICK]).await;
    link.next("heartbeat").await;
    let begun = Instant::now();
    for _ in 0..5 {
        link.next("heartbeat").await;
        link.send(&json!({"type": "heartbeat_ack"})).await;
    }
    let took = begun.elapsed();
    assert!(took.as_millis() >= 900, "five intervals of 200 ms took {took:?}");
}

#[tokio::test]
async fn c22_a_heartbeat_reports_the_current_state() {
    let (mut stage, mut link) = Stage::serving("--memory 32", &[QUICK]).await;
    let engine = stage.reports.next("ready", DEADLINE).await.pid;
    let idle = link.next("heartbeat").await;
    let model = &idle["models"][0];
    assert_eq!((&model["name"], &model["state"]), (&json!(MODEL), &json!("ready")));
    assert_eq!((&model["slots"], &model["slots_busy"], &model["queued"]), (&json!(2), &json!(0), &json!(0)));
    assert_eq!(model.get("latency_p50_ms"), None, "nothing was measured, and nothing is said");
    let (said, measured) = (model["memory_bytes"].as_u64().unwrap(), processes::resident_bytes(engine).unwrap());
    assert!(said.abs_diff(measured) < 8 << 20 && said > 32 << 20, "said {said}, measured {measured}");
    for device in idle["devices"].as_array().unwrap() {
        let (total, free) = (device["total_bytes"].as_u64().unwrap(), device["free_bytes"].as_u64().unwrap());
        assert!(total >= 1 << 28 && free > 0 && free <= total, "{device}");
        assert!(device["used_bytes"].as_u64().unwrap() <= total, "{device}");
    }

    for id in ["one", "two", "three"] {
        link.send(&job(id, "fake: --stall-at 2")).await;
    }
    let busy = heartbeat_with(&mut link, "both slots busy", |beat| beat["models"][0]["slots_busy"] == 2).await;
    assert_eq!((&busy["models"][0]["queued"], &busy["jobs"]), (&json!(1), &json!(3)));
    for id in ["one", "two", "three"] {
        link.cancel(id).await;
    }
    heartbeat_with(&mut link, "no job", |beat| beat["jobs"] == 0).await;

    link.send(&job("measured", "fake: --prompt-ms 100 --tokens 10 --token-us 20000")).await;
    link.outcome("measured").await.completed();
    let after = heartbeat_with(&mut link, "a latency", |beat| beat["models"][0].get("latency_p50_ms").is_some()).await;
    let figure = |name: &str| after["models"][0][name].as_f64().unwrap();
    let (p50, p95, first) = (figure("latency_p50_ms"), figure("latency_p95_ms"), figure("ttft_p50_ms"));
    assert!((280.0..3000.0).contains(&p50) && p95 >= p50, "one job of 280 ms: {p50} {p95}");
    assert!((100.0..p50 - 100.0).contains(&first), "its first token came after 100 ms: {first}");
    assert!(figure("tokens_per_second") > 0.0);
}

#[tokio::test]
async fn c22_a_silent_router_is_left_for_a_new_connection() {
    let settings = [QUICK, ("AUXOT_ROUTER__SILENCE_TIMEOUT", "1s")];
    let (mut stage, mut silent) = Stage::serving("", &settings).await;
    let mut next = stage.greeted().await;
    assert!(matches!(silent.ended().await, End::Cut(_) | End::Closed(_)));
    next.says("next", "over here").await;
    assert_eq!(stage.worker.metric("auxot_worker_router_connections_lost_total", &["cause=\"silent\""]).await, 1.0);
}

#[tokio::test]
async fn c22_a_router_that_answers_heartbeats_is_kept() {
    let settings = [QUICK, ("AUXOT_ROUTER__SILENCE_TIMEOUT", "600ms")];
    let (stage, mut link) = Stage::serving("", &settings).await;
    for _ in 0..12 {
        link.next("heartbeat").await;
        link.send(&json!({"type": "heartbeat_ack"})).await;
    }
    assert_eq!(stage.router.connections(), 1, "twelve heartbeats are four times the silence");
}

#[tokio::test]
async fn c22_a_router_that_answers_pings_alone_is_kept() {
    let settings = [QUICK, ("AUXOT_ROUTER__SILENCE_TIMEOUT", "2s")];
    let (stage, mut link) = Stage::serving("", &settings).await;
    // The answers are sent by the reader.
    for _ in 0..20 {
        link.next("heartbeat").await;
    }
    assert_eq!(stage.router.connections(), 1, "twenty heartbeats are twice the silence");
}

/// Within a frame no ping can be answered, so the bytes of a long frame are the only sign of life.
#[tokio::test]
async fn c22_a_slow_message_is_a_sign_of_life() {
    let settings = [QUICK, ("AUXOT_ROUTER__SILENCE_TIMEOUT", "2s"), ("AUXOT_ROUTER_CONNECTIONS", "2")];
    let (mut stage, mut slow) = Stage::serving("", &settings).await;
    let mut clock = stage.greeted().await;
    let said = "at last, after so many parts, ".repeat(4);
    let text = saying("slow", said.trim()).to_string();
    let length = u16::try_from(text.len()).unwrap();
    assert!(length >= 126, "a length of two bytes");
    let frame = [&[0x81, 126], &length.to_be_bytes()[..], text.as_bytes()].concat();
    for piece in frame.chunks(frame.len().div_ceil(20)) {
        clock.next("heartbeat").await;
        slow.send_bytes(piece).await;
    }
    assert_eq!(slow.outcome("slow").await.completed(), said.trim());
    assert_eq!(stage.router.connections(), 2, "twenty heartbeats are twice the silence");
}

#[tokio::test]
async fn c23_a_router_that_does_not_read_one_connection_does_not_stop_the_others() {
    // Longer than any wait of this test: a delay of one by the other fails on a machine of any speed.
    let settings = [("AUXOT_ROUTER_CONNECTIONS", "2"), ("AUXOT_ROUTER__WRITE_TIMEOUT", "20m")];
    let (mut stage, mut stalled) = Stage::serving("", &settings).await;
    let mut reading = stage.greeted().await;
    // More than all buffers between the two hold, and it is never read.
    stalled.send(&job("endless", "fake: --tokens 100000000 --batch 64")).await;
    stage.reports.next("slot", DEADLINE).await;
    for round in 0..20 {
        reading.says(&format!("round-{round}"), "as ever").await;
    }
}

#[tokio::test]
async fn c23_a_router_that_does_not_read_is_disconnected_and_nothing_is_buffered_for_it() {
    let settings = [("AUXOT_ROUTER_CONNECTIONS", "2"), ("AUXOT_ROUTER__WRITE_TIMEOUT", "1s")];
    let (mut stage, mut stalled) = Stage::serving("", &settings).await;
    let _other = stage.greeted().await;
    stalled.send(&job("endless", "fake: --tokens 100000000 --batch 64")).await;
    // The connection ends by its write time-out; the worker has not buffered the text meanwhile.
    let lost = ["cause=\"stalled\""];
    stage.worker.metric_until("auxot_worker_router_connections_lost_total", &lost, |count| count == 1.0).await;
    let resident = processes::resident_bytes(stage.worker.program.pid()).unwrap();
    assert!(resident < 96 << 20, "{resident} bytes: what cannot be sent is not read");
    let mut again = stage.greeted().await;
    again.says("again", "a new connection").await;
    drop(stalled);
}

#[tokio::test]
async fn c23_a_router_that_reads_late_gets_every_byte() {
    let (mut stage, mut slow) = Stage::serving("", &[("AUXOT_ROUTER_CONNECTIONS", "2")]).await;
    let mut other = stage.greeted().await;
    slow.send(&job("late", &format!("fake: --tokens 5000 --batch 16 --count {}", "x".repeat(1000)))).await;
    stage.reports.next("slot", DEADLINE).await;
    other.says("meanwhile", "the other is not read").await;
    slow.send(&saying("behind-it", "in the same queue")).await;
    let outcome = slow.outcome("late").await;
    assert_eq!(outcome.completed(), outcome.end["full_response"]);
    assert_eq!(outcome.completed().split_whitespace().count(), 5000);
    assert_eq!(slow.outcome("behind-it").await.completed(), "in the same queue");
}

#[tokio::test]
async fn c23_a_router_that_does_not_read_for_a_while_is_no_silence_of_the_engine() {
    let settings = [
        ("AUXOT_ROUTER_CONNECTIONS", "2"),
        QUICK,
        // Longer than a busy machine keeps a process that is due waiting.
        ("AUXOT_ROUTER__IDLE_TIMEOUT", "12s"),
        ("AUXOT_ENGINE__PING_INTERVAL", "1s"),
        ("AUXOT_ENGINE__LIVENESS_STALL", "12s"),
        ("AUXOT_ROUTER__WRITE_TIMEOUT", "20m"),
    ];
    let (mut stage, mut slow) = Stage::serving("", &settings).await;
    let mut other = stage.greeted().await;
    // More than all buffers hold, so the engine is not read for as long as the router does not read.
    slow.send(&job("late", &format!("fake: --tokens 300 --count {}", "x".repeat(50_000)))).await;
    stage.reports.next("slot", DEADLINE).await;
    // Twice the idle time-out.
    for _ in 0..125 {
        other.next("heartbeat").await;
        other.send(&json!({"type": "heartbeat_ack"})).await;
    }
    assert_eq!(slow.outcome("late").await.completed().split_whitespace().count(), 300);
}
