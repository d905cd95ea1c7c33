//! Every event of a stream parses, in the order that clients expect.

use serde_json::Value;
use serde_json::value::RawValue;

use auxot_protocol::{Complete, FunctionCall, Json, ToolCall};

use super::{Channel, Chunks, escape};
use crate::failure::Failure;

fn events(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    text.trim_end_matches("data: [DONE]\n\n")
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

fn complete() -> Complete<'static> {
    Complete { cache_tokens: Some(4), input_tokens: Some(6), output_tokens: Some(3), ..Complete::default() }
}

#[test]
fn text_that_waits_together_goes_into_one_chunk() {
    let mut chunks = Chunks::new("chatcmpl-1", 7, "m \"x\"", true);
    chunks.text(Channel::Reasoning, "hm");
    chunks.text(Channel::Answer, "A ");
    chunks.text(Channel::Answer, "\"cat\"\n");
    chunks.finish(&complete());
    let events = events(&chunks.take());
    let deltas: Vec<_> = events.iter().map(|event| event["choices"][0]["delta"].clone()).collect();
    assert_eq!(deltas[0], serde_json::json!({"role":"assistant","content":""}));
    assert_eq!(deltas[1], serde_json::json!({"reasoning_content":"hm"}));
    assert_eq!(deltas[2], serde_json::json!({"content":"A \"cat\"\n"}));
    assert_eq!(events[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[4]["choices"], serde_json::json!([]));
    assert_eq!(events[4]["usage"]["prompt_tokens"], 10);
    assert_eq!(events[4]["usage"]["total_tokens"], 13);
    assert_eq!(events[4]["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    assert!(events.iter().all(|event| event["id"] == "chatcmpl-1" && event["model"] == "m \"x\""));
}

#[test]
fn taking_closes_the_chunk() {
    let mut chunks = Chunks::new("i", 7, "m", false);
    chunks.text(Channel::Answer, "a");
    let first = chunks.take();
    assert!(first.ends_with(b"{\"content\":\"a\"},\"finish_reason\":null}]}\n\n"), "{first:?}");
    assert_eq!(chunks.unread(), 0);
    chunks.text(Channel::Answer, "b");
    assert!(chunks.take().starts_with(b"data: {\"id\":\"i\""));
}

#[test]
fn tool_calls_are_sent_whole_and_set_the_finish_reason() {
    let mut chunks = Chunks::new("i", 7, "m", false);
    let call = |id: &str| ToolCall {
        id: id.into(),
        kind: "function".into(),
        function: FunctionCall { name: "f".into(), arguments: "{\"a\":1}".into() },
    };
    chunks.finish(&Complete { tool_calls: vec![call("x"), call("y")], ..complete() });
    let events = events(&chunks.take());
    assert_eq!(events[2]["choices"][0]["delta"]["tool_calls"][0]["index"], 1);
    assert_eq!(events[2]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"], "{\"a\":1}");
    assert_eq!(events[3]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(events.len(), 4, "no counts unless the request wants them");
}

#[test]
fn an_error_in_the_stream_has_the_form_of_any_error() {
    let mut chunks = Chunks::new("i", 7, "m", false);
    chunks.text(Channel::Answer, "a");
    chunks.fail(&Failure::Lost(5));
    let events = events(&chunks.take());
    assert_eq!(events[2]["error"]["code"], "worker_lost");
    assert_eq!(events[2]["error"]["type"], "server_error");
}

#[test]
fn logprobs_go_with_their_text_and_the_others_with_the_end() {
    let json = |text: &str| Json(RawValue::from_string(text.to_owned()).unwrap());
    let list = |tokens: &[&str]| serde_json::json!({ "content": tokens.iter().map(|token| serde_json::json!({ "token": token })).collect::<Vec<_>>() });
    let all = list(&["hm", "A ", "cat", ""]);
    let end = |chunks: &mut Chunks| {
        chunks.finish(&Complete { logprobs: Some(json(&all.to_string())), ..complete() });
        let events = events(&chunks.take());
        events.iter().map(|event| event["choices"][0]["logprobs"].clone()).collect::<Vec<_>>()
    };
    let mut chunks = Chunks::new("i", 7, "m", false);
    for (channel, token) in [(Channel::Reasoning, "hm"), (Channel::Answer, "A "), (Channel::Answer, "cat")] {
        chunks.text(channel, token);
        chunks.logprobs(&json(&list(&[token]).to_string()));
    }
    assert!(chunks.unread() > 0);
    assert_eq!(end(&mut chunks), [Value::Null, list(&["hm"]), list(&["A ", "cat"]), list(&[""])]);

    let mut chunks = Chunks::new("i", 7, "m", false);
    chunks.text(Channel::Answer, "A cat");
    chunks.logprobs(&json("[]"));
    assert_eq!(end(&mut chunks), [Value::Null, Value::Null, all.clone()], "all at the end, if none came with text");
}

proptest::proptest! {
    #[test]
    fn escaped_text_reads_back(text in "\\PC*|[\\x00-\\x7f]*") {
        let mut bytes = vec![b'"'];
        escape(&mut bytes, &text);
        bytes.push(b'"');
        proptest::prop_assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
    }
}
