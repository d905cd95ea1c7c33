//! The protocol's extensions: parameters, errors, jobs that were not started.

use std::time::Duration;

use auxot_router::Config;
use serde_json::{Value, json};

use crate::support::{Client, ScriptedWorker, config, one_model, start};

fn with_extensions() -> Value {
    let mut capabilities = one_model(2);
    capabilities["extensions"] = json!(["parameters", "not_started"]);
    capabilities
}

fn asking(parameters: &Value) -> Value {
    let mut request = json!({ "model": "gemma-3-4b-it", "messages": [{ "role": "user", "content": "hi" }] });
    for (name, value) in parameters.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

#[tokio::test]
async fn parameters_go_to_a_worker_with_the_extension_and_logprobs_come_back() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &with_extensions()).await;
    assert_eq!(worker.ack["extensions"], json!(["parameters", "not_started", "requests"]));
    let parameters = json!({ "seed": 7, "stop": ["\n"], "logprobs": true, "top_k": 3, "unknown_field": null });
    let logprobs = json!({ "content": [{ "token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": [] }] });
    for stream in [false, true] {
        let mut request = asking(&parameters);
        request["stream"] = json!(stream);
        request["user"] = json!("a-user");
        let request = client.chat(&request);
        let job = worker.receive().await;
        let passed = json!({ "seed": 7, "stop": ["\n"], "logprobs": true, "top_k": 3 });
        assert_eq!(job["request"], json!({ "parameters": passed }));
        let end = json!({ "type": "complete", "job_id": job["job_id"], "full_response": "x", "logprobs": logprobs });
        worker.send(end).await;
        let choice = if stream {
            request.events().await.rest().await.1["choices"][0].clone()
        } else {
            request.json().await.1["choices"][0].clone()
        };
        assert_eq!((&choice["logprobs"], &choice["finish_reason"]), (&logprobs, &json!("stop")));
    }
}

#[tokio::test]
async fn the_place_in_a_trace_goes_to_a_worker_with_the_extension() {
    const CHAT: &str = r#"{"model":"gemma-3-4b-it","messages":[{"role":"user","content":"hi"}]}"#;
    for (capabilities, expected) in
        [(with_extensions(), json!({ "traceparent": "00-1-2-01" })), (one_model(2), Value::Null)]
    {
        let router = start(config()).await;
        let mut worker = ScriptedWorker::join(&router, &capabilities).await;
        let request = Client::new(&router).send_json("/v1/chat/completions", CHAT);
        let job = worker.receive().await;
        assert_eq!(job["request"], expected);
        worker.send(json!({ "type": "complete", "job_id": job["job_id"], "full_response": "x" })).await;
        assert_eq!(request.json().await.0, 200);
    }
}

#[tokio::test]
async fn each_logprobs_entry_comes_once_even_after_a_second_run() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut first = ScriptedWorker::join(&router, &with_extensions()).await;
    let mut request = asking(&json!({ "logprobs": true }));
    request["stream"] = json!(true);
    let request = client.chat(&request);
    let list = |tokens: &[&str]| json!({ "content": tokens.iter().map(|token| json!({ "token": token })).collect::<Vec<_>>() });
    let token =
        |job: &str, text: &str| json!({ "type": "token", "job_id": job, "token": text, "logprobs": list(&[text]) });
    let job = first.job().await;
    first.send(token(&job, "a")).await;
    let mut events = request.events().await;
    events.next().await;
    assert_eq!(events.next().await.unwrap()["choices"][0]["logprobs"], list(&["a"]));
    let mut second = ScriptedWorker::join(&router, &with_extensions()).await;
    first.drop_connection();
    let again = second.job().await;
    for text in ["a", "b"] {
        second.send(token(&again, text)).await;
    }
    let all = list(&["a", "b"]);
    second.send(json!({ "type": "complete", "job_id": again, "full_response": "ab", "logprobs": all })).await;
    let (text, last) = events.rest().await;
    assert_eq!((text.as_str(), &last["choices"][0]["logprobs"]), ("b", &list(&["b"])));
}

#[tokio::test]
async fn without_the_extension_a_parameter_that_changes_the_answer_is_refused_by_name() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &one_model(2)).await;
    for name in ["stop", "response_format", "seed", "top_p", "logit_bias", "logprobs", "min_p", "chat_template_kwargs"]
    {
        let (status, body) = client.chat(&asking(&json!({ name: 0.25 }))).json().await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!(name)), "{body}");
        assert_eq!(body["error"]["code"], "unsupported_parameter");
    }
    let request = client.chat(&asking(&json!({ "top_p": 1, "stop": [], "user": "u", "presence_penalty": 0 })));
    let job = worker.receive().await;
    assert_eq!(job["request"], json!(null), "parameters with neutral values are dropped");
    worker.complete(job["job_id"].as_str().unwrap(), "x").await;
    assert_eq!(request.json().await.0, 200);
}

#[tokio::test]
async fn a_worker_decides_the_status_of_its_error() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = client.whole();
    let job = worker.job().await;
    worker
        .send(json!({ "type": "error", "job_id": job, "error": "too long", "status": 400,
                     "code": "context_length_exceeded", "param": "messages" }))
        .await;
    let response = request.response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-should-retry"]), (400, &"false".parse().unwrap()));
    let error = json!({ "message": "too long", "type": "invalid_request_error",
                        "param": "messages", "code": "context_length_exceeded" });
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "error": error }));

    let request = client.whole();
    let job = worker.job().await;
    worker
        .send(json!({ "type": "error", "job_id": job, "error": "room was made", "status": 503, "retry_after": 7 }))
        .await;
    let response = request.response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"7".parse().unwrap()));
}

#[tokio::test]
async fn a_job_that_a_worker_has_not_started_goes_to_another_at_once() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut old = ScriptedWorker::join(&router, &with_extensions()).await;
    let (begun, back) = (client.stream(), client.whole());
    let (first, second) = (old.receive().await, old.receive().await);
    let of = |job: &Value| job["job_id"].as_str().unwrap().to_owned();
    let (first, second) = (of(&first), of(&second));
    old.send(json!({ "type": "heartbeat", "draining": true })).await;
    old.receive().await;
    let late = client.whole();
    router.wait_for(|now| now.waiting == 1 && now.total_slots == 0).await;
    old.send(json!({ "type": "error", "job_id": second, "error": "ending", "code": "not_started" })).await;
    router.wait_for(|now| now.waiting == 2).await;

    let mut new = ScriptedWorker::join(&router, &with_extensions()).await;
    let given = new.job().await;
    assert!(given == second || given == first, "jobs run in order of arrival");
    let other = new.job().await;
    for job in [given, other] {
        new.complete(&job, "from the new one").await;
    }
    old.complete(&first, "to the end").await;
    assert_eq!(begun.response().await.status(), 200);
    for request in [back, late] {
        assert_eq!(request.json().await.0, 200);
    }
}

#[tokio::test]
async fn an_answer_with_progress_may_take_longer_than_the_limit() {
    let limit = Duration::from_millis(400);
    let router = start(Config { job_timeout: limit, ..config() }).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = client.stream();
    let job = worker.job().await;
    worker.token(&job, "a").await;
    let mut events = request.events().await;
    events.until("a").await;
    let began = std::time::Instant::now();
    let mut beat = tokio::time::interval(limit / 8);
    while began.elapsed() < limit * 2 {
        beat.tick().await;
        worker.token(&job, "b").await;
    }
    worker.complete(&job, "").await;
    assert_eq!(events.rest().await.1["choices"][0]["finish_reason"], "stop");
}
