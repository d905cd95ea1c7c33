//! The certificate authorities that a connection trusts: the system's and the operator's.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// TLS sessions that are stored for resumption, eight for each server.
const TICKETS: usize = 16;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operator's file cannot be used.
    #[error("cannot use {path} as a file of certificate authorities: {reason}")]
    CaFile {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The library refused its own defaults.
    #[error("cannot set up TLS: {0}")]
    Library(#[from] rustls::Error),
}

/// The TLS configuration of every connection.
///
/// # Errors
/// When the operator's file cannot be read or holds no certificate. System roots that cannot be read
/// are left out; without any root each connection fails with its own error.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let fault = |reason: String| TlsError::CaFile { path: path.display().to_string(), reason };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| fault(error.to_string()))?;
            roots.add(certificate).map_err(|error| fault(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(fault("it holds no certificate in PEM form".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A proxy in front of the router that speaks HTTP/2 would otherwise choose it, and no WebSocket with it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // The library's default for many servers takes 75 KB; there is one router, and perhaps a proxy before it.
    config.resumption = Resumption::in_memory_sessions(TICKETS);
    Ok(Arc::new(config))
}
