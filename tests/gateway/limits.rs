//! Requests that no engine sees, and the errors that their clients get.

use serde_json::json;

use super::client::{Client, request};
use super::{MODEL, Stage, body};

#[tokio::test]
async fn each_refusal_has_its_status_its_code_and_whether_to_try_again() {
    let stage =
        Stage::ready("", &[("AUXOT_GATEWAY__MAX_BODY", "64KiB"), ("AUXOT_GATEWAY__MAX_BODY_MEMORY", "64KiB")]).await;
    let deep = format!(r#"{{"messages":{}{}}}"#, "[".repeat(80), "]".repeat(80));
    let large = body(&"x".repeat(70_000), "");
    let foreign =
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://127.0.0.1:1/x"}}]}]}"#;
    let named = body("hi", r#","model":"nothing-here""#);
    for (path, text, status, code, param) in [
        ("/v1/chat/completions", named.as_str(), 404, json!("model_not_found"), json!("model")),
        ("/v1/embeddings", r#"{"input":"x"}"#, 400, json!("model_not_supported"), json!("model")),
        ("/v1/chat/completions", deep.as_str(), 400, json!("invalid_value"), json!(null)),
        ("/v1/chat/completions", foreign, 400, json!("invalid_value"), json!(null)),
        ("/v1/chat/completions", "{\"messages\":", 400, json!("invalid_json"), json!(null)),
        ("/v1/chat/completions", large.as_str(), 413, json!("request_too_large"), json!(null)),
        ("/nothing", "{}", 404, json!("unknown_url"), json!(null)),
        ("/slots", "{}", 405, json!("method_not_allowed"), json!(null)),
    ] {
        let answer = Client::post(&stage.address, path, text).await.whole().await;
        let error = &answer.json()["error"];
        let found = (answer.status, &error["code"], &error["param"], answer.field("x-should-retry"));
        assert_eq!(found, (status, &code, &param, Some("false")), "{path} {error}");
    }
    let chat_only =
        Client::post(&stage.address, "/v1/rerank", &format!(r#"{{"model":"{MODEL}"}}"#)).await.whole().await;
    let message = chat_only.json()["error"]["message"].clone();
    assert_eq!(message, json!(format!("cannot rerank with {MODEL}: it is a chat model")));
    let anthropic = Client::post(&stage.address, "/v1/messages", &named).await.whole().await;
    assert_eq!(anthropic.json()["type"], "error");
    assert_eq!(anthropic.json()["error"]["type"], "not_found_error");
}

#[tokio::test]
async fn pages_and_names_that_are_not_of_this_host_get_nothing() {
    let stage = Stage::ready("--text here", &[("AUXOT_GATEWAY__ALLOWED_ORIGINS", "https://app.example")]).await;
    let ask = async |fields: &str| {
        let body = body("hi", "");
        let text =
            format!("POST /v1/chat/completions HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len());
        Client::raw(&stage.address, text.as_bytes()).await.whole().await
    };
    for (fields, status, readable) in [
        ("Host: evil.example\r\n", 421, None),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", 403, None),
        ("Host: localhost\r\nOrigin: null\r\n", 403, None),
        ("Host: localhost\r\nOrigin: http://localhost:3000\r\n", 200, None),
        ("Host: 127.0.0.1:8080\r\nOrigin: https://app.example\r\n", 200, Some("https://app.example")),
    ] {
        let answer = ask(fields).await;
        let found = (answer.status, answer.field("access-control-allow-origin"));
        assert_eq!(found, (status, readable), "{fields} {}", answer.text());
    }
    let preflight = "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n\
        Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a\r\n\r\n";
    let answer = Client::raw(&stage.address, preflight.as_bytes()).await.whole().await;
    assert_eq!((answer.status, answer.field("access-control-allow-headers")), (204, Some("x-a")));
}

#[tokio::test]
async fn http_of_every_age_is_answered() {
    let stage = Stage::ready("--text here", &[]).await;
    let text = body("hi", "");
    let old = format!("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let mut client = Client::raw(&stage.address, old.as_bytes()).await;
    let answer = client.whole().await;
    assert_eq!((answer.status, client.until("nothing").await), (200, false), "the connection is closed");

    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        10,
        &text[..10],
        text.len() - 10,
        &text[10..]
    );
    let mut client = Client::raw(&stage.address, chunked.as_bytes()).await;
    assert_eq!(client.whole().await.status, 200);
    // The same connection again, twice at once.
    let again = request("POST", "/v1/chat/completions", "", &text);
    client.send(format!("{again}{again}").as_bytes()).await;
    assert_eq!((client.whole().await.status, client.whole().await.status), (200, 200));

    let expects = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    let mut client = Client::raw(&stage.address, expects.as_bytes()).await;
    assert!(client.until("HTTP/1.1 100 Continue\r\n\r\n").await);
    client.send(text.as_bytes()).await;
    assert_eq!(client.whole().await.status, 200);

    let mut client =
        Client::raw(&stage.address, b"HEAD /props HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    client.until("nothing").await;
    let (head, rest) = client.shown().split_once("\r\n\r\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(head.starts_with("HTTP/1.1 ") && rest.is_empty(), "{head}\n{rest}");
}

#[tokio::test]
async fn a_picture_of_a_mebibyte_is_passed_on() {
    let mut stage = Stage::ready("--text seen", &[]).await;
    let picture = "A".repeat(1 << 20);
    let text = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"{}"}}]}}],"model":"{MODEL}"}}"#,
        picture
    );
    let answer = stage.chat(&text).await.whole().await;
    // The fake counts the text as tokens: what matters is that all of it arrived.
    let seen = stage.report("request").await;
    assert_eq!(seen.detail["body"]["messages"][0]["content"][0]["text"].as_str().unwrap().len(), picture.len());
    assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
}

#[tokio::test]
async fn the_list_has_what_can_serve_and_each_of_its_names_one_model() {
    let stage = Stage::ready("", &[("AUXOT_CATALOG__ALIASES", "small=tiny-chat")]).await;
    let list = Client::get(&stage.address, "/v1/models").await.whole().await.json();
    let first = &list["data"][0];
    assert_eq!((&first["id"], &first["state"], &first["task"]), (&json!(MODEL), &json!("ready"), &json!("chat")));
    assert_eq!((&first["context_length"], &first["aliases"]), (&json!(2048), &json!(["small"])));
    let one = Client::get(&stage.address, "/v1/models/small").await.whole().await;
    assert_eq!((one.status, &one.json()["id"]), (200, &json!(MODEL)));
    let none = Client::get(&stage.address, "/v1/models/none").await.whole().await;
    assert_eq!((none.status, &none.json()["error"]["code"]), (404, &json!("model_not_found")));
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_another_one() {
    let settings = [("AUXOT_GATEWAY__MAX_CONNECTIONS", "2"), ("AUXOT_GATEWAY__HEADER_TIMEOUT", "1h")];
    let stage = Stage::ready("--tokens 1000000 --token-us 1000", &settings).await;
    let mut busy = stage.chat(&body("hi", r#","stream":true"#)).await;
    assert!(busy.until("data: ").await);
    let mut idle = Client::get(&stage.address, "/health").await;
    assert_eq!(idle.whole().await.status, 200);
    let mut next = Client::get(&stage.address, "/health").await;
    assert_eq!(next.whole().await.status, 200);
    assert!(!idle.until("nothing").await, "it is closed");
    assert!(busy.until("data: ").await, "an answer goes on");
}

#[tokio::test]
async fn a_head_that_is_too_long_or_too_slow_ends_its_connection() {
    let stage = Stage::ready("--text here", &[("AUXOT_GATEWAY__HEADER_TIMEOUT", "300ms")]).await;
    let long = format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(300_000));
    let mut client = Client::raw(&stage.address, long.as_bytes()).await;
    assert!(client.until("HTTP/1.1 431 ").await, "{}", client.shown());
    let mut slow = Client::raw(&stage.address, b"GET /v1/models HTTP/1.1\r\nHost: loc").await;
    assert!(!slow.until("HTTP/1.1 200").await, "it is closed");
    let mut idle = Client::get(&stage.address, "/health").await;
    assert_eq!(idle.whole().await.status, 200);
    assert!(!idle.until("nothing").await, "an idle connection is closed too");
}
