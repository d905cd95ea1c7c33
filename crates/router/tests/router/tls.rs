//! Clients and workers over TLS, and a certificate that changes while they are connected.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auxot_router::{Config, Router, StartError};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{API_KEY, WORKER_KEY, config, one_model, start, within_deadline};

/// Makes a certificate for `localhost` and writes it with its key; returns it.
fn certificate(folder: &Path) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made
}

fn files(folder: &Path) -> Config {
    Config { tls: Some((folder.join("cert.pem"), folder.join("key.pem"))), ..config() }
}

async fn connect(
    router: &Router,
    trusted: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let tcp = TcpStream::connect(router.addr()).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

/// The next message for a worker.
async fn next(worker: &mut WebSocketStream<TlsStream<TcpStream>>) -> Value {
    let message = within_deadline("a message", worker.next()).await.unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_worker_and_a_client_speak_tls_and_a_new_certificate_breaks_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let old = certificate(folder.path());
    let router = start(files(folder.path())).await;
    let stream = connect(&router, &old).await.unwrap();
    let (mut worker, _) = tokio_tungstenite::client_async("wss://localhost/ws", stream).await.unwrap();
    let hello = json!({ "type": "hello", "gpu_key": WORKER_KEY, "capabilities": one_model(1) });
    worker.send(Message::text(hello.to_string())).await.unwrap();
    assert_eq!(next(&mut worker).await["success"], true);

    let new = certificate(folder.path());
    let taken_over = async {
        loop {
            if let Ok(stream) = connect(&router, &new).await {
                return stream;
            }
        }
    };
    let stream = within_deadline("the new certificate", taken_over).await;
    assert!(connect(&router, &old).await.is_err());

    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    let _driver = tokio::task::JoinSet::from_iter([async { drop(connection.await) }]);
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let request = hyper::Request::post("/v1/chat/completions").header("host", "localhost");
    let request = request.header("authorization", format!("Bearer {API_KEY}")).body(body).unwrap();
    let answering = async {
        let job = next(&mut worker).await;
        let complete = json!({ "type": "complete", "job_id": job["job_id"], "full_response": "over TLS" });
        worker.send(Message::text(complete.to_string())).await.unwrap();
    };
    let (response, ()) =
        within_deadline("an answer", async { tokio::join!(sender.send_request(request), answering) }).await;
    assert_eq!(response.unwrap().status(), 200, "by the connection of before");
}

#[tokio::test]
async fn a_connection_without_tls_is_closed_and_a_silent_one_in_time() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let router = start(Config { hello_timeout: Duration::from_millis(100), ..files(folder.path()) }).await;
    for bytes in [&b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"[..], b""] {
        let mut plain = TcpStream::connect(router.addr()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut plain, bytes).await.unwrap();
        let mut answer = Vec::new();
        let _reset_is_an_end_too = within_deadline("the end", plain.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP"));
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let error = Router::bind(files(folder.path())).await.err().unwrap();
    assert!(matches!(&error, StartError::Tls(_)) && error.to_string().contains("cert.pem"), "{error}");
}
