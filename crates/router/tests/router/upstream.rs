//! The habits of the measured upstream router, as a worker sees them.

use std::time::Duration;

use auxot_router::{Behaviour, Config};
use serde_json::json;

use crate::support::{Client, Worker, config, one_model, start};

fn upstream(delay: Duration) -> Config {
    let behaviour = Behaviour::Upstream { redispatch_delay: delay };
    Config { behaviour, dead_threshold: Duration::from_millis(50), keep_alive: Duration::from_millis(20), ..config() }
}

#[tokio::test]
async fn one_job_a_connection_whatever_the_slots_and_no_cancel() {
    let router = start(upstream(Duration::ZERO)).await;
    let client = Client::new(&router);
    let mut worker = Worker::join(&router, &one_model(4)).await;
    let id = worker.ack["gpu_id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let first = client.whole();
    let job = worker.job().await;
    let second = client.whole();
    router.wait_for(|now| now.waiting == 1).await;
    worker.hears_nothing().await;
    let (_, health) = client.get_json("/health").await;
    assert_eq!(health, json!({ "status": "ok", "workers": 1, "total_slots": 4, "active_jobs": 1, "available": 3 }));

    let mut lane = Worker::join(&router, &one_model(1)).await;
    let other = lane.job().await;
    assert_ne!(job, other, "a second connection gets a second job");
    drop(first);
    lane.complete(&other, "done").await;
    assert_eq!(second.json().await.0, 200);
    worker.hears_nothing().await;
    assert_eq!(router.watch().borrow().active_jobs, 1, "the abandoned job keeps its slot until it is answered");
    worker.complete(&job, "for nobody").await;
    router.wait_for(|now| now.active_jobs == 0).await;
}

#[tokio::test]
async fn a_lost_job_comes_again_after_the_delay_and_texts_are_joined() {
    let router = start(upstream(Duration::from_millis(100))).await;
    let mut worker = Worker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).stream();
    let job = worker.job().await;
    worker.token(&job, "A B ").await;
    let mut events = request.events().await;
    events.until("A B ").await;
    worker.vanish();
    let mut again = Worker::join(&router, &one_model(1)).await;
    again.hears_nothing().await;
    assert_eq!(again.job().await, job);
    again.token(&job, "A B C").await;
    again.complete(&job, "A B C").await;
    assert_eq!(events.rest().await.0, "A B C", "twice, as measured");
}

#[tokio::test]
async fn any_connection_may_complete_and_a_silent_worker_stays() {
    let router = start(upstream(Duration::from_secs(3600))).await;
    let mut worker = Worker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).whole();
    let job = worker.job().await;
    worker.vanish();
    let mut again = Worker::join(&router, &one_model(1)).await;
    again.complete(&job, "late, and taken").await;
    assert_eq!(request.json().await.1["choices"][0]["message"]["content"], "late, and taken");

    // Comments come from a timer no slower than the threshold: after three the threshold is past.
    let request = Client::new(&router).stream();
    let job = again.job().await;
    let mut events = request.events().await;
    again.token(&job, "x").await;
    events.until("x").await;
    assert_eq!((router.watch().borrow().workers, router.watch().borrow().silent), (1, 0));
    again.complete(&job, "x").await;
    events.rest().await;
}

#[tokio::test]
async fn a_wrong_key_gets_the_error_and_no_close_frame() {
    let router = start(upstream(Duration::ZERO)).await;
    let mut worker = Worker::raw(&router).await;
    worker.say(json!({ "type": "hello", "gpu_key": "adm_wrong", "capabilities": one_model(1) })).await;
    assert_eq!(worker.hear().await["error"], "invalid GPU key");
    assert_eq!(worker.ending().await, None);
}

#[tokio::test]
async fn a_pending_worker_is_given_jobs_of_any_model() {
    let router = start(upstream(Duration::ZERO)).await;
    let mut worker = Worker::join(&router, &json!({ "backend": "pending", "model": "pending", "ctx_size": 0 })).await;
    let _request =
        Client::new(&router).chat(&json!({ "model": "no-such", "messages": [{ "role": "user", "content": "x" }] }));
    let job = worker.hear().await;
    assert_eq!((&job["type"], &job["model"]), (&json!("job"), &json!(null)));
}
