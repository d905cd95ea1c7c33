//! TLS for clients of other hosts: a certificate with its key, read at the start.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or is not PEM.
    #[error("cannot read {path} as PEM: {error}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        error: pem::Error,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("cannot use the certificate {path}: {error}")]
    Certificate {
        /// The certificate's file.
        path: String,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// Reads a certificate, with those of its authorities behind it, and its key.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |error| TlsError::File { path, error }
    };
    let chain =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(unreadable(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let unusable = |error| TlsError::Certificate { path: certificate.display().to_string(), error };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(unusable)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (file, missing) = (folder.path().join("a.pem"), folder.path().join("b.pem"));
        std::fs::write(&file, "nothing").unwrap();
        for (certificate, key, named) in [(&missing, &file, "b.pem"), (&file, &missing, "pem")] {
            let error = acceptor(certificate, key).err().unwrap().to_string();
            assert!(error.starts_with("cannot") && error.contains(named), "{error}");
        }
    }
}
