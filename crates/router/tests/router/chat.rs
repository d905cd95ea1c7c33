//! The chat API.

use std::time::Duration;

use auxot_router::Config;
use serde_json::json;

use crate::support::{API_KEY, Client, ScriptedWorker, config, one_model, start};

#[tokio::test]
async fn an_answer_streams_with_reasoning_calls_and_counts() {
    let router = start(config()).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).chat(&json!({
        "model": "Gemma-3-4B-it", "stream": true, "stream_options": { "include_usage": true },
        "messages": [{ "content": "hi", "role": "user" }], "temperature": 0, "max_completion_tokens": 7,
        "reasoning_effort": "low", "tools": [{ "type": "function", "function": { "name": "f" } }],
    }));
    let job = worker.receive().await;
    assert_eq!(job["messages"].to_string(), r#"[{"content":"hi","role":"user"}]"#, "as the client wrote it");
    assert_eq!(
        (&job["temperature"], &job["max_tokens"], &job["reasoning_effort"]),
        (&json!(0.0), &json!(7), &json!("low"))
    );
    assert_eq!(job["tools"][0]["function"]["name"], "f");
    let id = job["job_id"].as_str().unwrap();
    assert!(id.starts_with("chatcmpl-") && id.len() == 33);

    worker.send(json!({ "type": "token", "job_id": id, "token": "hm", "reasoning": true })).await;
    let mut events = request.events().await;
    let role = events.next().await.unwrap();
    assert_eq!(role["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert_eq!((&role["id"], &role["model"]), (&json!(id), &json!("gemma-3-4b-it")));
    assert_eq!(events.next().await.unwrap()["choices"][0]["delta"], json!({ "reasoning_content": "hm" }));
    worker.token(id, "A \"cat\"\n").await;
    events.until("A \"cat\"\n").await;
    worker.send(json!({ "type": "tool_generating", "job_id": id })).await;
    worker.send(json!({ "type": "prompt_progress", "job_id": id, "total": 1, "cached": 0, "processed": 1 })).await;
    worker
        .send(json!({
            "type": "complete", "job_id": id, "full_response": "A \"cat\"\n", "reasoning_content": "hm",
            "cache_tokens": 4, "input_tokens": 6, "output_tokens": 3,
            "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } }],
        }))
        .await;
    let call = events.next().await.unwrap();
    assert_eq!(call["choices"][0]["delta"]["tool_calls"][0]["function"]["name"], "f");
    assert_eq!(events.next().await.unwrap()["choices"][0]["finish_reason"], "tool_calls");
    let usage = events.next().await.unwrap();
    assert_eq!((&usage["usage"]["prompt_tokens"], &usage["usage"]["completion_tokens"]), (&json!(10), &json!(3)));
    assert_eq!(events.next().await, None);
    router.shutdown().await;
}

#[tokio::test]
async fn a_whole_answer_is_one_object_with_the_engines_finish_reason() {
    let router = start(config()).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).whole();
    let job = worker.job().await;
    worker.token(&job, "raw ").await;
    worker
        .send(json!({
            "type": "complete", "job_id": job, "full_response": "trimmed", "reasoning_content": "hm",
            "finish_reason": "length", "output_tokens": 1,
        }))
        .await;
    let (status, body) = request.json().await;
    assert_eq!((status, &body["object"]), (200, &json!("chat.completion")));
    assert_eq!(
        body["choices"][0],
        json!({
            "index": 0, "finish_reason": "length",
            "message": { "role": "assistant", "content": "trimmed", "reasoning_content": "hm" },
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_runs_one_job_for_each_slot() {
    let router = start(config()).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(3)).await;
    let client = Client::new(&router);
    let requests = [client.whole(), client.stream(), client.whole()];
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(worker.job().await);
    }
    let late = client.whole();
    router.wait_for(|now| now.active_jobs == 3 && now.waiting == 1).await;
    let (_, health) = client.get_json("/health").await;
    assert_eq!(health, json!({ "status": "ok", "workers": 1, "total_slots": 3, "active_jobs": 3, "available": 0 }));
    worker.expect_no_message().await;
    worker.complete(&jobs[1], "first").await;
    let fourth = worker.job().await;
    for job in [&jobs[0], &jobs[2], &fourth] {
        worker.complete(job, "others").await;
    }
    assert_eq!(late.json().await.0, 200);
    for request in requests {
        assert_eq!(request.response().await.status(), 200);
    }
    router.wait_for(|now| now.active_jobs == 0).await;
}

#[tokio::test]
async fn a_job_goes_to_the_worker_with_the_model_under_that_workers_name() {
    let router = start(config()).await;
    let many = json!({ "backend": "llama.cpp", "model": "a", "total_slots": 3, "models": [
        { "name": "a-q4_k_m", "state": "ready", "slots": 1 }, { "name": "b-q8_0", "state": "ready", "slots": 2 },
    ] });
    let mut first = ScriptedWorker::join(&router, &many).await;
    let mut second = ScriptedWorker::join(&router, &one_model(1)).await;
    let client = Client::new(&router);
    let ask = |model: &str| client.chat(&json!({ "model": model, "messages": [{ "role": "user", "content": "x" }] }));
    let (_b, _other) = (ask("B"), ask("gemma-3-4b-it"));
    let job = first.receive().await;
    assert_eq!((&job["type"], &job["model"]), (&json!("job"), &json!("b-q8_0")));
    assert_eq!(second.receive().await["model"], json!(null), "a worker that lists no models is not sent a name");

    let (_, list) = client.get_json("/v1/models").await;
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a-q4_k_m", "b-q8_0", "gemma-3-4b-it"]);
    assert_eq!(client.get_json("/v1/models/A").await.1["id"], "a-q4_k_m");
    assert_eq!(client.get_json("/v1/models/nope").await.0, 404);
    let (status, error) = ask("nope").json().await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("model_not_found")));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("nope") && message.contains("a-q4_k_m, b-q8_0, gemma-3-4b-it"), "{message}");
}

#[tokio::test]
async fn a_good_key_is_accepted_under_every_known_path() {
    let router = start(config()).await;
    let _worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let client = Client::new(&router);
    for path in ["/v1/models", "/api/openai/models", "/api/openai/v1/models", "/api/openai/v1/v1/models"] {
        assert_eq!(client.get_json(path).await.0, 200, "{path}");
    }
    for (header, expected) in [
        (format!("bearer {API_KEY}"), 200),
        (format!("BEARER  {API_KEY}"), 200),
        (format!("Basic {API_KEY}"), 401),
        ("Bearer rtr_wrong".to_owned(), 401),
        ("Bearer adm_scripted-worker".to_owned(), 401),
    ] {
        let response = client.get("/v1/models").header("authorization", &header).send().await.unwrap();
        assert_eq!(response.status(), expected, "{header}");
    }
    let bare = client.get("/v1/models").send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(
        bare.json::<serde_json::Value>().await.unwrap(),
        json!({ "error": { "message": "missing Bearer token", "type": "authentication_error", "param": null, "code": null } })
    );
    assert_eq!(client.get("/health").send().await.unwrap().status(), 200, "no key needed");
    assert_eq!(client.get_json("/nowhere").await.0, 404);
    assert_eq!(client.get_json("/v1/chat/completions").await.0, 405);
}

#[tokio::test]
async fn addresses_methods_and_cross_origin_requests_are_answered_as_clients_expect() {
    let router = start(config()).await;
    let client = Client::new(&router);
    for path in ["/v1/models/", "//v1//models", "/api/openai/v1/models/?x=1"] {
        assert_eq!(client.get_json(path).await.0, 200, "{path}");
    }
    let (status, body) = client.get_json("/v1/engines").await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("unknown_url")));
    let wrong = client.get("/v1/chat/completions").bearer_auth(API_KEY).send().await.unwrap();
    assert_eq!((wrong.status().as_u16(), &wrong.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(wrong.json::<serde_json::Value>().await.unwrap()["error"]["code"], "method_not_allowed");

    let asks = client
        .request("OPTIONS", "/v1/chat/completions")
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, content-type, x-stainless-os");
    let answer = asks.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.headers()["access-control-allow-headers"], "authorization, content-type, x-stainless-os");
    for key in [API_KEY, "rtr_wrong"] {
        let from_page = client.get("/v1/models").bearer_auth(key).header("origin", "https://page.example");
        assert_eq!(from_page.send().await.unwrap().headers()["access-control-allow-origin"], "*");
    }
}

#[tokio::test]
async fn a_bad_request_is_refused_without_quoting_it() {
    let router = start(config()).await;
    let client = Client::new(&router);
    for body in
        ["{\"messages\": \"my secret\"", "{}", "{\"messages\":[ ]}", "{\"messages\":[1],\"stream\":\"my secret\"}"]
    {
        let response = client.post("/v1/chat/completions").bearer_auth(API_KEY).body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
        let text = response.text().await.unwrap();
        assert!(text.contains("invalid_request_error") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_request_above_the_size_limit_is_refused() {
    let router = start(Config { max_message: 1000, ..config() }).await;
    let body = format!("{{\"messages\":[\"{}\"]}}", "x".repeat(1000));
    let request = Client::new(&router).post("/v1/chat/completions").bearer_auth(API_KEY).body(body);
    assert_eq!(request.send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn without_a_worker_even_a_streaming_client_gets_a_status() {
    let router = start(Config { job_timeout: Duration::from_millis(200), ..config() }).await;
    let client = Client::new(&router);
    for request in [client.whole(), client.stream()] {
        let response = request.response().await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(response.json::<serde_json::Value>().await.unwrap()["error"]["code"], "no_worker");
    }
    router.wait_for(|now| now.waiting == 0).await;
}

#[tokio::test]
async fn a_waiting_job_runs_when_a_worker_joins_and_the_queue_is_bounded() {
    let router = start(Config { max_waiting: 1, ..config() }).await;
    let client = Client::new(&router);
    let waiting = client.whole();
    router.wait_for(|now| now.waiting == 1).await;
    let (status, error) = client.whole().json().await;
    assert_eq!((status, &error["error"]["code"]), (503, &json!("overloaded")));
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let job = worker.job().await;
    worker.complete(&job, "at last").await;
    assert_eq!(waiting.json().await.1["choices"][0]["message"]["content"], "at last");
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_by_comments() {
    let router = start(Config { keep_alive: Duration::from_millis(20), ..config() }).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = Client::new(&router).stream();
    let job = worker.job().await;
    let mut events = request.events().await;
    worker.send(json!({ "type": "error", "job_id": job, "error": "engine gone" })).await;
    assert_eq!(events.next().await.unwrap()["error"]["message"], "engine gone");
    assert!(events.comments > 0, "the HTTP head came with a comment, before any text");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_turns_of_a_conversation_go_to_the_same_worker() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut one = ScriptedWorker::join(&router, &one_model(4)).await;
    let mut two = ScriptedWorker::join(&router, &one_model(4)).await;
    let mut messages = vec![json!({ "role": "system", "content": "be brief" })];
    let mut first = None;
    for turn in 0..4 {
        messages.push(json!({ "role": "user", "content": format!("question {turn}") }));
        let request = client.chat(&json!({ "messages": messages }));
        // Without the conversation each worker would get every second job.
        let (worker, job) = tokio::select! { job = one.job() => (1, job), job = two.job() => (2, job) };
        assert_eq!(*first.get_or_insert(worker), worker, "turn {turn}");
        if worker == 1 {
            one.complete(&job, "answer").await
        } else {
            two.complete(&job, "answer").await
        }
        assert_eq!(request.json().await.0, 200);
        messages.push(json!({ "role": "assistant", "content": "answer" }));
    }
}
