//! A router on a free port, a scripted worker, and a client; every wait is for an event, with a deadline.

use std::future::Future;
use std::time::Duration;

use auxot_router::{Config, Keys, Router};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub(crate) const WORKER_KEY: &str = "adm_scripted-worker";
pub(crate) const API_KEY: &str = "rtr_scripted-client";

/// The longest that any wait here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits for an event, with a deadline.
pub(crate) async fn within_deadline<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("no event before the deadline: {what}"))
}

pub(crate) fn config() -> Config {
    Config { port: 0, keys: Keys::plain(WORKER_KEY, API_KEY).unwrap(), ..Config::default() }
}

pub(crate) async fn start(config: Config) -> Router {
    Router::bind(config).await.unwrap()
}

/// Capabilities of a worker with one model.
pub(crate) fn one_model(slots: u32) -> Value {
    json!({ "backend": "llama.cpp", "model": "gemma-3-4b-it", "ctx_size": 4096, "total_slots": slots })
}

/// A worker controlled by the test.
pub(crate) struct ScriptedWorker {
    socket: WebSocketStream<TcpStream>,
    pub(crate) ack: Value,
}

impl ScriptedWorker {
    async fn dial(router: &Router) -> WebSocketStream<TcpStream> {
        let tcp = TcpStream::connect(router.addr()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tokio_tungstenite::client_async(format!("ws://{}/ws", router.addr()), tcp).await.unwrap().0
    }

    /// A connection that has sent nothing yet.
    pub(crate) async fn raw(router: &Router) -> Self {
        Self { socket: Self::dial(router).await, ack: Value::Null }
    }

    pub(crate) async fn join(router: &Router, capabilities: &Value) -> Self {
        let mut worker = Self::raw(router).await;
        worker.send(json!({ "type": "hello", "gpu_key": WORKER_KEY, "capabilities": capabilities })).await;
        worker.ack = worker.receive().await;
        assert_eq!(worker.ack["type"], "hello_ack");
        assert_eq!(worker.ack["success"], true);
        worker
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// As [`ScriptedWorker::send`], to a router that may close instead of reading.
    pub(crate) async fn try_send(&mut self, message: &Value) {
        let _closed = self.socket.send(Message::text(message.to_string())).await;
    }

    /// Sends bytes of an engine's answer.
    pub(crate) async fn data(&mut self, job: &str, offset: usize, bytes: &[u8]) {
        let line = json!({ "type": "answer_data", "job_id": job, "offset": offset }).to_string();
        let frame = [line.as_bytes(), b"\n", bytes].concat();
        self.socket.send(Message::binary(frame)).await.unwrap();
    }

    /// Sends the head of an engine's answer.
    pub(crate) async fn head(&mut self, job: &str, answer: &str, status: u16, kind: &str) {
        let headers = json!([["content-type", kind], ["x-engine", "1"], ["connection", "close"]]);
        let head =
            json!({ "type": "answer_head", "job_id": job, "answer": answer, "status": status, "headers": headers });
        self.send(head).await;
    }

    /// The next message with a payload behind its first line, without what comes before; `None` at the end of the connection.
    pub(crate) async fn try_payload(&mut self) -> Option<(Value, String)> {
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Binary(frame) = message {
                return Some(parts(&frame));
            }
        }
        None
    }

    /// The next message, which has a payload behind its first line.
    pub(crate) async fn payload(&mut self) -> (Value, String) {
        match within_deadline("a request from the router", self.socket.next()).await {
            Some(Ok(Message::Binary(frame))) => parts(&frame),
            other => panic!("a message with a payload was expected, not {other:?}"),
        }
    }

    /// The next message.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            match within_deadline("a message from the router", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    /// The id of the next message, which must be a job.
    pub(crate) async fn job(&mut self) -> String {
        let job = self.receive().await;
        assert_eq!(job["type"], "job", "{job}");
        job["job_id"].as_str().unwrap().to_owned()
    }

    /// Asserts that the router has sent nothing so far: it would arrive before the answer to this heartbeat.
    pub(crate) async fn expect_no_message(&mut self) {
        self.heartbeat().await;
    }

    pub(crate) async fn heartbeat(&mut self) {
        self.send(json!({ "type": "heartbeat" })).await;
        assert_eq!(self.receive().await["type"], "heartbeat_ack");
    }

    pub(crate) async fn token(&mut self, job: &str, text: &str) {
        self.send(json!({ "type": "token", "job_id": job, "token": text })).await;
    }

    pub(crate) async fn complete(&mut self, job: &str, whole: &str) {
        self.send(json!({
            "type": "complete", "job_id": job, "full_response": whole,
            "cache_tokens": 1, "input_tokens": 2, "output_tokens": 3,
        }))
        .await;
    }

    /// Waits for the end of the connection; returns the close code, or `None` without a close frame.
    pub(crate) async fn close_code(mut self) -> Option<u16> {
        loop {
            match within_deadline("the end of the link", self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Ends the connection without a close frame.
    pub(crate) fn drop_connection(self) {
        drop(self);
    }
}

/// The first line of a message, and the payload behind it.
fn parts(frame: &[u8]) -> (Value, String) {
    let text = std::str::from_utf8(frame).unwrap();
    let (line, payload) = text.split_once('\n').unwrap();
    (serde_json::from_str(line).unwrap(), payload.to_owned())
}

/// A client of the chat API.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(crate) fn new(router: &Router) -> Self {
        Self::at(&router.addr().to_string())
    }

    pub(crate) fn at(addr: &str) -> Self {
        // A second call in one process finds a provider installed, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("http://{addr}") }
    }

    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(crate) async fn get_json(&self, path: &str) -> (u16, Value) {
        let response = within_deadline("an answer", self.get(path).bearer_auth(API_KEY).send()).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Sends a request with fields of each kind in the background.
    pub(crate) fn send_json(&self, path: &str, body: &'static str) -> PendingResponse {
        let request = self.post(path).bearer_auth(API_KEY).header("content-type", "application/json");
        let request = request.header("traceparent", "00-1-2-01").header("cookie", "a=b");
        PendingResponse::of(request.body(body))
    }

    /// Sends a request with another key in the background.
    pub(crate) fn send_as(&self, key: &str, path: &str, body: &Value) -> PendingResponse {
        PendingResponse::of(self.post(path).bearer_auth(key).json(body))
    }

    /// Sends a chat request in the background.
    pub(crate) fn chat(&self, body: &Value) -> PendingResponse {
        PendingResponse::of(self.post("/v1/chat/completions").bearer_auth(API_KEY).json(body))
    }

    /// Sends a request for a stream.
    pub(crate) fn stream(&self) -> PendingResponse {
        self.chat(
            &json!({ "model": "gemma-3-4b-it", "stream": true, "messages": [{ "role": "user", "content": "hi" }] }),
        )
    }

    /// Sends a request for a whole answer.
    pub(crate) fn whole(&self) -> PendingResponse {
        self.chat(&json!({ "model": "gemma-3-4b-it", "messages": [{ "role": "user", "content": "hi" }] }))
    }
}

/// A request in progress; a drop closes its connection.
pub(crate) struct PendingResponse(tokio::task::JoinSet<reqwest::Result<reqwest::Response>>);

impl PendingResponse {
    /// Sends a request in the background.
    pub(crate) fn of(request: reqwest::RequestBuilder) -> Self {
        Self(tokio::task::JoinSet::from_iter([request.send()]))
    }

    pub(crate) async fn response(mut self) -> reqwest::Response {
        within_deadline("an answer", self.0.join_next()).await.unwrap().unwrap().unwrap()
    }

    pub(crate) async fn json(self) -> (u16, Value) {
        let response = self.response().await;
        let status = response.status().as_u16();
        (status, within_deadline("a body", response.json()).await.unwrap())
    }

    pub(crate) async fn events(self) -> StreamEvents {
        let response = self.response().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        StreamEvents { response, text: String::new(), comments: 0 }
    }
}

/// The events of a stream.
pub(crate) struct StreamEvents {
    response: reqwest::Response,
    text: String,
    pub(crate) comments: usize,
}

impl StreamEvents {
    /// The next event, or nothing after `[DONE]`.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if event.starts_with(':') {
                    self.comments += 1;
                    continue;
                }
                let data = event.strip_prefix("data: ").unwrap();
                return (data != "[DONE]").then(|| serde_json::from_str(data).unwrap());
            }
            let bytes = within_deadline("more of the stream", self.response.chunk()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes.expect("the stream ends with [DONE]")).unwrap());
        }
    }

    /// Waits until the whole of `text` has arrived.
    pub(crate) async fn until(&mut self, text: &str) {
        let mut got = String::new();
        while got != text {
            let event = self.next().await.unwrap();
            got.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
            assert!(text.starts_with(&got), "{got:?} instead of {text:?}");
        }
    }

    /// All text up to the end, and the last event.
    pub(crate) async fn rest(&mut self) -> (String, Value) {
        let (mut text, mut last) = (String::new(), Value::Null);
        while let Some(event) = self.next().await {
            text.push_str(event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
            last = event;
        }
        (text, last)
    }
}
