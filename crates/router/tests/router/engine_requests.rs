//! Whole requests: a worker gets the client's bytes, and the client the engine's.

use serde_json::{Value, json};

use crate::support::{Client, ScriptedWorker, config, one_model, start, within_deadline};

fn with_requests() -> Value {
    let mut capabilities = one_model(2);
    capabilities["extensions"] = json!(["requests"]);
    capabilities["models"] = json!([
        { "name": "chat-q8_0", "state": "ready", "slots": 2, "capabilities": ["chat"] },
        { "name": "vectors-q8_0", "state": "ready", "slots": 2, "capabilities": ["embedding"] },
    ]);
    capabilities
}

#[tokio::test]
async fn the_worker_gets_the_body_with_its_own_name_and_the_client_the_engines_bytes() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &with_requests()).await;
    let body = r#"{"input": "a\\nb", "model" : "VECTORS-Q8_0", "n":1.0}"#;
    let request = client.send_json("/v1/embeddings?x=1", body);
    let (job, payload) = worker.payload().await;
    assert_eq!(payload, body.replace("VECTORS-Q8_0", "vectors-q8_0"));
    assert_eq!(job["model"], "vectors-q8_0");
    let http = &job["request"]["http"];
    assert_eq!((&http["method"], &http["path"]), (&json!("POST"), &json!("/v1/embeddings?x=1")));
    let fields = json!([["content-type", "application/json"], ["accept", "*/*"], ["traceparent", "00-1-2-01"]]);
    assert_eq!(http["headers"], fields);

    let id = job["job_id"].as_str().unwrap();
    worker.head(id, "a", 418, "text/odd").await;
    worker.data(id, 0, b"\xff one\n").await;
    worker.data(id, 6, b"two").await;
    worker.send(json!({ "type": "complete", "job_id": id, "length": 9 })).await;
    let response = request.response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-engine"]), (418, &"1".parse().unwrap()));
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(&within_deadline("a body", response.bytes()).await.unwrap()[..], b"\xff one\ntwo");
    let read = worker.receive().await;
    assert_eq!(read, json!({ "type": "answer_read", "job_id": id, "offset": 9, "complete": true }));
}

#[tokio::test]
async fn each_path_goes_to_a_model_of_its_task_on_a_worker_that_takes_requests() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let _old = ScriptedWorker::join(&router, &one_model(2)).await;
    let refused = client.send_json("/v1/embeddings", "{}").response().await;
    let (status, body): (u16, Value) = (refused.status().as_u16(), refused.json().await.unwrap());
    assert_eq!((status, &body["error"]["param"]), (400, &json!("/v1/embeddings")));

    let mut worker = ScriptedWorker::join(&router, &with_requests()).await;
    for (path, engine, model) in [
        ("/v1/embeddings", "/v1/embeddings", "vectors-q8_0"),
        ("/api/openai/v1/completions", "/v1/completions", "chat-q8_0"),
        ("/v1/messages/count_tokens", "/v1/messages/count_tokens", "chat-q8_0"),
        ("/api/anthropic/v1/messages", "/v1/messages", "chat-q8_0"),
        ("/tokenize", "/tokenize", "chat-q8_0"),
    ] {
        let request = client.send_json(path, "{}");
        let (job, _) = worker.payload().await;
        assert_eq!((&job["request"]["http"]["path"], &job["model"]), (&json!(engine), &json!(model)), "{path}");
        let error = json!({ "type": "error", "job_id": job["job_id"], "error": "no", "status": 503, "retry_after": 2 });
        worker.send(error).await;
        let response = request.response().await;
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"2".parse().unwrap()));
        let body: Value = response.json().await.unwrap();
        let kind = if engine.starts_with("/v1/messages") { "overloaded_error" } else { "server_error" };
        assert_eq!((&body["error"]["message"], &body["error"]["type"]), (&json!("no"), &json!(kind)));
    }
    let wrong = client.send_json("/v1/rerank", r#"{"model":"chat-q8_0"}"#).response().await;
    let body: Value = wrong.json().await.unwrap();
    assert_eq!(body["error"]["message"], "cannot rerank with model `chat-q8_0`: it is for chat");
    for body in ["", "[", r#"{"model":"#] {
        assert_eq!(client.send_json("/v1/completions", body).response().await.status(), 400, "{body}");
    }
}

#[tokio::test]
async fn what_can_be_read_of_an_engine_is_read_by_the_model_of_the_query() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &with_requests()).await;
    for (method, path, model) in [
        ("GET", "/props?model=Vectors%20q8_0", "vectors-q8_0"),
        ("GET", "/slots", "chat-q8_0"),
        ("GET", "/lora-adapters?model=chat", "chat-q8_0"),
        ("HEAD", "/props?model=chat", "chat-q8_0"),
        ("POST", "/lora-adapters?model=vectors", "vectors-q8_0"),
    ] {
        let mut request = client.request(method, path).bearer_auth(crate::support::API_KEY);
        if method == "POST" {
            // The name in the target wins.
            request = request.body(r#"{"model":"chat-q8_0"}"#);
        }
        let mut asked = tokio::task::JoinSet::from_iter([request.send()]);
        let (job, _) = worker.payload().await;
        let http = &job["request"]["http"];
        assert_eq!((&http["method"], &http["path"], &job["model"]), (&json!(method), &json!(path), &json!(model)));
        let id = job["job_id"].as_str().unwrap();
        worker.head(id, "a", 200, "application/json").await;
        let body = if method == "HEAD" { "" } else { "[]" };
        worker.data(id, 0, body.as_bytes()).await;
        worker.send(json!({ "type": "complete", "job_id": id, "length": body.len() })).await;
        let response = within_deadline("an answer", asked.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-auxot-provider"]),
            (200, &"gpu".parse().unwrap())
        );
        assert_eq!(within_deadline("a body", response.text()).await.unwrap(), body, "{method} {path}");
        assert_eq!(worker.receive().await["type"], "answer_read");
    }
    for (method, path) in [("POST", "/props"), ("GET", "/v1/embeddings"), ("DELETE", "/slots")] {
        let refused = client.request(method, path).bearer_auth(crate::support::API_KEY).send();
        assert_eq!(within_deadline("a refusal", refused).await.unwrap().status(), 405, "{method} {path}");
    }
    let keyless = client.get("/props?model=chat").send();
    assert_eq!(within_deadline("a refusal", keyless).await.unwrap().status(), 401);
}

/// The worker keeps its answer: it sends what the router may not have, and the router skips what it has.
#[tokio::test]
async fn an_answer_goes_on_over_another_connection_and_each_byte_comes_once() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &with_requests()).await;
    let request = client.send_json("/v1/completions", "{}");
    let (job, _) = worker.payload().await;
    let id = job["job_id"].as_str().unwrap().to_owned();
    worker.head(&id, "a", 200, "text/plain").await;
    worker.data(&id, 0, b"first").await;
    let mut response = request.response().await;
    assert_eq!(&within_deadline("a part", response.chunk()).await.unwrap().unwrap()[..], b"first");
    worker.drop_connection();

    let mut again = ScriptedWorker::join(&router, &with_requests()).await;
    let (same, _) = again.payload().await;
    assert_eq!(same["job_id"], json!(id));
    again.head(&id, "a", 200, "text/plain").await;
    again.data(&id, 3, b"st, second").await;
    again.send(json!({ "type": "complete", "job_id": id, "length": 13 })).await;
    assert_eq!(within_deadline("the rest", response.text()).await.unwrap(), ", second");
}

#[tokio::test]
async fn an_answer_that_is_broken_never_looks_whole() {
    let router = start(config()).await;
    let client = Client::new(&router);
    // What the second worker sends: another answer, a gap, an end too early.
    for (kind, answer, offset, length) in [
        ("text/plain", "b", 0, 9),
        ("text/event-stream", "b", 0, 9),
        ("text/plain", "a", 13, 16),
        ("text/plain", "a", 9, 99),
    ] {
        let mut worker = ScriptedWorker::join(&router, &with_requests()).await;
        let request = client.send_json("/v1/messages", r#"{"stream":true}"#);
        let (job, _) = worker.payload().await;
        let id = job["job_id"].as_str().unwrap().to_owned();
        worker.head(&id, "a", 200, kind).await;
        worker.data(&id, 0, b"data: x\n\n").await;
        let mut response = request.response().await;
        assert_eq!(&within_deadline("a part", response.chunk()).await.unwrap().unwrap()[..], b"data: x\n\n");
        worker.drop_connection();
        let mut again = ScriptedWorker::join(&router, &with_requests()).await;
        again.payload().await;
        again.head(&id, answer, 200, kind).await;
        again.data(&id, offset, b"data: y\n\n").await;
        again.send(json!({ "type": "complete", "job_id": id, "length": length })).await;
        let rest = within_deadline("the rest", response.text()).await;
        if kind == "text/event-stream" {
            let rest = rest.unwrap();
            assert!(rest.starts_with("event: error\ndata: {\"type\":\"error\""), "{rest}");
        } else {
            rest.unwrap_err();
        }
        again.drop_connection();
    }
}

/// A client that reads nothing holds the worker back: it hears how far the client has read, and nothing before.
#[tokio::test]
async fn the_worker_hears_how_far_the_client_has_read() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &with_requests()).await;
    let request = client.send_json("/v1/completions", "{}");
    let (job, _) = worker.payload().await;
    let id = job["job_id"].as_str().unwrap().to_owned();
    let part = vec![b'x'; 64 * 1024];
    worker.head(&id, "a", 200, "text/plain").await;
    worker.data(&id, 0, &part).await;
    let mut response = request.response().await;
    let mut taken = 0;
    while taken < part.len() {
        taken += within_deadline("a part", response.chunk()).await.unwrap().unwrap().len();
    }
    assert_eq!(worker.receive().await, json!({ "type": "answer_read", "job_id": id, "offset": part.len() }));
    drop(response);
    assert_eq!(worker.receive().await, json!({ "type": "cancel", "job_id": id }));
}
