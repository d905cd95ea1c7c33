//! The way to the page: its listener is opened by the first request for a link, so that it costs nothing before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::{mpsc, oneshot};

use super::sessions::{LINK_TIME, Secret, Sessions};
use crate::failed::Failed;
use crate::messages::{PageLink, PageToken};
use crate::program_names::ProgramNames;

/// Requests for the listener that may wait.
const MOST_REQUESTS: usize = 8;

/// Requests the address of the page's listener.
pub(crate) type AddressRequest = oneshot::Sender<Result<SocketAddr, String>>;

/// Makes links to the page and tokens for programs.
#[derive(Debug, Clone)]
pub struct PageAccess {
    names: &'static ProgramNames,
    pub(crate) sessions: Arc<Sessions>,
    requests: mpsc::Sender<AddressRequest>,
}

impl PageAccess {
    /// The access, and the requests that the page answers.
    pub(crate) fn new(names: &'static ProgramNames) -> (Self, mpsc::Receiver<AddressRequest>) {
        let (requests, requested) = mpsc::channel(MOST_REQUESTS);
        (Self { names, sessions: Arc::default(), requests }, requested)
    }

    /// A link that opens the page once.
    async fn link(&self) -> Result<String, String> {
        let address = self.address().await?;
        let link = self.sessions.new_link(Instant::now()).map_err(|fault| format!("cannot make a link: {fault}"))?;
        Ok(format!("http://{address}/login?link={link}"))
    }

    /// The page's address, and a token for it.
    async fn token(&self) -> Result<(SocketAddr, Secret), String> {
        let address = self.address().await?;
        let token = self.sessions.new_token().map_err(|fault| format!("cannot make a token: {fault}"))?;
        Ok((address, token))
    }

    async fn address(&self) -> Result<SocketAddr, String> {
        let (answer, answered) = oneshot::channel();
        let ends = || format!("cannot open the page: the {} ends", self.names.noun);
        self.requests.send(answer).await.map_err(|_| ends())?;
        answered.await.unwrap_or_else(|_| Err(ends()))
    }
}

/// Answers with a link to the page.
///
/// # Errors
/// The page cannot be opened.
pub async fn page_link(State(access): State<PageAccess>) -> Result<Json<PageLink>, Failed> {
    let url = access.link().await.map_err(|fault| Failed(StatusCode::SERVICE_UNAVAILABLE, fault))?;
    Ok(Json(PageLink { url, expires_seconds: LINK_TIME.as_secs() }))
}

/// Answers with a token for programs.
///
/// # Errors
/// The page cannot be opened.
pub async fn page_token(State(access): State<PageAccess>) -> Result<Json<PageToken>, Failed> {
    let token = access.token().await;
    let (address, token) = token.map_err(|fault| Failed(StatusCode::SERVICE_UNAVAILABLE, fault))?;
    let url = format!("http://{address}");
    Ok(Json(PageToken { mcp_url: format!("{url}/mcp"), url, token }))
}
