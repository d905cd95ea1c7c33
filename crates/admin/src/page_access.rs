//! The way to the page: its listener is opened by the first request for a link, so that it costs nothing before.

mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

pub(crate) use sessions::{LINK_TIME, Secret, Sessions, is_same};

/// Requests for the listener that may wait.
const MOST_REQUESTS: usize = 8;

/// Requests the address of the page's listener.
pub(crate) type AddressRequest = oneshot::Sender<Result<SocketAddr, String>>;

/// Makes links to the page and tokens for programs.
#[derive(Debug, Clone)]
pub(crate) struct PageAccess {
    pub(crate) sessions: Arc<Sessions>,
    requests: mpsc::Sender<AddressRequest>,
}

impl PageAccess {
    /// The access, and the requests that the page answers.
    pub(crate) fn new() -> (Self, mpsc::Receiver<AddressRequest>) {
        let (requests, requested) = mpsc::channel(MOST_REQUESTS);
        (Self { sessions: Arc::default(), requests }, requested)
    }

    /// A link that opens the page once.
    pub(crate) async fn link(&self) -> Result<String, String> {
        let address = self.address().await?;
        let link = self.sessions.new_link(Instant::now()).map_err(|fault| format!("cannot make a link: {fault}"))?;
        Ok(format!("http://{address}/login?link={link}"))
    }

    /// The page's address, and a token for it.
    pub(crate) async fn token(&self) -> Result<(SocketAddr, Secret), String> {
        let address = self.address().await?;
        let token = self.sessions.new_token().map_err(|fault| format!("cannot make a token: {fault}"))?;
        Ok((address, token))
    }

    async fn address(&self) -> Result<SocketAddr, String> {
        let (answer, answered) = oneshot::channel();
        let ends = || "cannot open the page: the worker ends".to_owned();
        self.requests.send(answer).await.map_err(|_| ends())?;
        answered.await.unwrap_or_else(|_| Err(ends()))
    }
}
