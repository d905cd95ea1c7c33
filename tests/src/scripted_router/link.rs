//! One connection of a worker, controlled by a test: frames in the order that the test requests, and abrupt ends.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::DEADLINE;
use super::listener::{Head, Wire};

/// A connection from a worker. Dropping it ends the TCP connection without a close frame, as the Go router does.
pub struct Link {
    socket: WebSocketStream<Box<dyn Wire>>,
    head: Head,
    from: SocketAddr,
    /// Frames that were read while the test waited for others.
    waiting: VecDeque<Value>,
    history: Vec<Value>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a close frame of this code.
    Closed(u16),
    /// Without one.
    Cut(String),
}

/// All messages about one job, up to its terminal message.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The visible text of all `token` messages.
    pub text: String,
    /// The chain of thought of all `token` messages.
    pub reasoning: String,
    /// Every message but the terminal one, in order.
    pub messages: Vec<Value>,
    /// `complete` or `error`.
    pub end: Value,
}

impl Outcome {
    /// Takes in one message; whether it was the last.
    fn take(&mut self, message: Value) -> bool {
        match message["type"].as_str() {
            Some("complete" | "error") => {
                self.end = message;
                return true;
            }
            Some("token") => {
                let into = if message["reasoning"] == true { &mut self.reasoning } else { &mut self.text };
                into.push_str(message["token"].as_str().unwrap_or_default());
            }
            _ => {}
        }
        self.messages.push(message);
        false
    }

    /// The text of a job that must have completed; panics with the error otherwise.
    #[track_caller]
    pub fn completed(&self) -> &str {
        assert_eq!(self.end["type"], "complete", "the job failed: {}", self.end);
        &self.text
    }

    /// The error text of a job that must have failed.
    #[track_caller]
    pub fn failed(&self) -> &str {
        assert_eq!(self.end["type"], "error", "the job did not fail: {}", self.end);
        self.end["error"].as_str().unwrap_or_default()
    }
}

/// A message with a payload behind its first line: the payload is in the field `payload`.
fn with_payload(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let (line, payload) =
        text.split_once('\n').unwrap_or_else(|| panic!("the worker sent {} binary bytes", bytes.len()));
    let mut frame: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
    frame["payload"] = payload.into();
    frame
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link {{ from: {} }}", self.from)
    }
}

impl Link {
    pub(super) async fn new(wire: Box<dyn Wire>, head: Head, from: SocketAddr) -> Link {
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        Link { socket, head, from, waiting: VecDeque::new(), history: Vec::new() }
    }

    /// The path of the request.
    pub fn path(&self) -> &str {
        &self.head.path
    }

    /// A header of the worker's request, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(String::as_str)
    }

    /// All messages that were read, in order.
    pub fn history(&self) -> &[Value] {
        &self.history
    }

    /// How many frames about a job were read so far.
    pub fn count_about(&self, job_id: &str) -> usize {
        self.history.iter().filter(|frame| frame["job_id"] == job_id).count()
    }

    // --- read ---

    /// The first message, which must be `hello`.
    pub async fn hello(&mut self) -> Value {
        let hello = self.take("the first message", |_| true).await;
        assert_eq!(hello["type"], "hello", "the first message is {hello}");
        hello
    }

    /// The next message of this type.
    pub async fn next(&mut self, kind: &str) -> Value {
        self.take(kind, |frame| frame["type"] == kind).await
    }

    /// The next message about this job.
    pub async fn about(&mut self, job_id: &str) -> Value {
        self.take(job_id, |frame| frame["job_id"] == job_id).await
    }

    /// The next message that fits; others are kept for later.
    pub async fn take(&mut self, wanted: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&fits) {
            return self.waiting.remove(at).unwrap_or_default();
        }
        let search = async {
            loop {
                match self.read().await {
                    Ok(frame) if fits(&frame) => return Ok(frame),
                    Ok(frame) => self.waiting.push_back(frame),
                    Err(end) => return Err(end),
                }
            }
        };
        match tokio::time::timeout(DEADLINE, search).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(end)) => panic!("the link ended ({end:?}) before {wanted}; it said {}", self.transcript()),
            Err(_) => panic!("no {wanted} within {DEADLINE:?}; the worker said {}", self.transcript()),
        }
    }

    /// All messages about a job up to its terminal message.
    pub async fn outcome(&mut self, job_id: &str) -> Outcome {
        let mut outcome = Outcome::default();
        while !outcome.take(self.about(job_id).await) {}
        outcome
    }

    /// All messages about a job up to its terminal message, unless the connection ends before.
    pub(super) async fn try_outcome(&mut self, job_id: &str) -> Option<Outcome> {
        let mut outcome = Outcome::default();
        loop {
            let frame = match self.waiting.iter().position(|frame| frame["job_id"] == job_id) {
                Some(at) => self.waiting.remove(at)?,
                None => self.read().await.ok()?,
            };
            if frame["job_id"] != job_id {
                self.waiting.push_back(frame);
            } else if outcome.take(frame) {
                return Some(outcome);
            }
        }
    }

    /// Reads to the end of the connection, however long that takes. Cancel safe.
    pub(super) async fn over(&mut self) -> End {
        loop {
            match self.read().await {
                Ok(frame) => self.waiting.push_back(frame),
                Err(end) => return end,
            }
        }
    }

    /// Reads to the end of the connection.
    pub async fn ended(&mut self) -> End {
        self.ended_within(DEADLINE).await
    }

    /// Reads to the end of the connection, which must come in time.
    pub async fn ended_within(&mut self, limit: Duration) -> End {
        match tokio::time::timeout(limit, self.over()).await {
            Ok(end) => end,
            Err(_) => panic!("the link did not end within {limit:?}; the worker said {}", self.transcript()),
        }
    }

    /// The next message, whatever it is, or the end. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<Value, End> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("the worker sent no JSON ({error}): {text}"));
                    self.history.push(frame.clone());
                    return Ok(frame);
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let frame = with_payload(&bytes);
                    self.history.push(frame.clone());
                    return Ok(frame);
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(End::Closed(frame.map_or(1005, |frame| frame.code.into())));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(End::Cut(error.to_string())),
                None => return Err(End::Cut("end of stream".to_owned())),
            }
        }
    }

    /// The last messages, short enough to be read.
    fn transcript(&self) -> String {
        let last = self.history.iter().rev().take(20).rev();
        let lines: Vec<String> = last.map(|frame| frame.to_string().chars().take(300).collect()).collect();
        format!("{} messages, the last of them:\n{}", self.history.len(), lines.join("\n"))
    }

    /// Bytes that the worker has written and that are unread in the kernel's buffers of both ends.
    pub fn unread(&self) -> u64 {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let port = format!(":{:04X}", self.from.port());
        let queues = table.lines().filter_map(|line| {
            let mut columns = line.split_whitespace().skip(1);
            let (here, there, _, queues) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
            let (sending, receiving) = queues.split_once(':')?;
            let held = if here.ends_with(&port) { sending } else { receiving };
            (here.ends_with(&port) || there.ends_with(&port)).then(|| u64::from_str_radix(held, 16).ok())?
        });
        queues.sum()
    }

    // --- send ---

    /// Sends a message.
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends a message to a worker that may have exited or stopped reading; returns whether it was written.
    pub(super) async fn try_send(&mut self, frame: &Value) -> bool {
        let sending = self.socket.send(Message::text(frame.to_string()));
        tokio::time::timeout(DEADLINE, sending).await.is_ok_and(|sent| sent.is_ok())
    }

    /// Sends any text, JSON or not.
    pub async fn send_text(&mut self, text: &str) {
        self.write(Message::text(text)).await;
    }

    /// Sends bytes as a text message, UTF-8 or not.
    pub async fn send_raw_text(&mut self, bytes: &[u8]) {
        let frame = Frame::message(bytes.to_vec(), OpCode::Data(Data::Text), true);
        self.write(Message::Frame(frame)).await;
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.write(Message::binary(bytes.to_vec())).await;
    }

    /// Sends one text message as many small frames.
    pub async fn send_in_fragments(&mut self, text: &str, size: usize) {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        for (at, piece) in pieces.iter().enumerate() {
            let code = if at == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(piece.to_vec(), OpCode::Data(code), at + 1 == pieces.len());
            self.write(Message::Frame(frame)).await;
        }
    }

    /// Sends some bytes as they are, such as a part of a frame; nothing else can be sent before the rest of it.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let wire = self.socket.get_mut();
        let sending = async {
            wire.write_all(bytes).await?;
            wire.flush().await
        };
        match tokio::time::timeout(DEADLINE, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("cannot send to the worker: {error}; it said {}", self.transcript()),
            Err(_) => panic!("the worker takes no bytes; it said {}", self.transcript()),
        }
    }

    /// Sends a ping, which a running worker answers.
    pub async fn ping(&mut self) {
        self.write(Message::Ping(Default::default())).await;
    }

    /// Sends a job that the engine answers with `text`, and waits for its completion.
    pub async fn says(&mut self, job_id: &str, text: &str) {
        self.send(&super::saying(job_id, text)).await;
        assert_eq!(self.outcome(job_id).await.completed(), text);
    }

    /// Cancels a job.
    pub async fn cancel(&mut self, job_id: &str) {
        self.send(&json!({"type": "cancel", "job_id": job_id})).await;
    }

    async fn write(&mut self, message: Message) {
        match tokio::time::timeout(DEADLINE, self.socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("cannot send to the worker: {error}; it said {}", self.transcript()),
            Err(_) => panic!("the worker takes no bytes; it said {}", self.transcript()),
        }
    }

    // --- close ---

    /// Ends the connection with a close frame.
    pub async fn close(mut self) {
        let _ = tokio::time::timeout(DEADLINE, self.socket.close(None)).await;
    }

    /// Ends the connection with a TCP reset: what is still on its way is lost.
    pub fn reset(self) {
        let _ = self.socket.get_ref().tcp().set_zero_linger();
    }
}
