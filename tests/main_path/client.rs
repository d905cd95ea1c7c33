//! A client of the OpenAI API that reads a stream event by event.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::chain::{Chain, DEADLINE};

/// One streamed request; dropping it closes the connection, as a client that leaves does.
pub(crate) struct Stream {
    socket: BufReader<TcpStream>,
    is_in_body: bool,
    /// What is read of the body and not yet taken.
    text: Vec<u8>,
}

/// How a stream went.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) finish_reason: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) done: bool,
}

impl Stream {
    /// Sends a chat request for a stream.
    pub(crate) async fn open(chain: &Chain, model: &str, content: &str, more: Value) -> Stream {
        let mut body = json!({"model": model, "stream": true, "messages": [{"role": "user", "content": content}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = body.to_string();
        let mut socket = TcpStream::connect(&chain.address).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            chain.api_key,
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        Stream { socket: BufReader::new(socket), is_in_body: false, text: Vec::new() }
    }

    /// The next event, or `None` at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        loop {
            let Some(end) = self.text.iter().position(|byte| *byte == b'\n') else {
                let read = tokio::time::timeout(DEADLINE, self.read_chunk()).await;
                read.expect("a chunk in time")?;
                continue;
            };
            let line: Vec<u8> = self.text.drain(..=end).collect();
            match std::str::from_utf8(&line).unwrap().trim().strip_prefix("data: ") {
                Some("[DONE]") => return None,
                Some(data) => return Some(serde_json::from_str(data).unwrap()),
                // Blank lines and comments.
                None => {}
            }
        }
    }

    /// Reads a chunk of the body: an event may lie in two of them. `None` at the end, and for an answer that is no stream.
    async fn read_chunk(&mut self) -> Option<()> {
        let mut line = String::new();
        while !self.is_in_body {
            line.clear();
            if self.socket.read_line(&mut line).await.unwrap() == 0
                || line.to_ascii_lowercase().starts_with("content-length")
            {
                return None;
            }
            self.is_in_body = line == "\r\n";
        }
        line.clear();
        self.socket.read_line(&mut line).await.unwrap();
        let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length > 0)?;
        let mut chunk = vec![0; length + 2];
        self.socket.read_exact(&mut chunk).await.ok()?;
        self.text.extend_from_slice(&chunk[..length]);
        Some(())
    }

    /// Waits for the first piece of text.
    pub(crate) async fn first_text(&mut self) -> String {
        while let Some(event) = self.event().await {
            if let Some(text) = event["choices"][0]["delta"]["content"].as_str().filter(|text| !text.is_empty()) {
                return text.to_owned();
            }
        }
        panic!("the stream ended without text");
    }

    /// Reads to the end.
    pub(crate) async fn all(mut self) -> Heard {
        let mut heard = Heard::default();
        while let Some(event) = self.event().await {
            let delta = &event["choices"][0]["delta"];
            heard.text.push_str(delta["content"].as_str().unwrap_or_default());
            heard.reasoning.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
            if let Some(reason) = event["choices"][0]["finish_reason"].as_str() {
                heard.finish_reason = Some(reason.to_owned());
            }
            if let Some(message) = event["error"]["message"].as_str() {
                heard.error = Some(message.to_owned());
            }
        }
        heard.done = true;
        heard
    }
}

/// Sends a chat request that does not stream; its status and body.
pub(crate) async fn whole(chain: &Chain, model: &str, content: Value) -> (u16, Value) {
    let (status, _, body) = whole_with_head(chain, model, content).await;
    (status, body)
}

/// The same, with the head in between, in lower case.
pub(crate) async fn whole_with_head(chain: &Chain, model: &str, content: Value) -> (u16, String, Value) {
    answer(chain, &json!({"model": model, "messages": [{"role": "user", "content": content}]})).await
}

/// Sends a chat request with this body; the status, the head in lower case, and the body of its answer.
pub(crate) async fn answer(chain: &Chain, body: &Value) -> (u16, String, Value) {
    let body = body.to_string();
    let mut socket = TcpStream::connect(&chain.address).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        chain.api_key,
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, socket.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), serde_json::from_str(body).unwrap())
}

/// Sends a chat request for a whole answer.
pub(crate) async fn ask(chain: &Chain, model: &str, content: &str) -> Heard {
    Stream::open(chain, model, content, json!({})).await.all().await
}
