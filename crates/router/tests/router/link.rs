//! The worker's connection: handshake, capabilities, odd frames, the end.

use auxot_protocol::Policy;
use auxot_router::{Config, DesiredModel};
use serde_json::json;

use crate::support::{Client, ScriptedWorker, config, one_model, start, within_deadline};

#[tokio::test]
async fn an_open_policy_repeats_the_workers_capabilities() {
    let router = start(config()).await;
    let worker = ScriptedWorker::join(&router, &one_model(2)).await;
    assert_eq!(
        worker.ack["policy"],
        json!({ "model_name": "gemma-3-4b-it", "quantization": "", "context_size": 4096, "max_parallelism": 2, "capabilities": ["chat"], "echoed": ["model_name", "context_size", "max_parallelism", "capabilities"] })
    );
    let id = worker.ack["gpu_id"].as_str().unwrap();
    assert!(
        id.starts_with("gpu_") && id.len() == 36,
        "32 bare hex digits would make a worker open a connection for each slot"
    );
}

#[tokio::test]
async fn the_desired_model_is_the_policy() {
    let desired = DesiredModel {
        model: Some("Qwen3-0.6B".into()),
        quantization: Some("Q4_K_S".into()),
        ctx_size: Some(64),
        max_parallel: Some(5),
    };
    let router = start(Config { desired, ..config() }).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(2)).await;
    assert_eq!(
        worker.ack["policy"],
        json!({ "model_name": "Qwen3-0.6B", "quantization": "Q4_K_S", "context_size": 64, "max_parallelism": 5, "capabilities": ["chat"] })
    );
    router.policy_update(Policy { model_name: "other".into(), ..Policy::default() });
    let update = worker.receive().await;
    assert_eq!((&update["type"], &update["policy"]["model_name"]), (&json!("policy_update"), &json!("other")));
    assert_eq!(ScriptedWorker::join(&router, &one_model(1)).await.ack["policy"]["model_name"], "other");
}

#[tokio::test]
async fn a_wrong_key_gets_an_error_and_a_close_frame() {
    let router = start(config()).await;
    for key in ["", "adm_wrong", "rtr_scripted-client"] {
        let mut worker = ScriptedWorker::raw(&router).await;
        worker.send(json!({ "type": "hello", "gpu_key": key, "capabilities": one_model(1) })).await;
        assert_eq!(
            worker.receive().await,
            json!({ "type": "error", "error": "invalid GPU key", "details": "Authentication failed. Check your admin key." })
        );
        assert_eq!(worker.close_code().await, Some(1008));
    }
    assert_eq!(router.watch().borrow().workers, 0);
}

#[tokio::test]
async fn a_first_message_other_than_hello_ends_the_connection() {
    let router = start(config()).await;
    for text in ["junk", "{}", r#"{"type":"heartbeat"}"#, r#"{"type":"job","job_id":"x"}"#] {
        let mut worker = ScriptedWorker::raw(&router).await;
        worker.send_text(text).await;
        assert_eq!(worker.close_code().await, None, "no reply to {text}");
    }
}

#[tokio::test]
async fn a_link_without_hello_is_closed_after_the_timeout() {
    let router = start(Config { hello_timeout: std::time::Duration::from_millis(50), ..config() }).await;
    assert_eq!(ScriptedWorker::raw(&router).await.close_code().await, None);
}

#[tokio::test]
async fn odd_frames_are_ignored_and_an_unreadable_end_is_an_end() {
    let router = start(config()).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).whole();
    let job = worker.job().await;
    for text in [
        "junk",
        "[]",
        r#"{"no":"type"}"#,
        r#"{"type":"job.overload","job_id":"x"}"#,
        r#"{"type":"error","error":"of the link"}"#,
    ] {
        worker.send_text(text).await;
    }
    worker.token("someone-elses", "x").await;
    worker.complete("someone-elses", "x").await;
    worker.heartbeat().await;
    worker.send(json!({ "type": "complete", "job_id": job, "full_response": 7 })).await;
    let (status, body) = request.json().await;
    assert_eq!((status, &body["error"]["message"]), (500, &json!("the worker's answer cannot be read")));
}

#[tokio::test]
async fn new_capabilities_apply_at_once() {
    let router = start(config()).await;
    let pending = json!({ "backend": "pending", "model": "pending", "ctx_size": 0 });
    let mut worker = ScriptedWorker::join(&router, &pending).await;
    assert_eq!(worker.ack["policy"]["model_name"], "");
    let _requests = [Client::new(&router).whole(), Client::new(&router).whole()];
    router.wait_for(|now| now.waiting == 2).await;
    worker.send(json!({ "type": "config", "capabilities": one_model(2) })).await;
    let mut received = Vec::new();
    for _ in 0..3 {
        received.push(worker.receive().await["type"].as_str().unwrap().to_owned());
    }
    received.sort();
    assert_eq!(received, ["config_ack", "job", "job"]);
}

#[tokio::test]
async fn a_stop_lets_the_running_job_end_and_closes_with_going_away() {
    let router = start(config()).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let client = Client::new(&router);
    let request = client.stream();
    let job = worker.job().await;
    worker.token(&job, "one ").await;
    let mut events = request.events().await;
    events.until("one ").await;
    let watch = router.watch();
    let stopping = router.shutdown();
    let rest = async {
        worker.token(&job, "two").await;
        worker.complete(&job, "one two").await;
        let rest = events.rest().await;
        assert_eq!((rest.0.as_str(), &rest.1["choices"][0]["finish_reason"]), ("two", &json!("stop")));
        assert_eq!(worker.close_code().await, Some(1001));
    };
    within_deadline("the router's stop", async { tokio::join!(stopping, rest) }).await;
    assert_eq!(watch.borrow().workers, 0);
}

#[tokio::test]
async fn a_stop_ends_the_jobs_left_after_the_drain_timeout() {
    let router = start(Config { drain_timeout: std::time::Duration::from_millis(50), ..config() }).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let client = Client::new(&router);
    let (running, waiting) = (client.whole(), client.whole());
    let job = worker.job().await;
    router.wait_for(|now| now.waiting == 1).await;
    let received = async {
        assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": job }));
        worker.close_code().await
    };
    let (ending, ()) = within_deadline("the router's stop", async { tokio::join!(received, router.shutdown()) }).await;
    assert_eq!(ending, Some(1001));
    for request in [running, waiting] {
        let (status, error) = request.json().await;
        assert_eq!((status, &error["error"]["code"]), (503, &json!("stopping")));
    }
}
