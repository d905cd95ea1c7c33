//! Before a good key: half-open requests, silent sockets, wrong keys and large first messages do not shut others out.

use std::path::Path;
use std::time::Duration;

use auxot_router::keys::{KeyFile, KeyTerms, NewKeys};
use auxot_router::{Config, Keys, Router};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{API_KEY, Client, ScriptedWorker, config, one_model, start, within_deadline};

async fn socket(router: &Router) -> TcpStream {
    TcpStream::connect(router.addr()).await.unwrap()
}

/// Waits for the router to close, and returns what it sent before.
async fn closed(mut socket: TcpStream) -> String {
    let mut message = Vec::new();
    let _reset_is_an_end_too = within_deadline("the end of a connection", socket.read_to_end(&mut message)).await;
    String::from_utf8_lossy(&message).into_owned()
}

#[tokio::test]
async fn many_connections_without_a_key_do_not_shut_others_out() {
    let router = start(config()).await;
    let client = Client::new(&router);
    let mut crowd = Vec::new();
    for number in 0..700 {
        let mut half_open = socket(&router).await;
        if number % 2 == 0 {
            half_open.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        } else {
            let upgrade = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                           sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
            half_open.write_all(upgrade.as_bytes()).await.unwrap();
        }
        crowd.push(half_open);
    }
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = client.whole();
    let job = worker.job().await;
    worker.complete(&job, "x").await;
    assert_eq!(request.json().await.0, 200);
    let first = crowd.remove(0);
    closed(first).await;
    assert_eq!(client.get_json("/v1/models").await.0, 200);
}

#[tokio::test]
async fn a_connection_without_a_key_is_closed_after_its_time_or_bytes() {
    let router = start(Config { hello_timeout: Duration::from_millis(100), ..config() }).await;
    let mut slow_head = socket(&router).await;
    slow_head.write_all(b"GET /v1/models HTTP/1.1\r\n").await.unwrap();
    assert_eq!(closed(slow_head).await, "");
    assert_eq!(closed(socket(&router).await).await, "", "also a connection that sends nothing");

    let default = start(config()).await;
    let mut large = ScriptedWorker::raw(&default).await;
    let hello = json!({ "type": "hello", "gpu_key": "x".repeat(1 << 20), "capabilities": one_model(1) });
    large.try_send(&hello).await;
    assert_eq!(large.close_code().await, None);
}

#[tokio::test]
async fn an_authenticated_connection_may_be_idle_for_a_bounded_time() {
    let router = start(Config {
        hello_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(600),
        ..config()
    })
    .await;
    let mut known = socket(&router).await;
    let request = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: bearer {API_KEY}\r\n\r\n");
    let mut buffer = [0; 4096];
    for _ in 0..2 {
        known.write_all(request.as_bytes()).await.unwrap();
        let read = within_deadline("an answer", known.read(&mut buffer)).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    }
    closed(known).await;
}

/// Makes a worker key and an API key.
pub(crate) fn pair(file: &Path, name: &str) -> (String, String) {
    let made = KeyFile::of_router(file).create(name, &NewKeys::Pair(KeyTerms::default()), None).unwrap();
    (made.worker.unwrap(), made.api.unwrap())
}

#[tokio::test]
async fn wrong_keys_do_not_delay_the_handshake_of_a_good_worker() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let (worker_key, _) = pair(&file, "one");
    let router = start(Config { keys: Keys::file(file), ..config() }).await;
    let mut wrong = Vec::new();
    for number in 0..200 {
        let mut worker = ScriptedWorker::raw(&router).await;
        worker.send(json!({ "type": "hello", "gpu_key": format!("adm_wrong-{number}"), "capabilities": {} })).await;
        wrong.push(worker);
    }
    let mut good = ScriptedWorker::raw(&router).await;
    good.send(json!({ "type": "hello", "gpu_key": worker_key, "capabilities": one_model(1) })).await;
    assert_eq!(good.receive().await["success"], true);
    for mut worker in wrong.into_iter().take(3) {
        assert_eq!(worker.receive().await["error"], "invalid GPU key");
    }
}

#[tokio::test]
async fn a_key_file_that_is_missing_for_a_moment_refuses_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let (file, away) = (folder.path().join("keys.toml"), folder.path().join("away"));
    let (_, api_key) = pair(&file, "one");
    let config = Config { keys: Keys::file(file.clone()), auth_cache_ttl: Duration::ZERO, ..config() };
    let router = start(config).await;
    let client = Client::new(&router);
    std::fs::rename(&file, &away).unwrap();
    let ask = async |key: &str| client.get("/v1/models").bearer_auth(key).send().await.unwrap();
    assert_eq!(ask(&api_key).await.status(), 200, "good keys stay good");
    let unknown = ask("rtr_may-be-new").await;
    assert_eq!((unknown.status().as_u16(), unknown.headers().contains_key("retry-after")), (503, true));
    let mut worker = ScriptedWorker::raw(&router).await;
    worker.send(json!({ "type": "hello", "gpu_key": "adm_may-be-new", "capabilities": {} })).await;
    let message = worker.receive().await;
    assert_eq!((&message["type"], &message["success"]), (&json!("hello_ack"), &json!(false)));
    assert!(message["reconnectInSeconds"].is_u64(), "{message}");
    std::fs::rename(&away, &file).unwrap();
    let refused = async { while ask("rtr_may-be-new").await.status() != 401 {} };
    within_deadline("the file is read again", refused).await;
}

#[tokio::test]
async fn all_bodies_together_are_bounded_and_freed_when_the_clients_disconnect() {
    let router = start(Config { max_message: 1 << 20, max_bodies: 3 << 20, ..config() }).await;
    let client = Client::new(&router);
    let long = json!({ "messages": [{ "role": "user", "content": "x".repeat(1_000_000) }] });
    let wait: Vec<_> = (0..3).map(|_| client.chat(&long)).collect();
    router.wait_for(|now| now.waiting == 3).await;
    let (status, body) = client.chat(&long).json().await;
    assert_eq!((status, &body["error"]["code"]), (503, &json!("overloaded")));
    drop(wait);
    router.wait_for(|now| now.waiting == 0).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    let request = client.chat(&long);
    let job = worker.job().await;
    worker.complete(&job, "x").await;
    assert_eq!(request.json().await.0, 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let router = start(Config { body_timeout: Duration::from_millis(100), ..config() }).await;
    let mut slow = socket(&router).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\ncontent-length: 1000\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let answer = closed(slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("did not come within"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_while_it_is_being_sent() {
    let router = start(Config { max_message: 100_000, ..config() }).await;
    let mut sending = socket(&router).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\ncontent-length: 8000000\r\n\r\n"
    );
    sending.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..80 {
        sending.write_all(&[b' '; 100_000]).await.unwrap();
    }
    let mut answer = vec![0; 4096];
    let read = within_deadline("an answer", sending.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request_too_large"), "{answer}");
}
