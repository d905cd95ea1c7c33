//! The engine's request for a job (items 6 to 9): asserted on the body that the engine received.

use auxot_tests::gguf::ModelFile;
use auxot_tests::scripted_router::Link;
use serde_json::{Value, json};

use crate::{DEADLINE, MODEL, Stage};

/// Sends the job; returns the body of the engine's request once the job has completed.
async fn received(stage: &mut Stage, link: &mut Link, job: &Value) -> Value {
    // The same job again on the same link may have crossed its own end.
    let mut job = job.clone();
    job["job_id"] = format!("the-job-{}", stage.reports.past().len()).into();
    link.send(&job).await;
    let body = stage.reports.next("request", DEADLINE).await.detail["body"].clone();
    link.outcome(job["job_id"].as_str().unwrap()).await.completed();
    body
}

fn with_messages(messages: Value) -> Value {
    json!({"type": "job", "job_id": "the-job", "messages": messages})
}

#[tokio::test]
async fn c06_absent_content_is_empty_and_null_content_stays() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    let messages = json!([
        {"role": "user", "content": "hello"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": null},
    ]);
    let body = received(&mut stage, &mut link, &with_messages(messages)).await;
    assert_eq!(body["messages"][0], json!({"role": "user", "content": "hello"}));
    assert_eq!(body["messages"][1]["content"], "");
    assert_eq!(body["messages"][1]["tool_calls"], json!([call]));
    assert_eq!(body["messages"][2], json!({"role": "tool", "tool_call_id": "c1", "content": null}));
}

#[tokio::test]
async fn c06_null_and_absent_messages_are_an_empty_list() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    for job in [with_messages(Value::Null), json!({"type": "job", "job_id": "the-job"})] {
        assert_eq!(received(&mut stage, &mut link, &job).await["messages"], json!([]));
    }
}

#[tokio::test]
async fn c06_a_flat_image_is_wrapped_and_other_parts_are_untouched() {
    let scratch = auxot_tests::Scratch::new();
    let mut reports = auxot_tests::Reports::listen(scratch.path());
    scratch.fake_model(crate::MODEL_FILE, &crate::reporting(&reports, ""));
    let projector = ModelFile { arch: "clip".into(), ..ModelFile::named("mmproj-tiny-chat") };
    projector.write(&scratch.models(), "mmproj-tiny-chat-f16.gguf");
    let mut router = auxot_tests::ScriptedRouter::start();
    let _worker = crate::worker(&scratch, &router.url(), &[]).await;
    let mut link = router.greeted(&crate::hosted()).await;
    assert_eq!(link.next("config").await["capabilities"]["model_capabilities"], json!(["chat", "vision"]));
    let parts = json!([
        {"type": "text", "text": "What is shown?"},
        {"type": "image_url", "image_url": "data:image/png;base64,AAAA"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,BBBB", "detail": "low"}},
        {"type": "smell", "smell": {"of": ["roses", 1.5]}},
    ]);
    link.send(&with_messages(json!([{"role": "user", "content": parts}]))).await;
    let body = reports.next("request", DEADLINE).await.detail["body"].clone();
    link.outcome("the-job").await.completed();
    let mut wrapped = parts.clone();
    wrapped[1]["image_url"] = json!({"url": "data:image/png;base64,AAAA"});
    assert_eq!(body["messages"][0]["content"], wrapped);
}

#[tokio::test]
async fn c06_an_image_for_a_model_without_vision_is_refused_by_name() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let part = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    link.send(&with_messages(json!([{"role": "user", "content": [part]}]))).await;
    let outcome = link.outcome("the-job").await;
    assert!(outcome.failed().contains(&format!("{MODEL} cannot see images")), "{}", outcome.end);
}

#[tokio::test]
async fn c07_temperature_zero_is_forwarded_and_an_absent_one_is_not_sent() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let mut job = with_messages(json!([{"role": "user", "content": "hello"}]));
    let body = received(&mut stage, &mut link, &job).await;
    for absent in ["temperature", "max_tokens", "tools", "reasoning_effort", "chat_template_kwargs", "top_p", "stop"] {
        assert_eq!(body.get(absent), None, "{absent} was not in the job");
    }
    assert_eq!((&body["stream"], &body["return_progress"]), (&json!(true), &json!(true)));
    job["temperature"] = json!(0);
    job["max_tokens"] = json!(3);
    job["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
        "properties": {"list": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}}}}]);
    let body = received(&mut stage, &mut link, &job).await;
    assert_eq!(body["temperature"].as_f64(), Some(0.0));
    assert_eq!(body["max_tokens"], 3);
    assert_eq!(body["tools"], job["tools"], "a schema goes to the engine as it was written");
    job["temperature"] = Value::Null;
    assert_eq!(received(&mut stage, &mut link, &job).await.get("temperature"), None);
}

#[tokio::test]
async fn c08_schemas_that_a_template_cannot_read_are_reduced_and_remembered() {
    let (mut stage, mut link) = Stage::serving("--simple-tools", &[]).await;
    let mut job = with_messages(json!([{"role": "user", "content": "hello"}]));
    job["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
        "properties": {"list": {"type": "array", "description": "d", "items": {"type": "string"}}}}}}]);
    let written = job["tools"].clone();
    let reduced = json!({"list": {"type": "array", "description": "d"}});
    let sent = |body: &Value| body["tools"][0]["function"]["parameters"]["properties"].clone();
    assert_eq!(received(&mut stage, &mut link, &job).await["tools"], written, "as it was written first");
    let again = stage.reports.next("request", DEADLINE).await;
    assert_eq!(sent(&again.detail["body"]), reduced);
    // The next job of this model needs no refusal first.
    assert_eq!(sent(&received(&mut stage, &mut link, &job).await), reduced);
}

#[tokio::test]
async fn c08_effort_none_switches_thinking_off_in_the_template_too() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let mut job = with_messages(json!([{"role": "user", "content": "hello"}]));
    for effort in ["none", "None"] {
        job["reasoning_effort"] = json!(effort);
        let body = received(&mut stage, &mut link, &job).await;
        assert_eq!(body["reasoning_effort"], effort);
        assert_eq!(body["chat_template_kwargs"], json!({"enable_thinking": false, "thinking": false}));
    }
    job["reasoning_effort"] = json!("low");
    let body = received(&mut stage, &mut link, &job).await;
    assert_eq!((&body["reasoning_effort"], body.get("chat_template_kwargs")), (&json!("low"), None));
}

#[tokio::test]
async fn c08_effort_none_keeps_stray_reasoning_out_of_the_answer() {
    let (_stage, mut link) = Stage::serving("", &[]).await;
    let mut job = auxot_tests::scripted_router::job("quiet", "fake: --reasoning-text 'I think ' --text 'Hello there'");
    job["reasoning_effort"] = json!("none");
    link.send(&job).await;
    let outcome = link.outcome("quiet").await;
    assert_eq!((outcome.completed(), outcome.reasoning.as_str()), ("Hello there", ""));
    assert_eq!(outcome.end["full_response"], "Hello there");
    assert_eq!(outcome.end.get("reasoning_content"), None);
}

#[tokio::test]
async fn c09_empty_tool_arguments_in_the_history_become_an_empty_object() {
    let (mut stage, mut link) = Stage::serving("", &[]).await;
    let call = |arguments: Value| {
        let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}});
        json!({"role": "assistant", "content": "", "tool_calls": [call]})
    };
    let messages = json!([
        {"role": "user", "content": "hello"}, call(json!("")), call(Value::Null), call(json!("{\"a\": 1")),
        call(json!("{\"kept\": [1, 2]}")),
    ]);
    let body = received(&mut stage, &mut link, &with_messages(messages)).await;
    let arguments = |at: usize| body["messages"][at]["tool_calls"][0]["function"]["arguments"].clone();
    assert_eq!((arguments(1), arguments(2)), (json!("{}"), json!("{}")));
    let repaired: Value = serde_json::from_str(arguments(3).as_str().unwrap()).unwrap();
    assert!(repaired.is_object(), "a template can read it: {repaired}");
    assert_eq!(arguments(4), "{\"kept\": [1, 2]}");
}

/// A job with one picture.
fn with_picture(id: &str, url: &str) -> serde_json::Value {
    let content = serde_json::json!([{"type": "text", "text": "What is shown?"}, {"type": "image_url", "image_url": {"url": url}}]);
    serde_json::json!({"type": "job", "job_id": id, "messages": [{"role": "user", "content": content}]})
}

#[tokio::test]
async fn c06_an_image_outside_of_the_job_is_never_fetched() {
    let (mut stage, mut link) = crate::Stage::serving("", &[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for (at, url) in
        [format!("http://{address}/a.png"), "file:///etc/hostname".to_owned(), "a.png".to_owned()].iter().enumerate()
    {
        let id = format!("picture-{at}");
        link.send(&with_picture(&id, url)).await;
        assert!(link.outcome(&id).await.failed().contains("data: URL"), "{url}");
    }
    link.says("after", "no engine got a request").await;
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(stage.reports.past().iter().filter(|event| event.name == "request").count(), 1);
    use futures_util::FutureExt;
    assert!(listener.accept().now_or_never().is_none(), "no connection came");
}

#[tokio::test]
async fn c06_a_job_that_is_nested_too_deep_reaches_no_engine() {
    let (mut stage, mut link) = crate::Stage::serving("", &[]).await;
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let schema = format!(r#"[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]"#, deep(100));
    for (id, messages, tools) in [("messages", deep(200), "[]".to_owned()), ("tools", "[]".to_owned(), schema)] {
        link.send_text(&format!(r#"{{"type":"job","job_id":"{id}","messages":{messages},"tools":{tools}}}"#)).await;
        assert!(link.outcome(id).await.failed().contains("deeper than 64 levels"));
    }
    link.says("after", "no engine got a request").await;
    stage.reports.next("released", DEADLINE).await;
    assert_eq!(stage.reports.past().iter().filter(|event| event.name == "request").count(), 1);
}
