//! Why a certificate cannot be used.

use rustls::pki_types::pem;

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
