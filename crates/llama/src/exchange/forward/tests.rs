//! Requests that are passed on to an engine, which this side plays.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// Passes a request on; returns what the engine saw too.
async fn forward(method: Method, lines: HeaderMap, body: &[u8], answer: &str) -> (Forward, String, UnixStream) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = Endpoint::Unix(path);
    let head = ForwardHead { method: &method, target: "/v1/x?a=b", fields: &lines };
    let (sent, taken) = tokio::join!(Forward::send(&endpoint, head, body), listener.accept());
    let mut engine = taken.unwrap().0;
    let mut seen = vec![0; 4096];
    let read = engine.read(&mut seen).await.unwrap();
    engine.write_all(answer.as_bytes()).await.unwrap();
    (sent.unwrap(), String::from_utf8_lossy(&seen[..read]).into_owned(), engine)
}

async fn whole(forward: &mut Forward) -> Result<String, ExchangeError> {
    let mut text = Vec::new();
    let mut part = [0; 7];
    loop {
        match poll_fn(|context| forward.poll_body(context, &mut part)).await? {
            0 => return Ok(String::from_utf8(text).unwrap()),
            read => text.extend_from_slice(&part[..read]),
        }
    }
}

#[tokio::test]
async fn a_request_keeps_its_fields_but_those_of_its_connection_and_its_keys() {
    let lines = fields(&[
        ("content-type", "application/json"),
        ("traceparent", "00-1-2-03"),
        ("x-request-id", "seven"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("host", "gpu.lan:80"),
        ("authorization", "Bearer secret"),
        ("x-api-key", "secret"),
        ("x-conversation-id", "c"),
        ("origin", "http://evil"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
    ]);
    let (_, seen, _) = forward(Method::POST, lines, b"{}", "").await;
    let want = "POST /v1/x?a=b HTTP/1.1\r\nHost: localhost\r\n\
        content-type: application/json\r\ntraceparent: 00-1-2-03\r\nx-request-id: seven\r\n\
        Content-Length: 2\r\n\r\n{}";
    assert_eq!(seen, want);
    let (_, seen, _) = forward(Method::GET, HeaderMap::new(), b"", "").await;
    assert!(!seen.contains("Content-Length"), "{seen}");
}

#[tokio::test]
async fn an_answer_comes_back_without_its_framing_and_without_the_fields_of_its_connection() {
    let head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 418 Odd\r\nServer: llama.cpp\r\nKeep-Alive: timeout=5\r\n\
        Transfer-Encoding: chunked\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n";
    let answer = format!("{head}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    let (mut forward, _, _engine) = forward(Method::POST, HeaderMap::new(), b"{}", &answer).await;
    let found = forward.head().await.unwrap();
    let lines = b"418 Odd\r\nServer: llama.cpp\r\nX-Two: 1\r\nX-Two: 2\r\n".to_vec();
    assert_eq!(found, AnswerHead { status: 418, lines, length: None, is_events: false });
    assert_eq!(whole(&mut forward).await.unwrap(), "hello world");
    assert!(forward.is_complete());
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error_and_one_without_a_length_ends_with_its_connection() {
    for (lines, body, want) in [
        ("Content-Length: 9\r\n", "short", Err(ExchangeError::Cut)),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhel", Err(ExchangeError::Cut)),
        ("", "to the end", Ok("to the end".to_owned())),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}");
        let (mut forward, _, engine) = forward(Method::POST, HeaderMap::new(), b"", &answer).await;
        forward.head().await.unwrap();
        drop(engine);
        assert_eq!(whole(&mut forward).await, want, "{lines}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_a_length_and_no_body() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let (mut forward, _, _engine) = forward(Method::HEAD, HeaderMap::new(), b"", answer).await;
    assert_eq!(forward.head().await.unwrap().length, Some(9));
    assert_eq!(whole(&mut forward).await.unwrap(), "");
}

#[tokio::test]
async fn a_connection_is_kept_where_the_engine_keeps_it_and_closed_by_it_it_is_not_open() {
    for (answer, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5, max=100\r\n\r\n{}", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\n{}", false),
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", false),
    ] {
        let (mut forward, _, mut engine) = forward(Method::POST, HeaderMap::new(), b"{}", answer).await;
        forward.head().await.unwrap();
        let mut part = [0; 64];
        assert_eq!(poll_fn(|context| forward.poll_body(context, &mut part)).await, Ok(2), "{answer}");
        let found = forward.into_kept();
        assert_eq!(found.is_some(), kept, "{answer}");
        let Some(found) = found else { continue };
        assert!(found.is_open());
        let (endpoint, fields) = (Endpoint::Unix("unused".into()), HeaderMap::new());
        let head = ForwardHead { method: &Method::GET, target: "/again", fields: &fields };
        let mut again = Forward::send_on(found, &endpoint, head, b"").await.unwrap();
        let mut seen = vec![0; 4096];
        let read = engine.read(&mut seen).await.unwrap();
        assert!(seen[..read].starts_with(b"GET /again HTTP/1.1\r\n"));
        engine.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        again.head().await.unwrap();
        let found = again.into_kept().unwrap();
        drop(engine);
        assert!(!found.is_open());
    }
}

#[tokio::test]
async fn a_stream_is_joined_into_an_answer_with_a_length() {
    let stream = "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nX-Accel-Buffering: no\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let event = r#"data: {"choices":[{"text":"one","finish_reason":"stop"}],"id":"c"}"#;
    let answer = format!("{stream}{:x}\r\n{event}\n\n\r\n0\r\n\r\n", event.len() + 2);
    let (mut forward, _, _engine) = forward(Method::POST, HeaderMap::new(), b"{}", &answer).await;
    let head = forward.head().await.unwrap();
    assert!(head.is_events);
    let mut reads = 0;
    let joining = crate::Joining::of("/v1/completions", Some(crate::WholeAnswer::default())).unwrap();
    let joined = forward.join(&joining, || reads += 1).await.unwrap();
    assert!(reads > 0 && joined.status == 200);
    let head = head.of_joined(&joined);
    let lines = "200 OK\r\nServer: llama.cpp\r\nContent-Type: application/json; charset=utf-8\r\n";
    assert_eq!(
        (head.lines.as_slice(), head.length, head.is_events),
        (lines.as_bytes(), Some(joined.body.len() as u64), false)
    );
    assert!(forward.into_kept().is_some());
}

#[tokio::test]
async fn a_body_that_the_socket_does_not_take_at_once_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let body = vec![b'x'; 4 << 20];
    let (endpoint, none) = (Endpoint::Unix(path), HeaderMap::new());
    let head = ForwardHead { method: &Method::POST, target: "/tokenize", fields: &none };
    let sending = Forward::send(&endpoint, head, &body);
    tokio::pin!(sending);
    // The socket is full before the engine reads anything.
    let waits = poll_fn(|context| Poll::Ready(sending.as_mut().poll(context).is_pending())).await;
    assert!(waits);
    let reading = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(&body) {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "the body ends early");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        stream
    };
    let (sent, _engine) = tokio::join!(sending, reading);
    let mut forward = sent.unwrap();
    assert_eq!(forward.head().await.unwrap().status, 200);
    assert_eq!(whole(&mut forward).await, Ok("ok".to_owned()));
}
