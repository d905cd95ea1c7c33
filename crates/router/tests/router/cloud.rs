//! A provider that is a cloud: what it gets, and what its faults become for the client.

use std::time::Duration;

use auxot_router::{BackendConfig, CloudApi, Config, ProviderConfig, Router};
use serde_json::{Value, json};

use crate::cloud_server::CloudServer;
use crate::support::{API_KEY, Client, PendingResponse, config, start, within_deadline};

const ANSWER: &str = r#"{"choices":[{"message":{"content":"from the cloud"}}],"model":"own"}"#;
const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n";

pub(crate) async fn with(providers: Vec<ProviderConfig>) -> (Router, Client) {
    let router = start(Config { providers, ..config() }).await;
    let client = Client::new(&router);
    (router, client)
}

pub(crate) fn ask(client: &Client, stream: bool) -> PendingResponse {
    client.chat(&json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": "hi" }] }))
}

fn provider_of(response: &reqwest::Response) -> &str {
    response.headers().get("x-auxot-provider").map_or("-", |name| name.to_str().unwrap())
}

#[tokio::test]
async fn it_gets_the_request_under_its_own_name_of_the_model_with_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "sk-of-the-cloud\n").unwrap();
    let cloud = CloudServer::start().await;
    let mut provider = cloud.provider("far", CloudApi::OpenAi);
    if let BackendConfig::Cloud(config) = &mut provider.backend {
        config.key_file = Some(key_file.clone());
    }
    let (_router, client) = with(vec![provider]).await;
    assert_eq!(client.get_json("/v1/models").await.1["data"][0]["id"], "m");
    assert_eq!(client.get_json("/v1/models/m").await.0, 200);

    let asked = client.send_json("/api/openai/chat/completions", r#"{"model":"m","n":2,"messages":[{}]}"#);
    let request = cloud.request().await;
    assert!(request.head.starts_with("POST /base/v1/chat/completions HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains("authorization: Bearer sk-of-the-cloud\r\n"), "{}", request.head);
    for private in ["cookie", "traceparent", "rtr_"] {
        assert!(!request.head.contains(private), "{}", request.head);
    }
    assert_eq!(request.body, json!({ "model": "own", "n": 2, "messages": [{}] }));
    request.answer(200, "content-type: application/json\r\nx-request-id: r1\r\nset-cookie: a=b\r\n", ANSWER).await;
    let response = asked.response().await;
    assert_eq!((response.status().as_u16(), provider_of(&response)), (200, "far"));
    assert_eq!(
        (&response.headers()["x-request-id"], response.headers().get("set-cookie")),
        (&"r1".parse().unwrap(), None)
    );
    assert_eq!(within_deadline("a body", response.text()).await.unwrap(), ANSWER);

    // A key that is changed is the key of the next request.
    std::fs::write(&key_file, "sk-changed").unwrap();
    let asked = ask(&client, true);
    let mut request = cloud.request().await;
    assert!(request.head.contains("Bearer sk-changed\r\n"), "{}", request.head);
    request.events(EVENTS).await;
    let mut events = asked.events().await;
    events.until("one").await;
    request.chunk("data: [DONE]\n\n").await;
    request.end().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_cloud_of_anthropics_api_gets_its_paths_and_no_others() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::Anthropic)]).await;
    let waiting = ask(&client, false);
    within_deadline("a chat of OpenAI's API waits", router.wait_for(|summary| summary.waiting == 1)).await;
    drop(waiting);
    let asked = client.send_json("/v1/messages?beta=true", r#"{"model":"m","stream":true,"messages":[{}]}"#);
    let mut request = cloud.request().await;
    assert!(request.head.starts_with("POST /base/v1/messages?beta=true HTTP/1.1\r\n"), "{}", request.head);
    assert!(request.head.contains("anthropic-version: 2023-06-01\r\n"), "{}", request.head);
    request.events("event: message_start\ndata: {\"type\":\"message_start\"}\n\n").await;
    let response = asked.response().await;
    // The stream breaks off.
    drop(request);
    let text = within_deadline("the rest", response.text()).await.unwrap();
    assert_eq!(text.matches("event: error\n").count(), 1, "{text}");
    assert!(text.contains(r#""message":"provider `far` has broken off its answer""#), "{text}");
}

#[tokio::test]
async fn a_cloud_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    let (busy, next) = (CloudServer::start().await, CloudServer::start().await);
    let providers = vec![busy.provider("busy", CloudApi::OpenAi), next.provider("next", CloudApi::OpenAi)];
    let (_router, client) = with(providers).await;
    for round in 0..2 {
        let asked = ask(&client, false);
        if round == 0 {
            busy.request().await.answer(429, "retry-after: 600\r\n", "{}").await;
        }
        next.request().await.json(200, ANSWER).await;
        let response = asked.response().await;
        assert_eq!((response.status().as_u16(), provider_of(&response)), (200, "next"));
    }
    busy.expect_no_request();

    // The last one refuses: its client hears when to come back, and so does the next one.
    let asked = ask(&client, false);
    next.request().await.answer(429, "retry-after: 90\r\n", "{}").await;
    let response = asked.response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"90".parse().unwrap()));
    let response = ask(&client, false).response().await;
    assert_eq!(response.status(), 503);
    let seconds: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=90).contains(&seconds), "{seconds}");
    next.expect_no_request();
}

#[tokio::test]
async fn what_comes_before_the_first_byte_is_a_refusal() {
    let (bad, next) = (CloudServer::start().await, CloudServer::start().await);
    let html = ("content-type: text/html\r\n", "<html>");
    let events = "content-type: text/event-stream\r\n";
    for (stream, status, fields, body) in [
        (false, 200, html.0, html.1),
        (false, 200, "content-length: 100\r\n", "{\"cut"),
        (false, 200, "", "{\"cut"),
        (false, 500, "", "{}"),
        (false, 302, "location: http://127.0.0.1:1/\r\n", ""),
        (true, 200, html.0, html.1),
        (true, 200, events, "data: <html>\n\n"),
        (true, 200, events, ": only a comment\n\n"),
        (true, 200, events, "data: {\"error\":{\"message\":\"no\"}}\n\n"),
    ] {
        let providers = vec![bad.provider("bad", CloudApi::OpenAi), next.provider("next", CloudApi::OpenAi)];
        let (_router, client) = with(providers).await;
        let asked = ask(&client, stream);
        bad.request().await.answer(status, fields, body).await;
        let mut request = next.request().await;
        if stream {
            request.events("data: {\"a\":1}\n\ndata: [DONE]\n\n").await;
        } else {
            request.json(200, ANSWER).await;
        }
        let response = asked.response().await;
        assert_eq!((response.status().as_u16(), provider_of(&response)), (200, "next"), "{body}");
    }
}

#[tokio::test]
async fn a_slow_first_byte_is_a_refusal() {
    let (slow, next) = (CloudServer::start().await, CloudServer::start().await);
    let first_byte_timeout = Duration::from_millis(20);
    let slow_provider = ProviderConfig { first_byte_timeout, ..slow.provider("slow", CloudApi::OpenAi) };
    let (_router, client) = with(vec![slow_provider, next.provider("next", CloudApi::OpenAi)]).await;
    let asked = ask(&client, true);
    let mut request = slow.request().await;
    // It sends comments only.
    request.events(": wait\n\n").await;
    let mut answering = next.request().await;
    request.closed().await;
    answering.events("data: {}\n\ndata: [DONE]\n\n").await;
    let response = asked.response().await;
    assert_eq!(provider_of(&response), "next");
    assert_eq!(within_deadline("the rest", response.text()).await.unwrap(), "data: {}\n\ndata: [DONE]\n\n");
}

/// The client never takes half an answer for a whole one, and hears of the fault once.
#[tokio::test]
async fn a_stream_that_goes_wrong_after_its_first_byte_ends_with_one_error() {
    let cloud = CloudServer::start().await;
    for (rest, says) in [
        (Some("data: <html>\n\n"), "no JSON"),
        (Some("data: {\"error\":{\"message\":\"overloaded\"}}\n\n"), "an error as a part"),
        (None, "broken off"),
    ] {
        let next = CloudServer::start().await;
        let providers = vec![cloud.provider("far", CloudApi::OpenAi), next.provider("next", CloudApi::OpenAi)];
        let (_router, client) = with(providers).await;
        let asked = ask(&client, true);
        let mut request = cloud.request().await;
        request.events(EVENTS).await;
        let response = asked.response().await;
        match rest {
            Some(rest) => request.chunk(rest).await,
            // The connection ends as that of a whole stream, without the last event.
            None => request.end().await,
        }
        let text = within_deadline("the rest", response.text()).await.unwrap();
        assert_eq!(text.matches("\"error\"").count(), 1, "{text}");
        assert!(text.starts_with(EVENTS) && text.contains(says) && !text.contains("[DONE]"), "{text}");
        next.expect_no_request();
    }
}

/// Half an event is not passed on, so that the error follows whole ones.
#[tokio::test]
async fn a_stream_that_is_cut_within_an_event_ends_with_one_error() {
    let cloud = CloudServer::start().await;
    let (_router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let asked = ask(&client, true);
    let mut request = cloud.request().await;
    request.events(EVENTS).await;
    let response = asked.response().await;
    request.chunk("data: {\"choices").await;
    drop(request);
    let text = within_deadline("the rest", response.text()).await.unwrap();
    let error = text.strip_prefix(EVENTS).and_then(|rest| rest.strip_prefix("data: ")).unwrap();
    let error: Value = serde_json::from_str(error.trim_end()).unwrap();
    assert_eq!(error["error"]["code"], "provider_failed");
}

#[tokio::test]
async fn whose_fault_an_answer_is_decides_what_the_client_gets() {
    let cloud = CloudServer::start().await;
    let refused = r#"{"error":{"message":"seed?"}}"#;
    for (status, body, expected) in
        [(400, refused, 400), (422, refused, 422), (401, refused, 502), (404, refused, 502), (503, refused, 503)]
    {
        let (_router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
        let asked = ask(&client, false);
        cloud.request().await.json(status, body).await;
        let (got, answer) = asked.json().await;
        assert_eq!(got, expected, "{status}");
        let own_words = answer["error"]["message"] == "seed?";
        assert_eq!(own_words, status == expected && status < 500, "{answer}");
    }
}

#[tokio::test]
async fn nothing_leaves_for_a_model_that_no_provider_names() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let body = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
    let any = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let waiting: Vec<_> =
        [body("other"), body("m2"), body("m-q4_0"), any].iter().map(|body| client.chat(body)).collect();
    within_deadline("waiting jobs", router.wait_for(|summary| summary.waiting == waiting.len())).await;
    assert_eq!(client.get_json("/v1/models/other").await.0, 404);
    cloud.expect_no_request();
}

#[tokio::test]
async fn a_request_whose_body_names_no_model_does_not_leave() {
    let cloud = CloudServer::start().await;
    let (_router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let mut body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    for model in [None, Some(json!(null)), Some(json!(["other"]))] {
        if let Some(model) = model {
            body["model"] = model;
        }
        let (status, error) = client.send_as(API_KEY, "/v1/chat/completions?model=m", &body).json().await;
        assert_eq!((status, &error["error"]["param"]), (400, &json!("model")), "{error}");
    }
    cloud.expect_no_request();
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let asked = ask(&client, true);
    let mut request = cloud.request().await;
    request.events(EVENTS).await;
    let mut events = asked.events().await;
    events.until("one").await;
    drop(events);
    request.closed().await;
    within_deadline("the end of the job", router.wait_for(|summary| summary.provided == 0)).await;
}

#[tokio::test]
async fn the_metrics_say_who_has_answered() {
    let (bad, next) = (CloudServer::start().await, CloudServer::start().await);
    let providers = vec![bad.provider("bad", CloudApi::OpenAi), next.provider("next", CloudApi::OpenAi)];
    let metrics_addr = Some("127.0.0.1:0".parse().unwrap());
    let router = start(Config { providers, metrics_addr, ..config() }).await;
    let asked = ask(&Client::new(&router), false);
    bad.request().await.answer(429, "retry-after: 9\r\n", "").await;
    next.request().await.json(200, ANSWER).await;
    assert_eq!(asked.json().await.0, 200);
    let metrics = Client::at(&router.metrics_addr().unwrap().to_string());
    let text = within_deadline("metrics", metrics.get("/metrics").send()).await.unwrap().text().await.unwrap();
    for line in [
        "auxot_router_jobs_total{provider=\"next\",ending=\"completed\"} 1",
        "auxot_router_provider_refusals_total{provider=\"bad\",reason=\"rate_limited\"} 1",
        "auxot_router_provider_available{provider=\"bad\"} 0",
        "auxot_router_provider_available{provider=\"next\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let foreign = metrics.get("/metrics").header("host", "page.example").send();
    assert_eq!(within_deadline("a refusal", foreign).await.unwrap().status(), 421);
}

#[tokio::test]
async fn the_tokens_that_a_cloud_counts_are_counted() {
    let cloud = CloudServer::start().await;
    let providers = vec![cloud.provider("far", CloudApi::OpenAi)];
    let metrics_addr = Some("127.0.0.1:0".parse().unwrap());
    let router = start(Config { providers, metrics_addr, ..config() }).await;
    let client = Client::new(&router);
    let asked = ask(&client, true);
    let mut request = cloud.request().await;
    request.events(EVENTS).await;
    let usage = r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}"#;
    request.chunk(&format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n")).await;
    request.end().await;
    asked.response().await.text().await.unwrap();
    let asked = ask(&client, false);
    cloud.request().await.json(200, r#"{"usage": {"prompt_tokens": 5, "completion_tokens": 1}}"#).await;
    assert_eq!(asked.json().await.0, 200);
    let asked = ask(&client, false);
    cloud.request().await.json(200, ANSWER).await;
    assert_eq!(asked.json().await.0, 200, "without counts");
    let metrics = Client::at(&router.metrics_addr().unwrap().to_string());
    let text = within_deadline("metrics", metrics.get("/metrics").send()).await.unwrap().text().await.unwrap();
    for (kind, count) in [("prompt", 12), ("cached", 2), ("output", 5)] {
        let line = format!("auxot_router_tokens_total{{provider=\"far\",kind=\"{kind}\"}} {count}\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test]
async fn the_error_of_a_refusal_has_the_form_of_the_api() {
    let cloud = CloudServer::start().await;
    let (_router, client) = with(vec![cloud.provider("far", CloudApi::Anthropic)]).await;
    let asked = client.send_json("/v1/messages", r#"{"model":"m","messages":[{}]}"#);
    cloud.request().await.json(529, "{}").await;
    let (status, answer) = asked.json().await;
    assert_eq!((status, &answer["type"], &answer["error"]["type"]), (503, &json!("error"), &json!("overloaded_error")));
    assert!(matches!(&answer["error"]["message"], Value::String(text) if text.contains("status 529")), "{answer}");
}
