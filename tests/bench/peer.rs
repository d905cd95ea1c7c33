//! The router of the benches: accepts a worker's connection, dispatches jobs, reads the answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::frames::{self, Frame, Frames, Said};

const TEXT: u8 = 1;
const PONG: u8 = 10;

/// The listener for workers.
#[derive(Debug)]
pub(crate) struct Peer {
    listener: TcpListener,
}

impl Peer {
    pub(crate) async fn listen() -> anyhow::Result<Peer> {
        Ok(Peer { listener: TcpListener::bind("127.0.0.1:0").await? })
    }

    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Accepts the next worker that sends `hello`, and returns when it arrived. Other requests get a 404.
    pub(crate) async fn accept(&self) -> anyhow::Result<(Link, Instant)> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            let head = read_head(&mut stream).await?;
            let Some(key) = header(&head, "sec-websocket-key") else {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
                continue;
            };
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
            let mut link = Link { stream, frames: Frames::default(), out: Vec::new() };
            let hello = link.next().await?;
            let at = Instant::now();
            ensure!(hello.said == Said::Hello, "a worker's first word is its greeting");
            link.send(r#"{"type":"hello_ack","success":true,"gpu_id":"bench"}"#).await?;
            return Ok((link, at));
        }
    }
}

/// A worker's connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    frames: Frames,
    out: Vec<u8>,
}

impl Link {
    /// Sends one message.
    pub(crate) async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(TEXT, text.as_bytes()).await
    }

    async fn write(&mut self, opcode: u8, payload: &[u8]) -> anyhow::Result<()> {
        self.out.clear();
        frames::encode(opcode, payload, &mut self.out);
        Ok(self.stream.write_all(&self.out).await?)
    }

    /// The next message; pings are answered, an `error` message is an error here. Cancel safe between messages.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Frame> {
        loop {
            let Some(frame) = self.frames.next()? else {
                if self.stream.read_buf(self.frames.space()).await? == 0 {
                    bail!("the worker closed its link");
                }
                continue;
            };
            match frame.said {
                Said::Ping => {
                    let payload = self.frames.payload(&frame).to_vec();
                    self.write(PONG, &payload).await?;
                }
                Said::Error => bail!("the worker says {}", String::from_utf8_lossy(self.text(&frame))),
                _ => return Ok(frame),
            }
        }
    }

    /// Reads messages for this time.
    pub(crate) async fn listen_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + time;
        while let Ok(frame) = tokio::time::timeout_at(until, self.next()).await {
            frame?;
        }
        Ok(())
    }

    /// The bytes of the message that [`Link::next`] returned last.
    pub(crate) fn text(&self, frame: &Frame) -> &[u8] {
        self.frames.payload(frame)
    }
}

/// A job with `prompt` as its only message.
pub(crate) fn job(id: u64, prompt: &str) -> String {
    let messages = messages(prompt);
    format!(r#"{{"type":"job","job_id":"job-{id}","messages":{messages}}}"#)
}

/// A conversation of one message, which holds the switches of the fake engine.
pub(crate) fn messages(prompt: &str) -> String {
    serde_json::json!([{"role": "user", "content": prompt}]).to_string()
}

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "a request without an end");
    }
    String::from_utf8(head).context("a head that is no text")
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
