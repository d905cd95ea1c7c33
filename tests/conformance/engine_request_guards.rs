//! Whole requests have the guards of jobs in the protocol's own fields: hosts of images, tool loops, tool schemas.

use auxot_tests::scripted_router::Link;
use serde_json::{Value, json};

use crate::engine_requests::{frame, read, rest};
use crate::{DEADLINE, Stage};

/// Sends a request that is not refused by the worker: the status and the text of the engine's answer.
async fn answer(link: &mut Link, id: &str, path: &str, body: &Value) -> (u64, String) {
    link.send_binary(&frame(id, path, &body.to_string())).await;
    let head = link.about(id).await;
    assert_eq!(head["type"], "answer_head", "{head}");
    let mut text = String::new();
    assert_eq!(rest(link, id, &mut text).await["type"], "complete");
    link.send(&read(id, text.len(), true)).await;
    (head["status"].as_u64().unwrap(), text)
}

/// Sends a request that the worker refuses: the error.
async fn refusal(link: &mut Link, id: &str, path: &str, body: &Value) -> Value {
    link.send_binary(&frame(id, path, &body.to_string())).await;
    let error = link.about(id).await;
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(400)), "{error}");
    error["error"].clone()
}

#[tokio::test]
async fn an_engine_fetches_images_from_the_hosts_of_the_list_and_from_no_other() {
    let (_stage, mut link) = Stage::serving("", &[("AUXOT_ROUTER__IMAGE_HOSTS", "pictures.example")]).await;
    let chat = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
    for (at, url) in
        ["http://127.0.0.1:1/a.png", "file:///etc/hostname", "http://pictures.example@h/"].iter().enumerate()
    {
        let error = refusal(&mut link, &format!("no-{at}"), "/v1/chat/completions", &chat(url)).await;
        assert!(error.as_str().is_some_and(|error| error.contains("data: URL")), "{error}");
    }
    // The engine decides about what it gets; this one has no projector.
    let (status, text) =
        answer(&mut link, "yes", "/v1/chat/completions", &chat("https://Pictures.example/a.png")).await;
    assert!(status == 500 && text.contains("image input is not supported"), "{text}");
}

#[tokio::test]
async fn a_tool_loop_is_refused_unless_the_guard_is_off() {
    let mut messages = vec![json!({"role": "user", "content": "fake: --text hi"})];
    for _ in 0..3 {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        messages.push(json!({"role": "assistant", "content": "", "tool_calls": [call]}));
        messages.push(json!({"role": "tool", "tool_call_id": "c", "content": "same"}));
    }
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let error = refusal(&mut link, "loop", "/v1/chat/completions", &json!({"messages": messages})).await;
    assert!(error.as_str().is_some_and(|error| error.contains("3 tool rounds are identical")), "{error}");
    let (status, _) = answer(&mut link, "two", "/v1/chat/completions", &json!({"messages": messages[..5]})).await;
    assert_eq!(status, 200);
    let (_stage, mut link) = Stage::serving("", &[("AUXOT_ROUTER__TOOL_LOOP_GUARD", "false")]).await;
    let (status, _) = answer(&mut link, "off", "/v1/chat/completions", &json!({"messages": messages})).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn schemas_that_a_template_cannot_read_are_reduced_and_nothing_else_is() {
    let schema = json!({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string"}}}});
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
    for stream in [false, true] {
        let (mut stage, mut link) = Stage::serving("--simple-tools", &[]).await;
        let chat = json!({"messages": [{"role": "user", "content": "fake: --text hello"}], "tools": tools, "stream": stream, "x": 1.5});
        let (status, text) = answer(&mut link, "j", "/v1/chat/completions", &chat).await;
        assert!(status == 200 && text.contains("hello"), "{text}");
        // First as the caller wrote it: only a request that would fail is changed.
        let mut bodies: Vec<Value> = Vec::new();
        while bodies.last().is_none_or(|last| last["tools"].to_string().contains("items")) {
            bodies.push(stage.reports.next("request", DEADLINE).await.detail["body"].clone());
        }
        assert_eq!(bodies[0]["tools"], tools);
        let reduced = bodies.pop().unwrap();
        assert_eq!((&reduced["messages"], &reduced["x"]), (&chat["messages"], &chat["x"]));
        assert_eq!(reduced["tools"][0]["function"]["parameters"]["properties"], json!({"list": {"type": "array"}}));
    }
}

/// What reduced schemas do not help against is the engine's answer to the request as it was written.
#[tokio::test]
async fn a_refusal_that_is_not_for_the_schemas_is_passed_on_as_it_is() {
    let (mut stage, mut link) = Stage::serving("--simple-tools", &[]).await;
    let items = json!({"type": "object", "required": {"items": 1}});
    let unreadable = json!([{"type": "function", "function": {"name": "f", "parameters": items}}]);
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    for (id, content, tools, want, requests) in [
        ("still", json!("hi"), unreadable.clone(), "Jinja Exception", 2),
        ("other", image, unreadable, "image input is not supported", 1),
    ] {
        let chat = json!({"messages": [{"role": "user", "content": content}], "tools": tools, "stream": true});
        let (status, text) = answer(&mut link, id, "/v1/chat/completions", &chat).await;
        assert!(status == 500 && text.contains(want), "{text}");
        for _ in 0..requests {
            stage.reports.next("request", DEADLINE).await;
        }
    }
}
