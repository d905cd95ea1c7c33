//! The client of the control socket, for the operator's commands.

use std::ffi::OsString;
use std::path::Path;

pub use auxot_control_socket::ControlError;
use auxot_control_socket::{ControlClient, path_part};
use axum::http::Method;

use super::NAMES;
use super::api::{CreatedKey, Keys, NewKey, PageLink, PageToken, Providers, Revoked, Status, Workers};
use super::folder::{folders, trusted_sockets_in};

/// A running router.
#[derive(Debug, Clone)]
pub struct RouterClient(ControlClient);

impl RouterClient {
    /// The first router that answers, in the configured folder or in those where one may be by this environment.
    ///
    /// # Errors
    /// Where no router answers.
    pub async fn find(
        configured: Option<&Path>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ControlError> {
        let folders = folders(configured, variable);
        let sockets = folders.iter().flat_map(|folder| trusted_sockets_in(folder)).collect();
        ControlClient::find(&NAMES, sockets, &folders).await.map(Self)
    }

    /// The router with this socket.
    #[must_use]
    pub fn of_socket(socket: &Path) -> Self {
        Self(ControlClient::new(&NAMES, socket))
    }

    /// The state of the router.
    ///
    /// # Errors
    /// Where the router does not answer.
    pub async fn status(&self) -> Result<Status, ControlError> {
        self.0.get("/v1/status").await
    }

    /// The connected workers.
    ///
    /// # Errors
    /// Where the router does not answer.
    pub async fn workers(&self) -> Result<Workers, ControlError> {
        self.0.get("/v1/workers").await
    }

    /// The providers beside the workers.
    ///
    /// # Errors
    /// Where the router does not answer.
    pub async fn providers(&self) -> Result<Providers, ControlError> {
        self.0.get("/v1/providers").await
    }

    /// The keys.
    ///
    /// # Errors
    /// Where the router does not answer.
    pub async fn keys(&self) -> Result<Keys, ControlError> {
        self.0.get("/v1/keys").await
    }

    /// Creates a key.
    ///
    /// # Errors
    /// Where the router does not answer, or refuses.
    pub async fn create_key(&self, new: &NewKey) -> Result<CreatedKey, ControlError> {
        self.0.call(Method::POST, "/v1/keys", Some(new)).await
    }

    /// Revokes the keys of a name.
    ///
    /// # Errors
    /// Where the router does not answer, or there are none.
    pub async fn revoke_key(&self, name: &str) -> Result<Revoked, ControlError> {
        self.0.post(&format!("/v1/keys/{}/revoke", path_part(name))).await
    }

    /// A link to the page.
    ///
    /// # Errors
    /// Where the router does not answer, or cannot open the page.
    pub async fn page(&self) -> Result<PageLink, ControlError> {
        self.0.post("/v1/page").await
    }

    /// A token for programs that use the page's address.
    ///
    /// # Errors
    /// Where the router does not answer, or cannot open the page.
    pub async fn token(&self) -> Result<PageToken, ControlError> {
        self.0.post("/v1/token").await
    }
}
