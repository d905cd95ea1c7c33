use std::{path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener, UnixStream},
    time::timeout,
};

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

struct Server {
    _dir: tempfile::TempDir,
    path: PathBuf,
    listener: UnixListener,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self { _dir: dir, path, listener }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.path.clone())
    }

    /// Opens an exchange, and gives back the server's side of it once the request is read.
    async fn exchange(&self, body: &[u8]) -> (Exchange, UnixStream, String) {
        let endpoint = self.endpoint();
        let posted = Exchange::post(&endpoint, "/v1/chat/completions", body);
        let taken = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            (stream, request)
        };
        let (exchange, (stream, request)) = tokio::join!(posted, taken);
        (exchange.unwrap(), stream, request)
    }
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return text;
            }
        }
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request ended early");
        seen.extend_from_slice(&part[..read]);
    }
}

fn chunk(payload: &str) -> String {
    format!("{:x}\r\n{payload}\r\n", payload.len())
}

/// Reads to the end and collects the events; how it ended is the second part.
async fn drain(exchange: &mut Exchange) -> (Vec<String>, Result<Fill, ExchangeError>) {
    let mut events = Vec::new();
    loop {
        loop {
            match exchange.next_event() {
                Ok(Some(data)) => events.push(String::from_utf8(data.to_vec()).unwrap()),
                Ok(None) => break,
                Err(fault) => return (events, Err(fault)),
            }
        }
        match exchange.fill().await {
            Ok(Fill::More) => {}
            end => return (events, end),
        }
    }
}

#[tokio::test]
async fn the_request_is_what_an_engine_wants_to_see() {
    let server = Server::start();
    let (_exchange, _stream, request) = server.exchange(b"{\"a\":1}").await;
    assert_eq!(
        request,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: text/event-stream\r\nContent-Length: 7\r\nConnection: close\r\n\r\n{\"a\":1}"
    );
}

#[tokio::test]
async fn over_tcp_the_key_goes_along() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp { address: listener.local_addr().unwrap(), key: "k1".into() };
    let taken = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\ndata: x\n\n").await.unwrap();
        request
    };
    let (exchange, request) = tokio::join!(Exchange::post(&endpoint, "/x", b"{}"), taken);
    let mut exchange = exchange.unwrap();
    assert!(request.contains("\r\nAuthorization: Bearer k1\r\n"), "{request}");
    assert!(!format!("{exchange:?}").contains("k1"));
    assert_eq!(drain(&mut exchange).await, (vec!["x".into()], Ok(Fill::End)), "a body until the close");

    let endpoint = Endpoint::Tcp { address: listener.local_addr().unwrap(), key: "a\r\nX: y".into() };
    let refused = Exchange::post(&endpoint, "/x", b"").await.unwrap_err();
    assert_eq!(refused, OpenError::Io(io::ErrorKind::InvalidInput));
}

#[tokio::test]
async fn a_stream_is_read_event_by_event_and_ends_clean() {
    let server = Server::start();
    let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
    assert_eq!(exchange.next_event(), Ok(None), "nothing before the head");
    let text = [
        HEAD,
        &chunk("data: one\n\n"),
        &chunk(":\n\n"),
        &chunk("data: tw"),
        &chunk("o\n\ndata: [DONE]\n\n"),
        "0\r\n\r\n",
    ]
    .concat();
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(exchange.head().await, Ok(200));
    assert_eq!(drain(&mut exchange).await, (vec!["one".into(), "two".into(), "[DONE]".into()], Ok(Fill::End)));
    assert_eq!(exchange.fill().await, Ok(Fill::End), "the end stays the end");
}

#[tokio::test]
async fn events_that_came_with_the_head_need_no_further_byte() {
    let server = Server::start();
    let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
    stream.write_all([HEAD, &chunk("data: one\n\n")].concat().as_bytes()).await.unwrap();
    assert_eq!(exchange.fill().await, Ok(Fill::More));
    assert_eq!(exchange.next_event(), Ok(Some(&b"one"[..])));
    assert_eq!(exchange.next_event(), Ok(None));
}

#[tokio::test]
async fn any_cut_of_the_bytes_and_any_cancelled_wait_give_the_same_events() {
    let server = Server::start();
    let text =
        ["HTTP/1.1 100 Continue\r\n\r\n", HEAD, &chunk("data: one\n\n:\n\nda"), &chunk("ta: two\r\n\r\n"), "0\r\n\r\n"]
            .concat();
    for cut in 1..text.len() {
        let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
        let (left, right) = text.split_at(cut);
        let mut events = Vec::new();
        for part in [left, right] {
            stream.write_all(part.as_bytes()).await.unwrap();
            // Waits that are given up at once, as a select with a busier branch does.
            let _given_up_or_not = timeout(Duration::ZERO, exchange.fill()).await;
            while let Some(data) = exchange.next_event().unwrap() {
                events.push(String::from_utf8(data.to_vec()).unwrap());
            }
        }
        let (rest, end) = drain(&mut exchange).await;
        events.extend(rest);
        assert_eq!((events, end), (vec!["one".into(), "two".into()], Ok(Fill::End)), "cut at {cut}");
    }
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_cut() {
    let server = Server::start();
    let halves = [
        String::new(),
        HEAD[..40].to_owned(),
        HEAD.to_owned(),
        [HEAD, &chunk("data: one\n\n")].concat(),
        [HEAD, "20\r\ndata: one\n\nda"].concat(),
        [HEAD, &chunk("data: one\n\n"), "0\r\n"].concat(),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndata: one\n\n".to_owned(),
    ];
    for half in halves {
        let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
        stream.write_all(half.as_bytes()).await.unwrap();
        drop(stream);
        let (events, end) = drain(&mut exchange).await;
        assert_eq!(end, Err(ExchangeError::Cut), "{half:?}");
        assert_eq!(events.len(), usize::from(half.contains("data: one")), "what did come counts");
    }
}

#[tokio::test]
async fn a_refusal_is_read_whole() {
    let server = Server::start();
    let body = r#"{"error":{"code":400,"message":"no","type":"invalid_request_error"}}"#;
    for limit in [4096, 10, 0] {
        let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
        let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{}", &body[..20]).as_bytes()).await.unwrap();
        assert_eq!(exchange.head().await, Ok(400));
        let rest = async {
            stream.write_all(&body.as_bytes()[20..]).await.unwrap();
            exchange.error_body(limit).await
        };
        assert_eq!(rest.await.unwrap(), body.as_bytes()[..limit.min(body.len())]);
    }
}

#[tokio::test]
async fn an_engine_that_refuses_before_reading_everything_is_still_heard() {
    let server = Server::start();
    let endpoint = server.endpoint();
    let big = vec![b'x'; 8 << 20];
    let refuse = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    };
    let (exchange, ()) = tokio::join!(Exchange::post(&endpoint, "/x", &big), refuse);
    let mut exchange = exchange.unwrap();
    assert_eq!(exchange.head().await, Ok(413));
    assert_eq!(exchange.error_body(100).await, Ok(Vec::new()));

    let hang_up = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.unwrap();
    };
    let (exchange, ()) = tokio::join!(Exchange::post(&endpoint, "/x", &big), hang_up);
    assert_eq!(exchange.unwrap_err(), OpenError::Cut);
}

/// A listener whose queue of waiting connections is full, and the connections that fill it.
async fn full_queue(path: &std::path::Path) -> (UnixListener, Vec<UnixStream>) {
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(path).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => waiting.push(stream),
            Err(fault) => {
                assert_eq!(fault.kind(), io::ErrorKind::WouldBlock);
                return (listener, waiting);
            }
        }
    }
}

#[tokio::test]
async fn a_burst_that_fills_the_accept_queue_waits_for_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.sock");
    let (listener, waiting) = full_queue(&path).await;
    let endpoint = Endpoint::Unix(path);
    let control = crate::Control::new(&endpoint).unwrap();
    assert_eq!(control.health(Duration::from_secs(5)).await, crate::Health::Silent, "slow is not absent");
    let taken = async {
        for _ in &waiting {
            listener.accept().await.unwrap();
        }
        read_request(&mut listener.accept().await.unwrap().0).await
    };
    let (exchange, request) = tokio::join!(Exchange::post(&endpoint, "/x", b"{}"), taken);
    assert!(exchange.is_ok() && request.starts_with("POST /x "));
}

#[tokio::test]
async fn a_closed_socket_is_distinguished_from_other_faults() {
    let server = Server::start();
    let endpoint = server.endpoint();
    let odd = Exchange::post(&endpoint, "/a b", b"").await.unwrap_err();
    assert_eq!(odd, OpenError::Io(io::ErrorKind::InvalidInput));
    drop(server.listener);
    assert_eq!(Exchange::post(&endpoint, "/x", b"").await.unwrap_err(), OpenError::NotListening, "a stale socket");
    std::fs::remove_file(&server.path).unwrap();
    assert_eq!(Exchange::post(&endpoint, "/x", b"").await.unwrap_err(), OpenError::NotListening, "no socket");
}

/// Another bound than [`EVENT_LIMIT`], before the first byte is read.
fn limit_events(exchange: &mut Exchange, limit: usize) {
    exchange.limit = limit;
    exchange.splitter = Splitter::new(limit);
    exchange.inbox = Inbox::new(limit.max(HEAD_LIMIT));
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_what_is_big_is_not() {
    let server = Server::start();
    let line = format!("data: {}\n\n", "x".repeat(300_000));
    for (limit, fits) in [(line.len(), true), (line.len() - 1, false), (1000, false)] {
        let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
        limit_events(&mut exchange, limit);
        let text = [HEAD, &chunk(&line), "0\r\n\r\n"].concat();
        let write = async move {
            // Fails when the reader gives up; that is the point.
            let _cut_short = stream.write_all(text.as_bytes()).await;
        };
        let read = async {
            let got = drain(&mut exchange).await;
            drop(exchange);
            got
        };
        let ((events, end), ()) = tokio::join!(read, write);
        assert_eq!(events.len(), usize::from(fits));
        assert_eq!(end, if fits { Ok(Fill::End) } else { Err(ExchangeError::TooLarge { limit }) });
    }
}

#[tokio::test]
async fn a_reader_that_does_not_take_its_events_gets_an_error() {
    let server = Server::start();
    let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
    limit_events(&mut exchange, 40_000);
    stream.write_all([HEAD, &chunk(&"data: x\n\n".repeat(8_000))].concat().as_bytes()).await.unwrap();
    let end = loop {
        match exchange.fill().await {
            Ok(Fill::More) => {}
            end => break end,
        }
    };
    assert_eq!(end, Err(ExchangeError::TooLarge { limit: 40_000 }));
}

#[tokio::test]
async fn what_is_not_http_is_named() {
    let server = Server::start();
    for text in ["SSH-2.0-OpenSSH\r\n\r\n", &[HEAD, "xyz\r\n"].concat(), "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
    {
        let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
        stream.write_all(text.as_bytes()).await.unwrap();
        assert!(matches!(exchange.fill().await, Err(ExchangeError::Malformed(_))), "{text}");
        assert_eq!(exchange.next_event(), Ok(None));
    }
    let (mut exchange, mut stream, _) = server.exchange(b"{}").await;
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(40 << 10));
    stream.write_all(endless.as_bytes()).await.unwrap();
    assert_eq!(exchange.head().await, Err(ExchangeError::TooLarge { limit: HEAD_LIMIT }));
}

#[tokio::test]
async fn dropping_an_exchange_closes_its_socket() {
    let server = Server::start();
    let (exchange, mut stream, _) = server.exchange(b"{}").await;
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    drop(exchange);
    assert_eq!(stream.read(&mut [0; 8]).await.map_err(|fault| fault.kind()), Err(io::ErrorKind::ConnectionReset));
}
