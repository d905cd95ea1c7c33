//! A server with the API of a cloud, controlled by the test.

use std::time::Duration;

use auxot_router::{BackendConfig, CloudApi, CloudConfig, ProviderConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::within_deadline;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(300);

pub(crate) struct CloudServer {
    listener: TcpListener,
}

/// A request that the server has got.
pub(crate) struct CloudRequest {
    pub(crate) head: String,
    /// Its body; null where that is no JSON.
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
    stream: TcpStream,
}

impl CloudServer {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", 0)).await.unwrap() }
    }

    /// The settings of a provider for it: a model of the test, which is `own` here.
    pub(crate) fn provider(&self, name: &str, api: CloudApi) -> ProviderConfig {
        let url = format!("http://{}/base/v1", self.listener.local_addr().unwrap()).parse().unwrap();
        ProviderConfig {
            name: name.to_owned(),
            models: vec![("m".to_owned(), "own".to_owned())],
            max_parallel: 4,
            first_byte_timeout: LONG,
            total_timeout: LONG,
            backend: BackendConfig::Cloud(CloudConfig {
                api,
                url,
                key_file: None,
                connect_timeout: LONG,
                idle_timeout: LONG,
            }),
        }
    }

    /// The next request.
    pub(crate) async fn request(&self) -> CloudRequest {
        let (mut stream, _) = within_deadline("a request of the router", self.listener.accept()).await.unwrap();
        let mut bytes = Vec::new();
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                break (format!("{head}\r\n"), length.parse::<usize>().unwrap());
            }
            assert!(within_deadline("a head", stream.read_buf(&mut bytes)).await.unwrap() > 0);
        };
        let begin = head.len() + 2;
        while bytes.len() < begin + length {
            assert!(within_deadline("a body", stream.read_buf(&mut bytes)).await.unwrap() > 0);
        }
        let bytes = bytes.split_off(begin);
        CloudRequest { head, body: serde_json::from_slice(&bytes).unwrap_or_default(), bytes, stream }
    }

    /// Asserts that no connection has come.
    pub(crate) fn expect_no_request(&self) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(self.listener.poll_accept(&mut context).is_pending(), "a request came");
    }
}

impl CloudRequest {
    /// Answers with a body that ends with the connection.
    pub(crate) async fn answer(mut self, status: u16, fields: &str, body: impl AsRef<[u8]>) {
        let head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n{fields}\r\n");
        self.write(head).await;
        self.write(body).await;
    }

    pub(crate) async fn json(self, status: u16, body: &str) {
        self.answer(status, "content-type: application/json\r\n", body).await;
    }

    /// Begins a stream of events, of which each part is a chunk.
    pub(crate) async fn events(&mut self, events: &str) {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        self.write(head).await;
        self.chunk(events).await;
    }

    pub(crate) async fn chunk(&mut self, text: &str) {
        self.write(format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    /// Ends the stream as a whole one ends.
    pub(crate) async fn end(mut self) {
        self.write("0\r\n\r\n").await;
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within_deadline("a write", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Waits until the router has closed the connection.
    pub(crate) async fn closed(mut self) {
        let mut byte = [0];
        let read = within_deadline("the end of the connection", self.stream.read(&mut byte)).await;
        assert!(matches!(read, Ok(0) | Err(_)));
    }
}
