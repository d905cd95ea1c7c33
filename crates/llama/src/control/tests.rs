use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

use super::*;

const SECOND: Duration = Duration::from_secs(5);

fn socket() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.sock");
    (dir, path)
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        seen.push(byte[0]);
    }
    String::from_utf8(seen).unwrap()
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nKeep-Alive: timeout=5, max=100\r\n\r\n{body}", body.len())
}

/// Answers each connection in turn with the next text, and gives back the heads it saw.
async fn serve(listener: UnixListener, answers: Vec<String>) -> Vec<String> {
    let mut heads = Vec::new();
    for text in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        heads.push(read_head(&mut stream).await);
        stream.write_all(text.as_bytes()).await.unwrap();
    }
    heads
}

#[tokio::test]
async fn health_has_five_answers() {
    let (_dir, path) = socket();
    let control = Control::new(&Endpoint::Unix(path.clone())).unwrap();
    assert_eq!(control.health(SECOND).await, Health::NotListening, "no socket file");

    let listener = UnixListener::bind(&path).unwrap();
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    let answers = vec![answer(503, loading), answer(200, r#"{"status":"ok"}"#), answer(418, ""), String::new()];
    let asked = async {
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(control.health(SECOND).await);
        }
        seen
    };
    let (seen, heads) = tokio::join!(asked, serve(listener, answers));
    assert_eq!(seen, [Health::Loading, Health::Ready, Health::Odd(418), Health::NotListening]);
    assert!(heads[0].starts_with("GET /health HTTP/1.1\r\n"), "{}", heads[0]);

    assert_eq!(control.health(SECOND).await, Health::NotListening, "a stale socket file");
}

#[tokio::test]
async fn an_engine_that_accepts_and_says_nothing_is_silent() {
    let (_dir, path) = socket();
    let _listener = UnixListener::bind(&path).unwrap();
    let control = Control::new(&Endpoint::Unix(path)).unwrap();
    assert_eq!(control.health(Duration::from_millis(20)).await, Health::Silent);
}

#[tokio::test]
async fn questions_are_answered_or_named() {
    let (_dir, path) = socket();
    let control = Control::new(&Endpoint::Unix(path.clone())).unwrap();
    assert!(matches!(control.props().await, Err(ControlError::NotListening { path: "/props" })));
    let listener = UnixListener::bind(&path).unwrap();
    let answers = vec![
        answer(200, r#"{"default_generation_settings":{"n_ctx":256},"total_slots":3}"#),
        answer(200, r#"[{"id":0,"n_ctx":256,"is_processing":true}]"#),
        answer(503, ""),
        answer(200, "<html>"),
    ];
    let asked = async {
        assert_eq!(control.props().await.unwrap().total_slots, 3);
        assert!(control.slots().await.unwrap()[0].is_processing);
        assert!(matches!(control.props().await, Err(ControlError::Refused { status: 503, .. })));
        assert!(matches!(control.slots().await, Err(ControlError::Unreadable { bytes: 6, .. })));
    };
    tokio::join!(asked, serve(listener, answers));
}

#[tokio::test]
async fn over_tcp_every_question_carries_the_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let control = Control::new(&Endpoint::Tcp { address, key: "k1".into() }).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        stream.write_all(answer(200, "{}").as_bytes()).await.unwrap();
        head
    };
    let (health, head) = tokio::join!(control.health(SECOND), server);
    assert_eq!(health, Health::Ready);
    assert!(head.to_lowercase().contains("authorization: bearer k1\r\n"), "{head}");
    assert!(!format!("{control:?}").contains("k1"), "the key must not be printed");
}

#[test]
fn a_key_that_is_not_header_text_is_refused_without_showing_it() {
    let endpoint = Endpoint::Tcp { address: "127.0.0.1:1".parse().unwrap(), key: "a\nb-secret".into() };
    let fault = Control::new(&endpoint).unwrap_err().to_string();
    assert!(fault.starts_with("cannot prepare") && !fault.contains("b-secret"), "{fault}");
}

#[test]
fn a_missing_resource_of_ours_is_distinguished_from_an_exited_engine() {
    let fault = io::Error::from_raw_os_error;
    for ours in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL] {
        assert!(is_want_of_ours(&fault(ours)), "{ours}");
    }
    for engines in [libc::ECONNREFUSED, libc::ENOENT, libc::ECONNRESET] {
        assert!(!is_want_of_ours(&fault(engines)), "{engines}");
    }
}
