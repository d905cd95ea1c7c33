//! The connection over TLS, with the operator's own certificate authority.

use std::sync::Arc;

use auxot_tests::{DEADLINE, Scratch, ScriptedRouter};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::{MODEL_FILE, hosted, worker};

/// A certificate authority, and a server with its certificate for `localhost` and `router.example`.
fn authority_and_server() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned(), "router.example".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (authority.pem(), TlsAcceptor::from(Arc::new(config)))
}

fn authority_and_router() -> (String, ScriptedRouter) {
    let (authority, server) = authority_and_server();
    (authority, ScriptedRouter::start_tls(server))
}

/// Serves one connection of a proxy: reads its request, reports it, and passes everything else to and from `port`.
async fn tunnel(stream: TcpStream, tls: TlsAcceptor, port: u16, requests: mpsc::Sender<String>) -> std::io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let mut router = TcpStream::connect(("127.0.0.1", port)).await?;
    let _ = requests.send(String::from_utf8_lossy(&request).into_owned()).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut stream, &mut router).await.map(drop)
}

#[tokio::test]
async fn t1_a_router_of_the_operators_own_authority_is_trusted() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let (authority, mut router) = authority_and_router();
    let file = scratch.join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    let mut worker = worker(&scratch, &router.url(), &[("AUXOT_CA_FILE", file.to_str().unwrap())]).await;
    let mut link = router.greeted(&hosted()).await;
    link.says("one", "over TLS").await;
    assert!(worker.lines_with("NOT encrypted").is_empty());
    worker.line("connection accepted").await;
}

#[tokio::test]
async fn t2_a_router_of_another_authority_is_not_trusted_and_the_log_says_why() {
    let (_, router) = authority_and_router();
    let (other_authority, _) = authority_and_router();
    for authority in [Some(other_authority), None] {
        let scratch = Scratch::new();
        scratch.fake_model(MODEL_FILE, "");
        let file = scratch.join("authority.pem");
        let mut settings = Vec::new();
        if let Some(authority) = authority {
            std::fs::write(&file, authority).unwrap();
            settings.push(("AUXOT_CA_FILE", file.to_str().unwrap()));
        }
        let mut worker = worker(&scratch, &router.url(), &settings).await;
        let line = worker.line("cannot reach the router").await;
        assert!(line.contains("certificate") && line.contains("localhost"), "{line}");
    }
    assert_eq!(router.connections(), 0, "nothing was said to it");
}

#[tokio::test]
async fn t3_a_file_without_a_certificate_stops_the_start() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let file = scratch.join("authority.pem");
    std::fs::write(&file, "not a certificate\n").unwrap();
    let mut command = auxot_tests::Worker::command(&scratch, "https://localhost:1");
    command.env("AUXOT_CA_FILE", &file);
    let mut program = auxot_tests::Program::start(command);
    let code = program.ended(crate::DEADLINE).await.code();
    assert!(code == Some(64) || code == Some(69), "{code:?}");
    let log = program.lines().join("\n");
    assert!(log.contains("authority.pem") && log.contains("certificate"), "{log}");
}

#[tokio::test]
async fn t4_everything_for_the_router_goes_through_an_encrypted_proxy_with_its_password() {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    let (authority, server) = authority_and_server();
    let file = scratch.join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    let mut router = ScriptedRouter::start_tls(server.clone());
    let port: u16 = router.url().rsplit(':').next().unwrap().parse().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_url = format!("https://me:secret@localhost:{}", proxy.local_addr().unwrap().port());
    let (sender, mut requests) = mpsc::channel(16);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut tunnels = JoinSet::new();
        while let Ok((stream, _)) = proxy.accept().await {
            tunnels.spawn(tunnel(stream, server.clone(), port, sender.clone()));
        }
    });
    let url = format!("https://router.example:{port}");
    let settings = [("AUXOT_CA_FILE", file.to_str().unwrap()), ("HTTPS_PROXY", &proxy_url)];
    let _worker = worker(&scratch, &url, &settings).await;
    let mut link = router.greeted(&hosted()).await;
    link.says("one", "through the proxy").await;
    // The connection, and the health report.
    for _ in 0..2 {
        let request = tokio::time::timeout(DEADLINE, requests.recv()).await.unwrap().unwrap();
        assert!(request.starts_with(&format!("CONNECT router.example:{port} HTTP/1.1\r\n")), "{request}");
        let lower = request.to_lowercase();
        assert!(lower.contains("\r\nproxy-authorization: basic bwu6c2vjcmv0\r\n"), "{request}");
    }
    // So the second request was not for another connection.
    link.says("two", "over the same connection").await;
}
