//! Workers that fall silent, disconnect or fail; clients that leave or do not read.

use std::time::Duration;

use auxot_router::Config;
use serde_json::json;

use crate::support::{Client, ScriptedWorker, StreamEvents, config, one_model, start};

/// A stream that has received `text` of a job on `worker`.
async fn streaming_job(client: &Client, worker: &mut ScriptedWorker, text: &str) -> (StreamEvents, String) {
    let request = client.stream();
    let job = worker.job().await;
    worker.token(&job, text).await;
    let mut events = request.events().await;
    events.until(text).await;
    (events, job)
}

#[tokio::test]
async fn a_silent_worker_loses_its_job_to_another_and_gets_jobs_again_after_a_heartbeat() {
    let router = start(Config { dead_threshold: Duration::from_millis(300), ..config() }).await;
    let client = Client::new(&router);
    let mut silent = ScriptedWorker::join(&router, &one_model(1)).await;
    let (mut events, job) = streaming_job(&client, &mut silent, "A B ").await;
    router.wait_for(|now| now.silent == 1 && now.waiting == 1).await;

    let mut other = ScriptedWorker::join(&router, &one_model(1)).await;
    assert_eq!(other.job().await, job, "the same id");
    assert_eq!(silent.receive().await, json!({ "type": "cancel", "job_id": job }));
    silent.token(&job, "too late").await;
    for piece in ["A", " B", " C"] {
        other.token(&job, piece).await;
    }
    other.complete(&job, "A B C").await;
    assert_eq!(events.rest().await.0, "C", "no text twice");

    router.wait_for(|now| now.workers <= 1).await;
    silent.heartbeat().await;
    router.wait_for(|now| now.workers >= 1 && now.active_jobs == 0).await;
    let _request = client.whole();
    drop(other);
    assert!(!silent.job().await.is_empty(), "a worker that is alive again gets jobs");
}

#[tokio::test]
async fn clients_do_not_repeat_a_job_that_used_all_attempts() {
    let router = start(Config { max_attempts: 2, ..config() }).await;
    let request = Client::new(&router).whole();
    for _ in 0..2 {
        let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
        let job = worker.job().await;
        worker.token(&job, "A").await;
        worker.drop_connection();
    }
    let response = request.response().await;
    let headers = response.headers();
    assert_eq!((response.status().as_u16(), &headers["x-should-retry"]), (502, &"false".parse().unwrap()));
    assert!(!headers.contains_key("retry-after"));
}

#[tokio::test]
async fn the_only_worker_continues_its_job_after_a_silence() {
    let router = start(Config { dead_threshold: Duration::from_millis(1500), ..config() }).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let (mut events, job) = streaming_job(&Client::new(&router), &mut worker, "A").await;
    router.wait_for(|now| now.silent == 1).await;
    worker.send(json!({ "type": "heartbeat" })).await;
    let mut heard = [worker.receive().await, worker.receive().await];
    heard.sort_by_key(|message| message["type"].to_string());
    assert_eq!((&heard[0]["type"], &heard[1]["job_id"]), (&json!("heartbeat_ack"), &json!(job)));
    // It ran the job all the time and sends only new text; the whole answer completes it.
    worker.token(&job, "C").await;
    worker.complete(&job, "ABC").await;
    assert_eq!(events.rest().await.0, "BC");
}

#[tokio::test]
async fn after_a_lost_connection_the_job_runs_again_and_repeated_text_is_skipped() {
    let router = start(config()).await;
    let mut first = ScriptedWorker::join(&router, &one_model(1)).await;
    let (mut events, job) = streaming_job(&Client::new(&router), &mut first, "Hello ").await;
    first.drop_connection();
    let mut second = ScriptedWorker::join(&router, &one_model(1)).await;
    assert_eq!(second.job().await, job);
    second.token(&job, "Hel").await;
    second.token(&job, "lo wor").await;
    events.until("wor").await;
    second.token(&job, "ld").await;
    second.complete(&job, "Hello world").await;
    assert_eq!(events.rest().await.0, "ld");
}

#[tokio::test]
async fn a_different_answer_after_a_lost_connection_is_an_error() {
    let router = start(config()).await;
    let mut first = ScriptedWorker::join(&router, &one_model(1)).await;
    let (mut events, job) = streaming_job(&Client::new(&router), &mut first, "Hello ").await;
    first.drop_connection();
    let mut second = ScriptedWorker::join(&router, &one_model(1)).await;
    second.job().await;
    second.token(&job, "Good day").await;
    second.complete(&job, "Good day").await;
    let (text, last) = events.rest().await;
    assert_eq!((text.as_str(), &last["error"]["code"]), ("", &json!("worker_lost")));
}

#[tokio::test]
async fn a_whole_answer_has_text_of_the_last_run_only() {
    let router = start(config()).await;
    let mut first = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).whole();
    let job = first.job().await;
    first.token(&job, "lost ").await;
    first.heartbeat().await;
    first.drop_connection();
    let mut second = ScriptedWorker::join(&router, &one_model(1)).await;
    second.job().await;
    second.token(&job, "kept").await;
    second.complete(&job, "").await;
    assert_eq!(request.json().await.1["choices"][0]["message"]["content"], "kept");
}

#[tokio::test]
async fn a_job_that_loses_every_worker_is_given_up() {
    let router = start(Config { max_attempts: 2, ..config() }).await;
    let request = Client::new(&router).whole();
    for _ in 0..2 {
        let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
        worker.job().await;
        worker.drop_connection();
    }
    let (status, error) = request.json().await;
    assert_eq!((status, &error["error"]["code"]), (502, &json!("worker_lost")));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_job_in_every_phase() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let whole = client.whole();
    let job = worker.job().await;
    let queued = client.whole();
    router.wait_for(|now| now.waiting == 1).await;
    drop(queued);
    router.wait_for(|now| now.waiting == 0).await;
    drop(whole);
    assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": job }));

    let before_text = client.stream();
    let job = worker.job().await;
    drop(before_text);
    assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": job }));

    let (events, job) = streaming_job(&client, &mut worker, "A").await;
    drop(events);
    assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": job }));
    worker.complete(&job, "too late").await;
    assert_eq!(router.wait_for(|now| now.active_jobs == 0).await.total_slots, 1, "the slot is free");
}

#[tokio::test]
async fn a_job_past_its_deadline_is_cancelled_and_reported() {
    let router = start(Config { job_timeout: Duration::from_millis(200), ..config() }).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let (running, waiting) = (client.whole(), client.whole());
    let job = worker.job().await;
    assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": job }));
    let mut codes = Vec::new();
    for request in [running, waiting] {
        let response = request.response().await;
        assert!(response.headers().contains_key("retry-after"));
        codes.push(response.status().as_u16());
    }
    codes.sort_unstable();
    // The waiting job either went to the worker when the first one timed out, or timed out in the queue.
    assert!(codes == [503, 504] || codes == [504, 504], "{codes:?}");
}

#[tokio::test]
async fn a_workers_error_is_the_clients_error() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    for request in [Client::whole, Client::stream] {
        let request = request(&client);
        let job = worker.job().await;
        worker.send(json!({ "type": "error", "job_id": job, "error": "inference error: x", "details": "y" })).await;
        assert_eq!(
            request.json().await,
            (
                500,
                json!({ "error": { "message": "inference error: x", "type": "server_error", "param": null, "code": null } })
            )
        );
    }
}

#[tokio::test]
async fn an_answer_above_the_bound_is_cancelled() {
    let router = start(Config { max_unread: 1000, ..config() }).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).whole();
    let job = worker.job().await;
    for _ in 0..11 {
        worker.token(&job, &"x".repeat(100)).await;
    }
    assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": job }));
    assert_eq!(request.json().await.0, 500);
}

#[tokio::test]
async fn while_all_answers_together_exceed_the_bound_only_the_longest_is_cancelled() {
    let router = start(Config { max_unread_total: 300_000, ..config() }).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &one_model(4)).await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        let request = client.whole();
        jobs.push((worker.job().await, request));
    }
    let text = "x".repeat(20_000);
    // Three answers of 60 kB: with the fourth, which alone exceeds its fair part, they exceed the bound.
    for (job, _) in jobs.iter().take(3) {
        for _ in 0..3 {
            worker.token(job, &text).await;
        }
    }
    let (greedy, _) = &jobs[3];
    for _ in 0..7 {
        worker.token(greedy, &text).await;
    }
    assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": greedy }));
    let (_, request) = jobs.pop().unwrap();
    assert_eq!(request.json().await.0, 500);
    for (job, request) in jobs {
        worker.complete(&job, &"x".repeat(60_000)).await;
        assert_eq!(request.json().await.0, 200, "an answer within its fair part stays");
    }
    let request = client.whole();
    let job = worker.job().await;
    for _ in 0..7 {
        worker.token(&job, &text).await;
    }
    worker.complete(&job, &"x".repeat(140_000)).await;
    assert_eq!(request.json().await.0, 200, "the bytes of ended jobs are free again");
}

#[tokio::test]
async fn workers_and_clients_reconnect_after_cut_links_and_after_a_crash() {
    let router = start(config()).await;
    let worker = ScriptedWorker::join(&router, &one_model(1)).await;
    router.cut_links();
    assert_eq!(worker.close_code().await, None, "no close frame");
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let client = Client::new(&router);
    let request = client.whole();
    worker.job().await;
    let port = router.addr().port();
    router.abort().await;
    assert_eq!(worker.close_code().await, None);
    assert_eq!(request.json().await.0, 503);
    let again = start(Config { port, ..config() }).await;
    let mut worker = ScriptedWorker::join(&again, &one_model(1)).await;
    let request = Client::new(&again).whole();
    let job = worker.job().await;
    worker.complete(&job, "back").await;
    assert_eq!(request.json().await.0, 200);
}
