//! The page for browsers, without a browser: who is let in, and what every answer says.

use std::path::{Path, PathBuf};

use auxot_tests::{Stage, Worker, http};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// A worker without a router that serves one model.
async fn serving() -> (Stage, Worker, PathBuf) {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "--text 'hello there'");
    let worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    stage.reports.next("ready", DEADLINE).await;
    let folders = std::fs::read_dir(stage.scratch.join("run")).unwrap().flatten();
    let socket = folders.map(|entry| entry.path().join("control.sock")).find(|path| path.exists()).unwrap();
    (stage, worker, socket)
}

/// An answer with its head.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A request with these fields of its head.
async fn request(address: &str, line: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !fields.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    let mut text = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut text)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Address and link of the page.
async fn link(socket: &Path) -> (String, String) {
    let answer = http::post_unix(socket, "/v1/page", "").await.unwrap();
    let url: Value = serde_json::from_str(&answer.body).unwrap();
    let url = url["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let (address, path) = url.split_once('/').unwrap();
    (address.to_owned(), format!("/{path}"))
}

/// A session: the page's address, the cookie, and the token against forged requests.
async fn session(socket: &Path) -> (String, String, String) {
    let (address, path) = link(socket).await;
    let login = request(&address, &format!("GET {path}"), &[], "").await;
    assert_eq!((login.status, login.header("location")), (303, Some("/")), "{}", login.head);
    let cookie = login.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let session = request(&address, "GET /session", &[("Cookie", &cookie)], "").await;
    let csrf: Value = serde_json::from_str(&session.body).unwrap();
    (address, cookie, csrf["csrf"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_link_opens_the_page_once_and_nothing_listens_before() {
    let (_stage, mut worker, socket) = serving().await;
    assert!(worker.lines_with("the page listens").is_empty());
    let (address, path) = link(&socket).await;
    worker.line("the page listens").await;
    assert_eq!(request(&address, &format!("HEAD {path}"), &[], "").await.status, 204);
    assert_eq!(request(&address, &format!("GET {path}"), &[], "").await.status, 303);
    let again = request(&address, &format!("GET {path}"), &[], "").await;
    assert!(again.status == 403 && again.body.contains("auxot-worker page"), "{}", again.body);
    assert_eq!(link(&socket).await.0, address, "one listener for all links");
}

#[tokio::test]
async fn every_answer_forbids_what_the_page_does_not_need() {
    let (_stage, _worker, socket) = serving().await;
    let (address, _) = link(&socket).await;
    for (path, status) in [("/", 200), ("/page.js", 200), ("/v1/status", 401), ("/nothing", 404)] {
        let answer = request(&address, &format!("GET {path}"), &[], "").await;
        assert_eq!(answer.status, status, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let foreign = request(&address, "GET /", &[("Host", "evil.example")], "").await;
    assert_eq!(foreign.status, 421, "{}", foreign.body);
    assert_eq!(request(&address, "GET /", &[("Host", "localhost")], "").await.status, 200);
}

#[tokio::test]
async fn a_session_steers_models_and_no_other_page_does() {
    let (_stage, _worker, socket) = serving().await;
    let (address, cookie, csrf) = session(&socket).await;
    let cookie = ("Cookie", cookie.as_str());
    let status = request(&address, "GET /v1/status", &[cookie], "").await;
    assert_eq!(status.status, 200, "{}", status.body);
    let pin = format!("POST /v1/models/{MODEL}/pin");
    let origin = format!("http://{address}");
    let token = ("X-CSRF-Token", csrf.as_str());
    for (fields, wanted) in [
        (vec![cookie], 403),
        (vec![cookie, ("X-CSRF-Token", "0000")], 403),
        (vec![token], 401),
        (vec![cookie, token, ("Origin", "http://evil.example")], 403),
        (vec![cookie, token, ("Origin", "null")], 403),
        (vec![cookie, token, ("Sec-Fetch-Site", "cross-site")], 403),
        (vec![cookie, token, ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")], 200),
    ] {
        let answer = request(&address, &pin, &fields, "").await;
        assert_eq!(answer.status, wanted, "{fields:?}: {}", answer.body);
    }
    // What gives access to others is on the socket only.
    for path in ["/v1/page", "/v1/token"] {
        let answer = request(&address, &format!("POST {path}"), &[cookie, token], "").await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_token_lets_programs_in_and_a_wrong_one_does_not() {
    let (_stage, _worker, socket) = serving().await;
    let answer = http::post_unix(&socket, "/v1/token", "").await.unwrap();
    let token: Value = serde_json::from_str(&answer.body).unwrap();
    let address = token["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let pin = format!("POST /v1/models/{MODEL}/pin");
    assert_eq!(request(&address, &pin, &[("Authorization", &bearer)], "").await.status, 200);
    assert_eq!(request(&address, &pin, &[("Authorization", "Bearer 00")], "").await.status, 401);
}

#[tokio::test]
async fn a_model_answers_in_the_chat_and_the_job_is_shown() {
    let (_stage, _worker, socket) = serving().await;
    let (address, cookie, csrf) = session(&socket).await;
    let fields = [("Cookie", cookie.as_str()), ("X-CSRF-Token", &csrf), ("Content-Type", "application/json")];
    let body = json!({"messages": [{"role": "user", "content": "hi"}]}).to_string();
    let answer = request(&address, &format!("POST /v1/models/{MODEL}/chat"), &fields, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|event| serde_json::from_str(event).unwrap()).collect();
    let text: String = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(text.trim(), "hello there", "{events:?}");
    let jobs = request(&address, "GET /v1/jobs", &fields, "").await;
    assert!(jobs.body.contains("\"front_end\":\"page\"") && jobs.body.contains("\"completed\""), "{}", jobs.body);
    let missing = request(&address, "POST /v1/models/none-such/chat", &fields, &body).await;
    assert_eq!(missing.status, 404, "{}", missing.body);
}
