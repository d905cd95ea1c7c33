//! The hub as the program uses it.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::client::HubClient;
use crate::config::Config;
use crate::download::Download;
use crate::endpoint::Endpoint;
use crate::error::HubError;
use crate::event::{Event, Observer};
use crate::listing::{ListFault, Listing, list};
use crate::repair::{Repaired, repair};
use crate::source::RepositorySource;
use crate::transfer::{pause, piece};
use crate::unit;
use crate::variant::RemoteFile;

/// A hub and the limits of its downloads.
#[derive(Debug, Clone)]
pub struct Hub {
    client: HubClient,
    config: Config,
}

impl Hub {
    /// Sets up the connections; nothing is sent yet.
    ///
    /// # Errors
    /// When there is no TLS on this host.
    pub fn new(config: &Config, endpoint: Endpoint) -> Result<Self, HubError> {
        Ok(Self { client: HubClient::new(config, endpoint)?, config: config.clone() })
    }

    /// The hub's address and token.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.client.endpoint
    }

    /// Resolves a repository's revision and lists its models.
    ///
    /// # Errors
    /// When the hub refuses, or all attempts fail.
    pub async fn list(&self, source: &RepositorySource, observer: &Observer) -> Result<Listing, HubError> {
        let name = source.repository.to_string();
        let mut failures = 0;
        loop {
            let (reason, requested) = match list(&self.client, source).await {
                Ok(listing) => return Ok(listing),
                Err(ListFault::Final(fault)) => return Err(fault),
                Err(ListFault::Again(reason, requested)) => (reason, requested),
            };
            failures += 1;
            if failures >= self.config.attempts {
                return Err(HubError::NoProgress { file: name, attempts: failures, reason, have: Default::default() });
            }
            let pause = pause(&self.config, failures, requested);
            observer(&Event::Retrying { file: &name, reason: &reason, pause });
            tokio::time::sleep(pause).await;
        }
    }

    /// Downloads all files and returns their places.
    ///
    /// # Errors
    /// When one of them cannot be downloaded or is not what its origin states; what has arrived is kept for another call.
    pub async fn pull(&self, download: &Download, observer: &Observer) -> Result<Vec<PathBuf>, HubError> {
        unit::pull(&self.client, &self.config, download, observer).await
    }

    /// Fetches the damaged blocks of a downloaded file, and checks all of it again.
    ///
    /// # Errors
    /// When the file has no record, its origin refuses, or has another content by now; sound blocks stay as they are.
    pub async fn repair(&self, file: &Path, observer: &Observer) -> Result<Repaired, HubError> {
        repair(&self.client, &self.config, file, observer).await
    }

    /// The first bytes of a file, for a look at its header.
    ///
    /// # Errors
    /// When the hub does not send them.
    pub async fn head(&self, listing: &Listing, file: &RemoteFile, bytes: u64) -> Result<Bytes, HubError> {
        let url = self.client.endpoint.file(&listing.repository, &listing.commit, &file.path)?;
        piece(&self.client, &url, bytes).await
    }
}
