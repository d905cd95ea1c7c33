//! Models of each task, names, and a swap, with the real engine.

use serde_json::json;

use super::bytes::real;
use super::client::Client;

#[tokio::test]
async fn each_endpoint_goes_to_a_model_that_is_for_it() {
    let (_scratch, worker, address) = real(&["tiny-script-f16", "tiny-embed-f16"], &[]).await;
    let named =
        Client::post(&address, "/v1/embeddings", r#"{"input":"hello","model":"tiny-embed"}"#).await.whole().await;
    assert_eq!(named.status, 200, "{}", named.text());
    let unnamed = Client::post(&address, "/v1/embeddings", r#"{"input":"hello"}"#).await.whole().await;
    assert_eq!(named.json()["data"][0]["embedding"], unnamed.json()["data"][0]["embedding"]);
    let chat =
        Client::post(&address, "/v1/chat/completions", r#"{"messages":[],"model":"tiny-embed"}"#).await.whole().await;
    assert_eq!((chat.status, &chat.json()["error"]["code"]), (400, &json!("model_not_supported")));
    let tokens =
        Client::post(&address, "/tokenize?model=tiny-embed", r#"{"content":"hello there"}"#).await.whole().await;
    assert!(tokens.status == 200 && tokens.json()["tokens"].is_array(), "{}", tokens.text());
    let labels = ["model=\"tiny-embed-f16\"", "door=\"gateway\"", "ending=\"completed\""];
    worker.metric_until("auxot_worker_jobs_total", &labels, |count| count == 3.0).await;
}

#[tokio::test]
async fn a_model_is_named_in_the_body_the_query_or_the_path_and_by_each_of_its_names() {
    let aliases = [("AUXOT_CATALOG__ALIASES", "gpt-4o=tiny-tool")];
    let (_scratch, _worker, address) = real(&["tiny-script-f16", "tiny-tool-f16"], &aliases).await;
    let chat = |model: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}]{model}}}"#);
    for (path, more, model) in [
        ("/v1/chat/completions", "", "tiny-script-f16"),
        ("/v1/chat/completions", r#","model":"gpt-4o""#, "tiny-tool-f16"),
        ("/v1/chat/completions", r#","model":"Tiny-Tool:F16""#, "tiny-tool-f16"),
        ("/v1/chat/completions", r#","model":"tiny-tool-f16:latest""#, "tiny-tool-f16"),
        ("/v1/chat/completions?model=gpt-4o", "", "tiny-tool-f16"),
        ("/models/gpt-4o/v1/chat/completions", r#","model":"tiny-script""#, "tiny-tool-f16"),
    ] {
        let answer = Client::post(&address, path, &chat(more)).await.whole().await;
        assert_eq!((answer.status, &answer.json()["model"]), (200, &json!(model)), "{path} {more}");
    }
}
