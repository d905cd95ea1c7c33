//! The requested model runs the job, and the answer has its name.

use serde_json::{Value, json};

use crate::support::{Client, ScriptedWorker, config, start, within_deadline};

fn listed(models: &[(&str, &str, &str)]) -> Value {
    let models: Vec<Value> = models
        .iter()
        .map(|(name, state, task)| json!({ "name": name, "state": state, "slots": 4, "capabilities": [task] }))
        .collect();
    json!({ "backend": "llama.cpp", "model": "qwen", "ctx_size": 4096, "total_slots": 4, "models": models,
            "aliases": [{ "name": "gpt-4o", "model": "qwen-q4_k_m" }] })
}

fn ask(model: Option<&str>) -> Value {
    let mut request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    if let Some(model) = model {
        request["model"] = json!(model);
    }
    request
}

#[tokio::test]
async fn the_requested_model_runs_and_the_answer_names_it() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(
        &router,
        &listed(&[
            ("qwen-q4_k_m", "ready", "chat"),
            ("qwen-q8_0", "stopped", "chat"),
            ("a-damaged-q4_0", "failed", "chat"),
            ("embedder", "ready", "embedding"),
        ]),
    )
    .await;
    for (asked, runs) in [
        (Some("qwen-q8_0"), "qwen-q8_0"),
        (Some("QWEN.Q4KM"), "qwen-q4_k_m"),
        (Some("GPT 4o"), "qwen-q4_k_m"),
        (Some("qwen-q8_0:latest"), "qwen-q8_0"),
        (Some("qwen:q8_0"), "qwen-q8_0"),
        (Some("gpt-4o:latest"), "qwen-q4_k_m"),
        (None, "qwen-q4_k_m"),
    ] {
        for stream in [false, true] {
            let mut request = ask(asked);
            request["stream"] = json!(stream);
            let request = client.chat(&request);
            let job = worker.receive().await;
            assert_eq!((&job["type"], &job["model"]), (&json!("job"), &json!(runs)), "{asked:?}");
            worker.complete(job["job_id"].as_str().unwrap(), "x").await;
            let named = if stream {
                request.events().await.next().await.unwrap()["model"].clone()
            } else {
                request.json().await.1["model"].clone()
            };
            assert_eq!(named, json!(runs), "{asked:?}");
        }
    }
    let refused = async |model: &str| {
        let (status, body) = client.chat(&ask(Some(model))).json().await;
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned(), body["error"]["message"].to_string())
    };
    assert_eq!(refused("qwen-q6_k").await.0, 404);
    let (status, code, message) = refused("qwen").await;
    assert_eq!((status, code.as_str()), (400, "ambiguous_model"));
    assert!(message.contains("qwen-q4_k_m, qwen-q8_0"), "{message}");
    assert_eq!(refused("embedder").await.1, "unsupported_model");
    assert_eq!(refused("a-damaged").await.1, "model_failed");
    worker.expect_no_message().await;

    let (_, list) = client.get_json("/v1/models").await;
    let names: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["qwen-q4_k_m", "qwen-q8_0"], "only models that can answer a chat");
    assert_eq!(client.get_json("/v1/models/Qwen-Q8-0").await.1["id"], "qwen-q8_0");
    assert_eq!(client.get_json("/v1/models/qwen-q8_0:latest").await.1["id"], "qwen-q8_0");
    for several in ["/v1/models/qwen", "/v1/models/qwen:latest"] {
        assert_eq!(client.get_json(several).await.0, 400);
    }
    assert_eq!(client.get_json("/v1/models/a-damaged-q4_0").await.0, 404);
}

#[tokio::test]
async fn a_chat_without_a_model_name_is_refused_at_once_where_no_model_can_chat() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let embedders = listed(&[("embedder", "ready", "embedding"), ("sorter", "stopped", "rerank")]);
    let worker = ScriptedWorker::join(&router, &embedders).await;
    for stream in [false, true] {
        let mut request = ask(None);
        request["stream"] = json!(stream);
        let response = client.chat(&request).response().await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-should-retry"]),
            (400, &"false".parse().unwrap())
        );
        let error = response.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!((&error["code"], &error["param"]), (&json!("unsupported_model"), &json!("model")), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("embedder (embedding), sorter (rerank)"), "{message}");
    }
    let mut failed = ScriptedWorker::join(&router, &listed(&[("broken", "failed", "chat")])).await;
    let (status, error) = client.chat(&ask(None)).json().await;
    assert_eq!((status, &error["error"]["code"]), (503, &json!("model_failed")));

    // A model that is loading is waited for, and so is one whose worker left a moment ago.
    let loading = json!({ "type": "config", "capabilities": listed(&[("broken", "starting", "chat")]) });
    failed.send(loading).await;
    assert_eq!(failed.receive().await["type"], "config_ack");
    let waits = client.chat(&ask(None));
    let job = failed.job().await;
    failed.complete(&job, "x").await;
    assert_eq!(waits.json().await.0, 200);
    failed.drop_connection();
    within_deadline("the end of a link", router.wait_for(|summary| summary.workers == 1)).await;
    let waits = client.chat(&ask(None));
    let mut back = ScriptedWorker::join(&router, &listed(&[("broken", "ready", "chat")])).await;
    let job = back.job().await;
    back.complete(&job, "x").await;
    assert_eq!(waits.json().await.0, 200);
    drop(worker);
}

#[tokio::test]
async fn parameters_are_refused_at_once_if_no_worker_with_a_chat_model_supports_them() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut embedders = listed(&[("embedder", "ready", "embedding")]);
    embedders["extensions"] = json!(["parameters"]);
    let _embedder = ScriptedWorker::join(&router, &embedders).await;
    let _plain = ScriptedWorker::join(&router, &listed(&[("qwen", "ready", "chat")])).await;
    let mut request = ask(None);
    request["seed"] = json!(7);
    let (status, error) = client.chat(&request).json().await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("seed")), "{error}");
}
