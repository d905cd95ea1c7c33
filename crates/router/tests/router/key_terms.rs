//! What a key may use, and how much: models, providers, requests and tokens in a minute, and requests at one time.

use auxot_router::keys::{KeyFile, KeyTerms, NewKeys};
use auxot_router::{CloudApi, Config, Keys, ProviderConfig, Router};
use serde_json::{Value, json};

use crate::cloud_server::CloudServer;
use crate::support::{Client, PendingResponse, ScriptedWorker, config, start, within_deadline};

const ANSWER: &str = r#"{"choices":[{"message":{"content":"from the cloud"}}]}"#;

/// A router with one API key for these terms.
pub(crate) struct Limited {
    _folder: tempfile::TempDir,
    router: Router,
    pub(crate) client: Client,
    worker_key: String,
    pub(crate) key: String,
}

impl Limited {
    pub(crate) async fn new(terms: KeyTerms, providers: Vec<ProviderConfig>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of_router(folder.path().join("keys"));
        let made = file.create("limited", &NewKeys::Pair(terms), None).unwrap();
        let keys = Keys::file(file.path().to_owned());
        let router = start(Config { keys, providers, ..config() }).await;
        let client = Client::new(&router);
        Self { _folder: folder, router, client, worker_key: made.worker.unwrap(), key: made.api.unwrap() }
    }

    async fn worker(&self, models: &[&str]) -> ScriptedWorker {
        let list: Vec<Value> =
            models.iter().map(|name| json!({ "name": name, "state": "ready", "slots": 4 })).collect();
        let capabilities = json!({ "backend": "llama.cpp", "model": models[0], "ctx_size": 4096, "models": list });
        let mut worker = ScriptedWorker::raw(&self.router).await;
        worker.send(json!({ "type": "hello", "gpu_key": self.worker_key, "capabilities": capabilities })).await;
        assert_eq!(worker.receive().await["success"], true);
        worker
    }

    fn ask(&self, path: &str, model: Option<&str>) -> PendingResponse {
        let mut body = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 5 });
        if let Some(model) = model {
            body["model"] = model.into();
        }
        self.client.send_as(&self.key, path, &body)
    }

    /// A chat that the worker answers.
    async fn answered_by(&self, worker: &mut ScriptedWorker) {
        let asked = self.ask("/v1/chat/completions", Some("m"));
        let job = worker.job().await;
        worker.complete(&job, "x").await;
        assert_eq!(asked.json().await.0, 200);
    }

    /// The body of a refusal that says when to come again.
    async fn refused_for_a_time(&self, path: &str) -> Value {
        let refused = self.ask(path, Some("m")).response().await;
        let seconds: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(refused.status() == 429 && (1..=60).contains(&seconds), "{seconds}");
        refused.json().await.unwrap()
    }

    async fn refusal(&self, path: &str, model: Option<&str>) -> (u16, Value) {
        self.ask(path, model).json().await
    }

    async fn models(&self) -> Vec<String> {
        let response = self.client.get("/v1/models").bearer_auth(&self.key).send();
        let list: Value = within_deadline("models", response).await.unwrap().json().await.unwrap();
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn models(names: &[&str]) -> KeyTerms {
    KeyTerms { models: Some(names.iter().map(ToString::to_string).collect()), ..KeyTerms::default() }
}

fn providers(names: &[&str]) -> KeyTerms {
    KeyTerms { providers: Some(names.iter().map(ToString::to_string).collect()), ..KeyTerms::default() }
}

#[tokio::test]
async fn a_key_sees_and_uses_its_models_only_by_any_of_their_names() {
    let limited = Limited::new(models(&["Qwen3 8B"]), Vec::new()).await;
    let mut worker = limited.worker(&["qwen3-8b-q4_k_m", "gemma-3-4b-q8_0"]).await;
    assert_eq!(limited.models().await, ["qwen3-8b-q4_k_m"]);
    for name in ["qwen3-8b", "qwen3-8b-q4_k_m"] {
        let asked = limited.ask("/v1/chat/completions", Some(name));
        let job = worker.job().await;
        worker.complete(&job, "x").await;
        assert_eq!(asked.json().await.0, 200, "{name}");
    }
    let (status, body) = limited.refusal("/v1/chat/completions", Some("gemma-3-4b")).await;
    let error = &body["error"];
    assert_eq!(
        (status, &error["type"], &error["code"]),
        (403, &json!("permission_error"), &json!("model_not_allowed"))
    );
    assert!(error["message"].as_str().unwrap().contains("Qwen3 8B"), "{body}");
    let (status, body) = limited.refusal("/v1/messages", Some("gemma-3-4b")).await;
    assert_eq!((status, &body["type"], &body["error"]["type"]), (403, &json!("error"), &json!("permission_error")));
    assert_eq!(limited.refusal("/v1/chat/completions", None).await.0, 403, "any model may be another one");
    let (status, body) = limited.refusal("/v1/chat/completions", Some("qwen3-8b-q8_0")).await;
    assert!(!body.to_string().contains("gemma"), "{status} {body}");
    let one = limited.client.get("/v1/models/gemma-3-4b").bearer_auth(&limited.key).send();
    assert_eq!(within_deadline("a model", one).await.unwrap().status(), 404);
    worker.expect_no_message().await;
}

#[tokio::test]
async fn a_name_that_comes_to_mean_another_model_is_refused_then() {
    let limited = Limited::new(models(&["qwen3-8b-q4_k_m"]), Vec::new()).await;
    let asked = limited.ask("/v1/chat/completions", Some("qwen3-8b"));
    limited.router.wait_for(|summary| summary.waiting == 1).await;
    let mut worker = limited.worker(&["qwen3-8b-q8_0"]).await;
    assert_eq!(asked.json().await.0, 403);
    worker.send(json!({ "type": "heartbeat" })).await;
    while worker.receive().await["type"] != "heartbeat_ack" {}
}

#[tokio::test]
async fn nothing_leaves_for_a_provider_that_the_key_does_not_name() {
    let cloud = CloudServer::start().await;
    let far = || vec![cloud.provider("far", CloudApi::OpenAi)];
    let near = Limited::new(KeyTerms::workers_only(), far()).await;
    assert_eq!(near.models().await, [""; 0]);
    let (status, body) = near.refusal("/v1/chat/completions", Some("m")).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("provider_not_allowed")));
    assert!(body["error"]["message"].as_str().unwrap().contains("`far`"), "{body}");
    let mut worker = near.worker(&["m"]).await;
    let asked = near.ask("/v1/chat/completions", Some("m"));
    let job = worker.job().await;
    worker.send(json!({ "type": "error", "job_id": job, "error": "engine gone" })).await;
    assert_eq!(asked.json().await.0, 500, "no other provider gets it");
    cloud.expect_no_request();

    let both = Limited::new(providers(&["gpu", "far"]), far()).await;
    let asked = both.ask("/v1/chat/completions", Some("m"));
    cloud.request().await.json(200, ANSWER).await;
    assert_eq!(asked.response().await.headers()["x-auxot-provider"], "far");
}

#[tokio::test]
async fn a_body_names_one_model() {
    let cloud = CloudServer::start().await;
    let limited = Limited::new(models(&["m"]), vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    for names in [r#""model":"dear","model":"m""#, r#""model":"m","Model":"dear""#, r#""MODEL":"dear""#] {
        let body = format!(r#"{{{names},"messages":[{{"role":"user","content":"hi"}}]}}"#);
        for path in ["/v1/chat/completions", "/v1/completions?model=m", "/v1/messages?model=m"] {
            let post = limited.client.request("POST", path).bearer_auth(&limited.key).body(body.clone());
            let response = within_deadline("a refusal", post.send()).await.unwrap();
            assert_eq!(response.status(), 400, "{path} {names}");
            let refused: Value = response.json().await.unwrap();
            assert!(refused["error"]["message"].as_str().unwrap().contains("one field `model`"), "{refused}");
        }
    }
    cloud.expect_no_request();
    let asked = limited.ask("/v1/chat/completions?model=m&beta=1", Some("dear"));
    let request = cloud.request().await;
    assert!(request.head.starts_with("POST /base/v1/chat/completions?beta=1 HTTP"), "{}", request.head);
    assert_eq!(request.body["model"], "own");
    request.json(200, ANSWER).await;
    assert_eq!(asked.json().await.0, 200);
}

#[tokio::test]
async fn the_type_of_a_body_hides_no_model() {
    let cloud = CloudServer::start().await;
    let limited = Limited::new(models(&["m"]), vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    for kind in ["text/plain", "Application/JSON", "multipart/form-data; boundary=x"] {
        let body = r#"{"model":"another","messages":[{"role":"user","content":"hi"}]}"#;
        let post = limited.client.request("POST", "/v1/chat/completions?model=m").bearer_auth(&limited.key);
        let answered = post.header("content-type", kind).body(body).send();
        let answering = async {
            let asked = cloud.request().await;
            assert_eq!(asked.body["model"], "own", "{kind}");
            asked.json(200, ANSWER).await;
        };
        let (answered, ()) = within_deadline("an answer", async { tokio::join!(answered, answering) }).await;
        assert_eq!(answered.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_key_for_a_cloud_only_leaves_the_workers_alone() {
    let cloud = CloudServer::start().await;
    let limited = Limited::new(providers(&["far"]), vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let mut worker = limited.worker(&["m", "other"]).await;
    assert_eq!(limited.models().await, ["m"]);
    let asked = limited.ask("/v1/chat/completions", Some("m"));
    cloud.request().await.json(200, ANSWER).await;
    assert_eq!(asked.response().await.headers()["x-auxot-provider"], "far");
    let (status, body) = limited.refusal("/v1/chat/completions", Some("other")).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("provider_not_allowed")));
    worker.expect_no_message().await;
}

#[tokio::test]
async fn a_limit_answers_429_with_a_time_until_a_request_has_ended() {
    let limited = Limited::new(KeyTerms { max_parallel: Some(1), ..KeyTerms::default() }, Vec::new()).await;
    let mut worker = limited.worker(&["m"]).await;
    let first = limited.ask("/v1/chat/completions", Some("m"));
    let job = worker.job().await;
    let second = limited.ask("/v1/chat/completions", Some("m")).response().await;
    assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    let (status, body) = limited.refusal("/v1/messages", Some("m")).await;
    assert_eq!((status, &body["error"]["type"]), (429, &json!("rate_limit_error")));
    worker.complete(&job, "x").await;
    assert_eq!(first.json().await.0, 200);
    let third = limited.ask("/v1/chat/completions", Some("m"));
    let job = worker.job().await;
    worker.complete(&job, "x").await;
    assert_eq!(third.json().await.0, 200);
}

#[tokio::test]
async fn requests_of_a_minute_are_limited() {
    let limited = Limited::new(KeyTerms { requests_per_minute: Some(2), ..KeyTerms::default() }, Vec::new()).await;
    let mut worker = limited.worker(&["m"]).await;
    for _ in 0..2 {
        limited.answered_by(&mut worker).await;
    }
    let body = limited.refused_for_a_time("/v1/chat/completions").await;
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    assert_eq!(limited.models().await, ["m"], "a list is no request for a model");
}

#[tokio::test]
async fn tokens_of_a_minute_are_limited() {
    let limited = Limited::new(KeyTerms { tokens_per_minute: Some(7), ..KeyTerms::default() }, Vec::new()).await;
    let mut worker = limited.worker(&["m"]).await;
    for _ in 0..2 {
        // Six tokens.
        limited.answered_by(&mut worker).await;
    }
    let body = limited.refused_for_a_time("/v1/messages").await;
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!("rate_limit_error")));
    assert!(body["error"]["message"].as_str().unwrap().contains("7 tokens in a minute"), "{body}");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_end_has_used_what_has_come() {
    let limited = Limited::new(KeyTerms { tokens_per_minute: Some(7), ..KeyTerms::default() }, Vec::new()).await;
    let mut worker = limited.worker(&["m"]).await;
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "stream": true });
    let asked = limited.client.send_as(&limited.key, "/v1/chat/completions", &body);
    let job = worker.job().await;
    worker.token(&job, "some forty bytes, which are ten tokens..").await;
    let mut events = asked.events().await;
    events.until("some forty bytes, which are ten tokens..").await;
    drop(events);
    assert_eq!(worker.receive().await["type"], "cancel");
    assert_eq!(limited.refusal("/v1/chat/completions", Some("m")).await.0, 429);
}

#[tokio::test]
async fn a_bad_key_is_refused_in_the_form_of_the_api_and_a_good_one_comes_in_either_field() {
    let limited = Limited::new(KeyTerms::default(), Vec::new()).await;
    let bad = |path: &str| limited.client.send_as("rtr_wrong", path, &json!({})).json();
    let (status, body) = bad("/v1/messages").await;
    assert_eq!((status, &body["type"], &body["error"]["type"]), (401, &json!("error"), &json!("authentication_error")));
    let (status, body) = bad("/api/anthropic/v1/messages/count_tokens").await;
    assert_eq!((status, &body["type"]), (401, &json!("error")));
    let (status, body) = bad("/v1/chat/completions").await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("invalid_api_key")));
    let asked = limited.client.get("/v1/models").header("x-api-key", &limited.key).send();
    assert_eq!(within_deadline("models", asked).await.unwrap().status(), 200);
}
