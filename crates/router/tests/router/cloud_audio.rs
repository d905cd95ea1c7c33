//! Recordings and speech of a cloud: forms and bytes, with the faults of a cloud.

use auxot_router::keys::KeyTerms;
use auxot_router::{CloudApi, ProviderConfig};
use serde_json::json;

use crate::cloud::with;
use crate::cloud_server::CloudServer;
use crate::key_terms::Limited;
use crate::support::{API_KEY, Client, PendingResponse, within_deadline};

const KIND: &str = "multipart/form-data; boundary=xyz";
const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const SPEECH: &str = "/v1/audio/speech";

fn audio(cloud: &CloudServer, name: &str) -> ProviderConfig {
    cloud.provider(name, CloudApi::OpenAi)
}

/// A form with a recording that is no text, and models in these fields.
fn form(models: &[(&str, &str)]) -> Vec<u8> {
    let mut form = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n".to_vec();
    form.extend_from_slice(b"RIFF\0\xff\xfe\r\n");
    for (field, value) in models {
        let part = format!("--xyz\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
        form.extend_from_slice(part.as_bytes());
    }
    form.extend_from_slice(b"--xyz--\r\n");
    form
}

fn transcribe(client: &Client, key: &str, form: Vec<u8>) -> PendingResponse {
    let post = client.request("POST", TRANSCRIPTIONS).bearer_auth(key).header("content-type", KIND);
    PendingResponse::of(post.body(form))
}

fn speak(client: &Client) -> PendingResponse {
    client.send_as(API_KEY, SPEECH, &json!({ "model": "m", "input": "hi", "voice": "alloy" }))
}

async fn bytes(response: reqwest::Response) -> Vec<u8> {
    within_deadline("bytes", response.bytes()).await.unwrap().to_vec()
}

#[tokio::test]
async fn a_recording_goes_out_as_it_came_under_its_own_name_of_the_model() {
    let cloud = CloudServer::start().await;
    let (_router, client) = with(vec![audio(&cloud, "far")]).await;
    for (kind, text) in [("application/json", r#"{"text":"hello"}"#), ("text/plain; charset=utf-8", "hello\n")] {
        let asked = transcribe(&client, API_KEY, form(&[("language", "en"), ("model", "m")]));
        let request = cloud.request().await;
        assert!(request.head.starts_with("POST /base/v1/audio/transcriptions HTTP/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains(&format!("content-type: {KIND}\r\n")), "{}", request.head);
        assert_eq!(request.bytes, form(&[("language", "en"), ("model", "own")]));
        request.answer(200, &format!("content-type: {kind}\r\n"), text).await;
        let response = asked.response().await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-auxot-provider"]),
            (200, &"far".parse().unwrap())
        );
        assert_eq!(response.headers()["content-type"], kind);
        assert_eq!(bytes(response).await, text.as_bytes());
    }
}

#[tokio::test]
async fn a_transcript_may_be_a_stream_and_ends_with_its_last_event() {
    let cloud = CloudServer::start().await;
    let (_router, client) = with(vec![audio(&cloud, "far")]).await;
    for is_whole in [true, false] {
        let asked = transcribe(&client, API_KEY, form(&[("model", "m"), ("stream", "true")]));
        let mut request = cloud.request().await;
        request.events("data: {\"type\":\"transcript.text.delta\",\"delta\":\"hel\"}\n\n").await;
        let response = asked.response().await;
        if is_whole {
            request.chunk("data: {\"type\":\"transcript.text.done\",\"text\":\"hello\"}\n\n").await;
        }
        request.end().await;
        let text = within_deadline("a stream", response.text()).await.unwrap();
        assert_eq!((text.contains("hello"), text.contains("broken off")), (is_whole, !is_whole), "{text}");
    }
}

#[tokio::test]
async fn speech_comes_back_byte_for_byte() {
    let cloud = CloudServer::start().await;
    let (_router, client) = with(vec![audio(&cloud, "far")]).await;
    let asked = speak(&client);
    let request = cloud.request().await;
    assert_eq!(request.body, json!({ "model": "own", "input": "hi", "voice": "alloy" }));
    let sound: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    request.answer(200, "content-type: audio/mpeg\r\n", &sound).await;
    let response = asked.response().await;
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    assert_eq!(bytes(response).await, sound);
}

#[tokio::test]
async fn a_cloud_that_refuses_or_answers_wrongly_is_followed_by_the_next() {
    for (status, fields, body) in [
        (429, "retry-after: 9\r\n", ""),
        (500, "", "oops"),
        (401, "", "{}"),
        (200, "content-type: text/html\r\n", "<html>"),
        (200, "content-type: application/json\r\n", "no json"),
        (200, "content-type: audio/mpeg\r\n", ""),
        (200, "content-type: audio/mpeg\r\ncontent-length: 9\r\n", ""),
        (200, "", "what"),
    ] {
        let (bad, next) = (CloudServer::start().await, CloudServer::start().await);
        let (_router, client) = with(vec![audio(&bad, "bad"), audio(&next, "next")]).await;
        let asked = speak(&client);
        bad.request().await.answer(status, fields, body).await;
        next.request().await.answer(200, "content-type: audio/wav\r\n", "sound").await;
        let response = asked.response().await;
        assert_eq!(response.headers()["x-auxot-provider"], "next", "{status} {fields}");
        assert_eq!(bytes(response).await, b"sound");
    }
}

#[tokio::test]
async fn speech_that_is_cut_ends_with_a_broken_connection_and_a_bad_request_is_the_client_s() {
    let cloud = CloudServer::start().await;
    let (_router, client) = with(vec![audio(&cloud, "far")]).await;
    let asked = speak(&client);
    cloud.request().await.answer(200, "content-type: audio/mpeg\r\ncontent-length: 9\r\n", "half").await;
    let response = asked.response().await;
    assert!(within_deadline("the end", response.bytes()).await.is_err());
    let asked = speak(&client);
    cloud.request().await.json(400, r#"{"error":{"message":"no such voice"}}"#).await;
    let (status, answer) = asked.json().await;
    assert_eq!((status, &answer["error"]["message"]), (400, &json!("no such voice")));
}

#[tokio::test]
async fn a_form_is_under_the_terms_of_its_key() {
    let cloud = CloudServer::start().await;
    let terms = KeyTerms { models: Some(vec!["m".to_owned()]), max_parallel: Some(1), ..KeyTerms::default() };
    let limited = Limited::new(terms, vec![audio(&cloud, "far")]).await;
    let ask = |form| transcribe(&limited.client, &limited.key, form);
    for (models, status) in [
        (&[("model", "dear")][..], 403),
        (&[][..], 403),
        (&[("model", "m"), ("model", "dear")][..], 400),
        (&[("model", "m"), ("MODEL", "dear")][..], 400),
        (&[("model", "m\r\n--xyz\r\nContent-Disposition: form-data; name=\"x\"; name=\"model\"\r\n\r\ndear")][..], 400),
    ] {
        assert_eq!(ask(form(models)).response().await.status(), status, "{models:?}");
    }
    cloud.expect_no_request();
    let running = ask(form(&[("model", "m")]));
    let request = cloud.request().await;
    assert_eq!(ask(form(&[("model", "m")])).response().await.status(), 429);
    request.json(200, "{}").await;
    assert_eq!(running.response().await.status(), 200);
}
