//! An OpenTelemetry collector: takes traces as JSON over HTTP, and shows their spans to the test.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::DEADLINE;

/// Requests that a test may leave unread.
const QUEUE: usize = 1024;

/// The collector of one test.
#[derive(Debug)]
pub struct Collector {
    url: String,
    requests: mpsc::Receiver<Value>,
    spans: Vec<Value>,
    // Owns the listener's task.
    _task: JoinSet<()>,
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Collector {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("cannot listen: {error}"));
        let (sender, requests) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        let take = async |State(sender): State<mpsc::Sender<Value>>, Json(request): Json<Value>| {
            let _unread = sender.try_send(request);
            Json(json!({}))
        };
        let routes = Router::new().route("/v1/traces", post(take)).with_state(sender);
        task.spawn(async move {
            let _ended = axum::serve(listener, routes).await;
        });
        Collector { url: format!("http://{address}"), requests, spans: Vec::new(), _task: task }
    }

    /// Its address, as the setting has it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until there are so many spans of a name; gives them.
    pub async fn spans(&mut self, name: &str, count: usize) -> Vec<Value> {
        let reading = async {
            loop {
                let found = self.spans.iter().filter(|span| span["name"] == name);
                if found.clone().count() >= count {
                    return found.cloned().collect();
                }
                let request = self.requests.recv().await;
                let request = request.unwrap_or_else(|| panic!("the collector has ended"));
                let spans = request.pointer("/resourceSpans/0/scopeSpans/0/spans").and_then(Value::as_array);
                self.spans.extend(spans.into_iter().flatten().cloned());
            }
        };
        let found = tokio::time::timeout(DEADLINE, reading).await;
        found.unwrap_or_else(|_| panic!("no {count} spans {name:?}"))
    }
}
