//! Keys that are revoked, rotated, or whose time is over while they are in use.

use std::time::Duration;

use auxot_router::keys::{KeyFile, KeyTerms, NewKeys};
use auxot_router::{Config, Keys, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Client, ScriptedWorker, config, one_model, start, within_deadline};
use crate::unauthenticated::pair;

/// A router whose keys are in a file.
async fn with(file: &KeyFile) -> (Router, Client) {
    let router = start(Config { keys: Keys::file(file.path().to_owned()), ..config() }).await;
    let client = Client::new(&router);
    (router, client)
}

fn scratch() -> (tempfile::TempDir, KeyFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::of_router(folder.path().join("keys"));
    (folder, file)
}

async fn join(router: &Router, key: &str) -> ScriptedWorker {
    let mut worker = ScriptedWorker::raw(router).await;
    worker.send(json!({ "type": "hello", "gpu_key": key, "capabilities": one_model(1) })).await;
    assert_eq!(worker.receive().await["success"], true);
    worker
}

fn chat(stream: bool) -> Value {
    json!({ "model": "gemma-3-4b-it", "stream": stream, "messages": [{ "role": "user", "content": "hi" }] })
}

#[tokio::test]
async fn a_revoked_key_ends_its_links_and_jobs_at_once() {
    let (_folder, file) = scratch();
    let (leaked_worker, leaked_api) = pair(file.path(), "leaked");
    let (kept_worker, kept_api) = pair(file.path(), "kept");
    let (router, client) = with(&file).await;
    let (leaked, mut good) = (join(&router, &leaked_worker).await, join(&router, &kept_worker).await);
    let body = chat(false);
    let ask = |key: &str| client.post("/v1/chat/completions").bearer_auth(key).json(&body).send();
    let mut waits = tokio::task::JoinSet::from_iter([ask(&leaked_api)]);
    router.wait_for(|now| now.active_jobs == 1).await;

    file.revoke("leaked").unwrap();
    leaked.close_code().await;
    assert_eq!(within_deadline("a refusal", waits.join_next()).await.unwrap().unwrap().unwrap().status(), 401);
    let again = ask(&leaked_api).await.unwrap();
    let (status, body) = (again.status(), again.text().await.unwrap());
    assert_eq!(status, 401, "{body}");
    let mut fine = tokio::task::JoinSet::from_iter([ask(&kept_api)]);
    // The job of the revoked key may have arrived here first, with its cancel.
    let mut given = 0;
    let answer = loop {
        let message = good.receive().await;
        if message["type"] == "job" {
            given += 1;
            good.complete(message["job_id"].as_str().unwrap(), "x").await;
        }
        if let Some(answer) = fine.try_join_next() {
            break answer;
        }
        good.send(json!({ "type": "heartbeat" })).await;
    };
    assert_eq!(answer.unwrap().unwrap().status(), 200);
    assert!(given <= 2, "a job of the revoked key came after its removal: {given}");
}

#[tokio::test]
async fn a_stream_and_a_waiting_request_of_a_revoked_key_end_with_an_error() {
    let (_folder, file) = scratch();
    let (worker_key, _) = pair(file.path(), "kept");
    let leaked = file.create("leaked", &NewKeys::Api(KeyTerms::default()), None).unwrap().api.unwrap();
    let (router, client) = with(&file).await;
    let mut worker = join(&router, &worker_key).await;
    let streamed = client.send_as(&leaked, "/v1/chat/completions", &chat(true));
    let job = worker.job().await;
    worker.token(&job, "half").await;
    let mut events = streamed.events().await;
    events.until("half").await;
    let waiting = client.send_as(&leaked, "/v1/chat/completions", &chat(false));
    router.wait_for(|summary| summary.waiting == 1).await;
    file.revoke("leaked").unwrap();
    let (_, last) = events.rest().await;
    assert_eq!(last["error"]["code"], "invalid_api_key", "{last}");
    assert_eq!(waiting.json().await.0, 401);
    router.wait_for(|summary| summary.waiting == 0 && summary.active_jobs == 0).await;
    let cancel = worker.receive().await;
    assert_eq!((&cancel["type"], &cancel["job_id"]), (&json!("cancel"), &json!(job)));
}

#[tokio::test]
async fn a_worker_is_disconnected_when_the_time_of_its_key_is_over_and_its_job_goes_to_another() {
    let (_folder, file) = scratch();
    let (_, api_key) = pair(file.path(), "kept");
    let soon = Timestamp::now() + Duration::from_secs(2);
    let short = file.create("short", &NewKeys::Worker, Some(soon)).unwrap().worker.unwrap();
    let (router, client) = with(&file).await;
    let mut worker = join(&router, &short).await;
    let asked = client.send_as(&api_key, "/v1/chat/completions", &chat(false));
    worker.job().await;
    worker.close_code().await;
    let mut refused = ScriptedWorker::raw(&router).await;
    refused.send(json!({ "type": "hello", "gpu_key": short, "capabilities": one_model(1) })).await;
    assert_eq!(refused.receive().await["error"], "invalid GPU key");
    let renewed = file.rotate("short", Duration::ZERO).unwrap().worker.unwrap();
    let mut worker = join(&router, &renewed).await;
    let job = worker.job().await;
    worker.complete(&job, "x").await;
    assert_eq!(asked.json().await.0, 200);
}

#[tokio::test]
async fn both_keys_of_a_rotation_are_good_until_the_next_one_keeps_none() {
    let (_folder, file) = scratch();
    let (old_worker, old_api) = pair(file.path(), "a");
    let (router, client) = with(&file).await;
    let mut worker = join(&router, &old_worker).await;
    let new = file.rotate("a", Duration::from_secs(3600)).unwrap();
    let new_api = new.api.unwrap();
    for key in [&old_api, &new_api] {
        let asked = client.send_as(key, "/v1/chat/completions", &chat(false));
        let job = worker.job().await;
        worker.complete(&job, "x").await;
        assert_eq!(asked.json().await.0, 200);
    }
    let last_api = file.rotate("a", Duration::ZERO).unwrap().api.unwrap();
    worker.close_code().await;
    for (key, status) in [(&old_api, 401), (&new_api, 401), (&last_api, 200)] {
        assert_eq!(client.get("/v1/models").bearer_auth(key).send().await.unwrap().status(), status);
    }
}
