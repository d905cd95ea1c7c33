//! Chats: whole requests where the worker takes them, and chat jobs where it does not.

use std::time::Duration;

use auxot_router::Config;
use serde_json::{Value, json};

use crate::support::{Client, ScriptedWorker, config, one_model, start, within_deadline};

const PATH: &str = "/v1/chat/completions";
const STREAM: &str = r#"{"messages":[{"role":"user","content":"hi"}],"stream":true}"#;
const WHOLE: &str = r#"{"messages":[{"role":"user","content":"hi"}]}"#;

fn takes_requests() -> Value {
    let mut capabilities = one_model(2);
    capabilities["extensions"] = json!(["requests"]);
    capabilities
}

#[tokio::test]
async fn a_worker_that_takes_requests_gets_the_chat_as_it_came_and_the_client_its_answer() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &takes_requests()).await;
    // Fields that no chat job has, one that only an engine can refuse, and a URL that is for the worker to allow.
    let body = r#"{ "messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://h/x"}}]}], "n": 2,
        "made_up": [1], "temperature": "warm" }"#;
    for path in [PATH, "/api/openai/chat/completions"] {
        let request = client.send_json(path, body);
        let (job, payload) = worker.payload().await;
        assert_eq!((payload.as_str(), &job["request"]["http"]["path"]), (body, &json!(PATH)));
        assert!(job.get("messages").is_none_or(Value::is_null), "{job}");
        let id = job["job_id"].as_str().unwrap();
        worker.head(id, "a", 400, "application/json").await;
        worker.data(id, 0, b"{\"error\": {\"message\":\"warm?\"}}").await;
        worker.send(json!({ "type": "complete", "job_id": id, "length": 30 })).await;
        let response = request.response().await;
        assert_eq!(response.status(), 400);
        assert_eq!(within_deadline("a body", response.text()).await.unwrap(), r#"{"error": {"message":"warm?"}}"#);
        assert_eq!(worker.receive().await["type"], "answer_read");
    }
}

#[tokio::test]
async fn each_worker_gets_a_chat_in_the_form_that_it_takes() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut old = ScriptedWorker::join(&router, &one_model(1)).await;
    let many = r#"{"messages":[{"role":"user","content":"hi"}],"n":2}"#;
    let refused: Value = client.send_json(PATH, many).response().await.json().await.unwrap();
    assert_eq!(refused["error"]["param"], "n");

    // The old worker has the only slot that is free, then the new one.
    let first = client.send_json(PATH, WHOLE);
    let of_old = old.job().await;
    let mut new = ScriptedWorker::join(&router, &takes_requests()).await;
    let second = client.send_json(PATH, many);
    let (of_new, payload) = new.payload().await;
    assert_eq!(payload, many);
    old.complete(&of_old, "old").await;
    let (status, answer) = first.json().await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!("old")));
    new.send(json!({ "type": "error", "job_id": of_new["job_id"], "error": "no", "status": 503 })).await;
    assert_eq!(second.response().await.status(), 503);
}

/// The worker that has the job decides the form, as long as the client has nothing.
#[tokio::test]
async fn a_lost_chat_goes_on_in_the_other_form() {
    let router = start(config()).await;
    let client = Client::new(&router);
    for body in [WHOLE, STREAM] {
        let mut old = ScriptedWorker::join(&router, &one_model(1)).await;
        let busy = client.whole();
        let of_old = old.job().await;
        let mut new = ScriptedWorker::join(&router, &takes_requests()).await;
        let request = client.send_json(PATH, body);
        let (job, _) = new.payload().await;
        let id = job["job_id"].as_str().unwrap().to_owned();
        new.drop_connection();
        old.complete(&of_old, "done").await;
        assert_eq!(busy.json().await.0, 200);
        let again = old.receive().await;
        assert_eq!((&again["job_id"], &again["messages"][0]["content"]), (&json!(id), &json!("hi")));
        old.token(&id, "from the old one").await;
        old.complete(&id, "from the old one").await;
        if body == WHOLE {
            let (_, answer) = request.json().await;
            assert_eq!(answer["choices"][0]["message"]["content"], "from the old one");
        } else {
            assert_eq!(request.events().await.rest().await.0, "from the old one");
        }
        old.drop_connection();
    }
}

#[tokio::test]
async fn a_stream_is_kept_open_by_comments_until_the_engine_answers() {
    let router = start(Config { keep_alive: Duration::from_millis(20), ..config() }).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &takes_requests()).await;
    let anthropic = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"too long\",\"code\":null}}\n\n";
    for (path, status, kind, sent, got) in [
        (PATH, 200, "text/event-stream", "data: 1\n\ndata: [DONE]\n\n", "data: 1\n\ndata: [DONE]\n\n"),
        (
            PATH,
            400,
            "application/json",
            r#"{"error":{"message":"too long"}}"#,
            "data: {\"error\":{\"message\":\"too long\"}}\n\n",
        ),
        ("/v1/messages", 400, "application/json", r#"{"error":{"message":"too long"}}"#, anthropic),
    ] {
        let request = client.send_json(path, STREAM);
        let (job, _) = worker.payload().await;
        let mut response = request.response().await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        let comment = within_deadline("a comment", response.chunk()).await.unwrap().unwrap();
        assert!(comment.starts_with(b": "), "{comment:?}");
        let id = job["job_id"].as_str().unwrap();
        worker.head(id, "a", status, kind).await;
        worker.data(id, 0, sent.as_bytes()).await;
        worker.send(json!({ "type": "complete", "job_id": id, "length": sent.len() })).await;
        let rest = within_deadline("the rest", response.text()).await.unwrap();
        assert_eq!(rest.replace(": keep-alive\n\n", ""), got);
        assert_eq!(worker.receive().await["type"], "answer_read");
    }
    // The job fails before the engine answers.
    let request = client.send_json(PATH, STREAM);
    let (job, _) = worker.payload().await;
    let mut events = request.events().await;
    worker.send(json!({ "type": "error", "job_id": job["job_id"], "error": "engine gone" })).await;
    assert_eq!(events.next().await.unwrap()["error"]["message"], "engine gone");
    assert!(events.comments > 0);
}
