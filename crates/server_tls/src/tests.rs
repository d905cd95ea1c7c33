//! Certificates that are read, that change, and that cannot be used.

use std::fs;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Longer than any event takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

struct Files {
    folder: tempfile::TempDir,
}

/// A new certificate with its key, as PEM, and the certificate itself.
struct Made {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

fn made() -> Made {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Made { certificate: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
}

impl Files {
    fn new(made: &Made) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("cert.pem", &made.certificate);
        files.write("key.pem", &made.key);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn open(&self) -> Result<ServerTls, TlsError> {
        ServerTls::open(self.path("cert.pem"), self.path("key.pem"))
    }
}

/// A connection to a server that echoes; an error if the server has another certificate.
async fn connect(
    servers: &mut JoinSet<()>,
    tls: &ServerTls,
    trusted: &Made,
) -> std::io::Result<TlsStream<DuplexStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let (near, far) = tokio::io::duplex(16 << 10);
    let acceptor = tls.acceptor();
    servers.spawn(async move {
        let Ok(mut stream) = acceptor.accept(far).await else { return };
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            stream.write_all(&byte).await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    connector.connect(ServerName::try_from("localhost").unwrap(), near).await
}

async fn echoes(stream: &mut TlsStream<DuplexStream>) {
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let mut byte = [0];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut byte)).await.unwrap().unwrap();
}

#[test]
fn what_is_no_certificate_is_named() {
    let (one, other) = (made(), made());
    let files = Files::new(&one);
    assert!(files.open().is_ok());
    files.write("key.pem", &other.key);
    assert!(files.open().unwrap_err().to_string().starts_with("cannot use the certificate"), "another one's key");
    files.write("key.pem", "nothing");
    assert!(files.open().unwrap_err().to_string().contains("key.pem as PEM"));
    fs::remove_file(files.path("cert.pem")).unwrap();
    assert!(files.open().unwrap_err().to_string().contains("cert.pem as PEM"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_certificate_that_changes_is_that_of_the_next_handshake_and_open_connections_go_on() {
    let (old, new) = (made(), made());
    let files = Files::new(&old);
    let tls = files.open().unwrap();
    let watched = tls.clone();
    let mut servers = JoinSet::new();
    servers.spawn(async move { watched.watch().await });
    let mut open = connect(&mut servers, &tls, &old).await.unwrap();
    echoes(&mut open).await;
    files.write("cert.pem", &new.certificate);
    tls.read_again().await;
    assert!(connect(&mut servers, &tls, &old).await.is_ok(), "the key has not changed yet");
    files.write("key.pem", &new.key);
    let taken_over = async { while connect(&mut servers, &tls, &new).await.is_err() {} };
    tokio::time::timeout(DEADLINE, taken_over).await.unwrap();
    assert!(connect(&mut servers, &tls, &old).await.is_err());
    echoes(&mut open).await;
}
