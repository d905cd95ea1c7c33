//! A provider that is a program, asked in other APIs than the one for chats.

use auxot_router::CliInput;
use serde_json::{Value, json};

use crate::cli::{program, script};
use crate::cloud::with;
use crate::support::{Client, within_deadline};

const API_KEY: &str = crate::support::API_KEY;

/// The prompt `hi` in each API, and where its answer has the text.
const APIS: [(&str, &str, &str); 3] = [
    ("/v1/completions", r#""prompt":"hi""#, "/choices/0/text"),
    ("/v1/messages", r#""max_tokens":9,"messages":[{"role":"user","content":"hi"}]"#, "/content/0/text"),
    ("/v1/responses", r#""input":"hi""#, "/output/0/content/0/text"),
];

fn body(fields: &str, stream: bool) -> Value {
    serde_json::from_str(&format!(r#"{{"model":"m","stream":{stream},{fields}}}"#)).unwrap()
}

/// The events of a stream: their names and their data.
async fn events(client: &Client, path: &str, fields: &str) -> Vec<(String, Value)> {
    let response = client.send_as(API_KEY, path, &body(fields, true)).response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-auxot-provider"]), (200, &"tool".parse().unwrap()));
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = within_deadline("a stream", response.text()).await.unwrap();
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let data = field("data: ").unwrap();
        (field("event: ").unwrap_or_default(), serde_json::from_str(&data).unwrap_or(Value::String(data)))
    };
    text.split_terminator("\n\n").map(event).collect()
}

#[tokio::test]
async fn a_whole_answer_has_the_form_of_its_api() {
    let (_router, client) = with(vec![program(CliInput::Text, &["/bin/cat"])]).await;
    for (path, fields, text) in APIS {
        let (status, answer) = client.send_as(API_KEY, path, &body(fields, false)).json().await;
        assert_eq!(
            (status, answer.pointer(text), &answer["model"]),
            (200, Some(&json!("hi")), &json!("m")),
            "{answer}"
        );
    }
    let (_, completion) = client.send_as(API_KEY, APIS[0].0, &body(APIS[0].1, false)).json().await;
    assert_eq!(
        (&completion["object"], completion.get("usage")),
        (&json!("text_completion"), None),
        "tokens are not counted"
    );
    let (_, message) = client.send_as(API_KEY, APIS[1].0, &body(APIS[1].1, false)).json().await;
    assert_eq!((&message["type"], &message["stop_reason"]), (&json!("message"), &json!("end_turn")));
    let (_, response) = client.send_as(API_KEY, APIS[2].0, &body(APIS[2].1, false)).json().await;
    assert_eq!((&response["status"], &response["usage"]), (&json!("completed"), &Value::Null));

    let (_router, client) = with(vec![program(CliInput::Json, &["/bin/cat"])]).await;
    for (path, fields, text) in APIS {
        let (_, answer) = client.send_as(API_KEY, path, &body(fields, false)).json().await;
        let read: Value = serde_json::from_str(answer.pointer(text).unwrap().as_str().unwrap()).unwrap();
        assert_eq!(read["model"], "own $(model)", "{path}");
    }
}

#[tokio::test]
async fn a_stream_has_the_events_of_its_api() {
    let (_router, client) = with(vec![script("cat; echo; echo there")]).await;
    let joined = |events: &[(String, Value)], at: &str| -> String {
        events.iter().filter_map(|(_, data)| data.pointer(at)?.as_str()).collect()
    };
    let [completions, messages, responses] = APIS;
    let all = events(&client, completions.0, completions.1).await;
    assert_eq!((joined(&all, "/choices/0/text").as_str(), &all.last().unwrap().1), ("hi\nthere", &json!("[DONE]")));
    assert_eq!(all[all.len() - 2].1["choices"][0]["finish_reason"], "stop");

    let all = events(&client, messages.0, messages.1).await;
    assert!(all.iter().all(|(name, data)| data["type"] == name.as_str()), "{all:?}");
    let mut names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    let expected = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!((names.as_slice(), joined(&all, "/delta/text").as_str()), (&expected[..], "hi\nthere"));

    let all = events(&client, responses.0, responses.1).await;
    assert!(
        all.iter()
            .enumerate()
            .all(|(at, (name, data))| { (&data["type"], &data["sequence_number"]) == (&json!(name), &json!(at)) })
    );
    let (name, last) = all.last().unwrap();
    assert_eq!(
        (name.as_str(), &last["response"]["output"][0]["content"][0]["text"]),
        ("response.completed", &json!("hi\nthere"))
    );
    assert_eq!(joined(&all, "/delta"), "hi\nthere");
}

#[tokio::test]
async fn a_program_that_fails_ends_a_stream_with_the_error_of_its_api_and_refuses_the_rest() {
    for (path, fields, _) in APIS {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (_router, client) = with(vec![script(&format!("echo half; cat {}; exit 3", pipe.display()))]).await;
        let mut response = client.send_as(API_KEY, path, &body(fields, true)).response().await;
        let mut text = String::new();
        // Only when the client has a part of the answer the program fails.
        while !text.contains("half") {
            let part = within_deadline("a part", response.chunk()).await.unwrap().unwrap();
            text += std::str::from_utf8(&part).unwrap();
        }
        tokio::fs::write(&pipe, "").await.unwrap();
        while let Some(part) = within_deadline("the rest", response.chunk()).await.unwrap() {
            text += std::str::from_utf8(&part).unwrap();
        }
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.contains("exit status: 3"), "{path} {last}");
        assert_eq!(last.starts_with("event: error\n"), path == "/v1/messages", "{last}");

        let (_router, client) = with(vec![script("echo half; exit 3")]).await;
        let (status, answer) = client.send_as(API_KEY, path, &body(fields, false)).json().await;
        assert!(status >= 500 && answer["error"].is_object(), "{path} {status} {answer}");
    }
}

#[tokio::test]
async fn what_a_program_cannot_get_is_named_in_every_api() {
    for input in [CliInput::Text, CliInput::Json] {
        let (_router, client) = with(vec![program(input, &["/bin/cat"])]).await;
        for (path, fields, _) in APIS {
            let fields = format!(r#"{fields},"tools":[{{"name":"f"}}]"#);
            let (status, answer) = client.send_as(API_KEY, path, &body(&fields, true)).json().await;
            assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("tools"), "{path} {answer}");
        }
    }
}
