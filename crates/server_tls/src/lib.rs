//! TLS of a server of ours: a certificate with its key, taken over when their files change.
//!
//! # Theory of operation
//!
//! A [`ServerTls`] reads a certificate, with those of its authorities behind it, and its key. Each handshake gets the
//! certificate of that moment; connections that are open go on with the keys that they have agreed on. [`ServerTls::watch`]
//! reads both files again when one of them changes. Two files do not change at once: a certificate that is not that of the
//! key, like anything that cannot be read, leaves the one before in use, and the next change is another attempt.
//!
//! # Example
//!
//! ```no_run
//! # async fn serve(stream: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//! let tls = auxot_server_tls::ServerTls::open("cert.pem".into(), "key.pem".into())?;
//! let stream = tls.acceptor().accept(stream).await?;
//! # Ok(())
//! # }
//! ```

mod certificate;
mod error;

use std::path::PathBuf;
use std::sync::Arc;

use auxot_folder_watch::FileWatch;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use certificate::Current;
pub use error::TlsError;

/// A certificate with its key, for a server.
#[derive(Debug, Clone)]
pub struct ServerTls {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads a certificate and its key, both PEM. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or the key is not the certificate's.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = Arc::new(Current::read(&certificate, &key, &provider)?);
        let unusable = |error| TlsError::Certificate { path: certificate.display().to_string(), error };
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(unusable)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { certificate, key, current, config: Arc::new(config) })
    }

    /// What takes handshakes, with the certificate of that moment.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Takes the files over whenever they change, until it is dropped.
    pub async fn watch(&self) {
        let mut certificate = FileWatch::open("the certificate: restart after a change");
        let mut key = FileWatch::open("the key of the certificate: restart after a change");
        loop {
            certificate.follow(Some(&self.certificate)).await;
            key.follow(Some(&self.key)).await;
            // They may have changed before they were watched.
            self.read_again().await;
            tokio::select! {
                () = certificate.changed() => {}
                () = key.changed() => {}
            }
        }
    }

    async fn read_again(&self) {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            this.current.read_again(&this.certificate, &this.key, this.config.crypto_provider())
        });
        match read.await {
            Ok(Ok(true)) => tracing::info!(certificate = %self.certificate.display(), "certificate read again"),
            Ok(Err(error)) => tracing::error!(%error, "the certificate stays as it is"),
            // A panic has been logged.
            Ok(Ok(false)) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
