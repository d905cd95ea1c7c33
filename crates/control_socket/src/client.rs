//! The client of a control socket, for the operator's commands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::messages::Failure;
use crate::program_names::ProgramNames;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;
/// The longest wait for an answer: no command waits for a load.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No such program runs that this user can reach.
    #[error(
        "cannot find a running {0} of this user in {2}; start one with `{1}`, run this as the {0}'s user, or set {3} as the \
         {0} has it",
        names.noun, names.command, list(looked_in), names.folder_setting
    )]
    NotFound {
        /// The program.
        names: ProgramNames,
        /// Where its socket could be.
        looked_in: Vec<PathBuf>,
    },
    /// The program does not answer.
    #[error("cannot reach the {noun} at {}: {reason}", path.display())]
    Unreachable {
        /// What the program is.
        noun: &'static str,
        /// Its socket.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The program refuses the command.
    #[error("{0}")]
    Refused(String),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Sends requests to one socket.
#[derive(Debug, Clone)]
pub struct ControlClient {
    names: &'static ProgramNames,
    socket: PathBuf,
}

impl ControlClient {
    /// The client of the socket at this path.
    #[must_use]
    pub fn new(names: &'static ProgramNames, socket: &Path) -> Self {
        Self { names, socket: socket.to_owned() }
    }

    /// The client of the first socket that answers; those of programs that are gone do not.
    ///
    /// # Errors
    /// Where none answers; `looked_in` is for the message.
    pub async fn find(
        names: &'static ProgramNames,
        sockets: Vec<PathBuf>,
        looked_in: &[PathBuf],
    ) -> Result<Self, ControlError> {
        let mut fault = ControlError::NotFound { names: *names, looked_in: looked_in.to_owned() };
        for path in sockets {
            match UnixStream::connect(&path).await {
                Ok(_) => return Ok(Self { names, socket: path }),
                Err(reason) => {
                    fault = ControlError::Unreachable { noun: names.noun, path, reason: reason.to_string() };
                }
            }
        }
        Err(fault)
    }

    /// The path of the socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Where the program does not answer, or refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Sends a command.
    ///
    /// # Errors
    /// Where the program does not answer, or refuses.
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        self.call(Method::POST, path, None::<&()>).await
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Where the program does not answer, or refuses.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ControlError> {
        let asking = async {
            let (mut sender, connection) = self.connect().await?;
            let request = self.request(method, path, body)?;
            let exchange = async {
                let answer = sender.send_request(request).await.map_err(|fault| self.unreachable(fault))?;
                let status = answer.status();
                let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
                Ok((status, body.map_err(|fault| self.unreachable(fault))?.to_bytes()))
            };
            // The connection makes progress only while it is polled.
            tokio::pin!(exchange);
            tokio::select! {
                result = &mut exchange => result,
                _ended = connection => exchange.await,
            }
        };
        let (status, bytes) = match tokio::time::timeout(TIMEOUT, asking).await {
            Ok(result) => result?,
            Err(_) => return Err(self.unreachable(format!("no answer within {} s", TIMEOUT.as_secs()))),
        };
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|fault| self.unreachable(format!("cannot read the answer: {fault}")));
        }
        Err(self.refused(status, &bytes))
    }

    /// A connection to the socket: what sends requests, and the future that must be polled meanwhile.
    ///
    /// # Errors
    /// Where the program does not answer.
    pub async fn connect(
        &self,
    ) -> Result<(SendRequest<Full<Bytes>>, impl Future<Output = hyper::Result<()>> + use<>), ControlError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|fault| self.unreachable(fault))?;
        http1::handshake(TokioIo::new(stream)).await.map_err(|fault| self.unreachable(fault))
    }

    /// A request.
    ///
    /// # Errors
    /// The path is none.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Request<Full<Bytes>>, ControlError> {
        let body = body.map(serde_json::to_vec).transpose().map_err(|fault| self.unreachable(fault))?;
        let request = Request::builder().method(method).uri(path).header("host", self.names.noun);
        let request = request.header("content-type", "application/json");
        request.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(|fault| self.unreachable(fault))
    }

    /// The program does not answer.
    pub fn unreachable(&self, reason: impl std::fmt::Display) -> ControlError {
        let reason = reason.to_string();
        ControlError::Unreachable { noun: self.names.noun, path: self.socket.clone(), reason }
    }

    /// The error of an answer that is none.
    #[must_use]
    pub fn refused(&self, status: StatusCode, body: &[u8]) -> ControlError {
        let failure = serde_json::from_slice::<Failure>(body).map(|failure| failure.error);
        ControlError::Refused(failure.unwrap_or_else(|_| format!("the {} answers {status}", self.names.noun)))
    }
}

/// A part of a path: a name may hold any sign.
#[must_use]
pub fn path_part(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => part.push(char::from(byte)),
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_any_sign_is_one_part_of_a_path() {
        assert_eq!(path_part("owner/Some Repo:Q8_0?"), "owner%2FSome%20Repo%3AQ8_0%3F");
        assert_eq!(path_part("ä-1.5~x"), "%C3%A4-1.5~x");
    }
}
