//! The first exchange on a link: `hello` with a key, then `hello_ack` with a policy or a refusal.

use std::net::IpAddr;
use std::sync::Arc;

use auxot_protocol::{Capabilities, Hello, HelloAck, JobError, ToRouter, ToWorker, extension};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};

use crate::ids;
use crate::log_text::log_text;
use crate::shared::RouterState;
use auxot_access::CheckUnavailable;
use auxot_access::keys::{Key, KeyKind};

/// Seconds before a worker that cannot be accepted now should reconnect.
const RETRY_SECONDS: u64 = 5;
/// Extensions of the measured protocol that this router supports.
const EXTENSIONS: [&str; 3] = [extension::PARAMETERS, extension::NOT_STARTED, extension::REQUESTS];
/// The answer to a wrong key, with the text of the upstream router; a worker takes it as final.
const INVALID_KEY: (&str, &str) = ("invalid GPU key", "Authentication failed. Check your admin key.");

/// A worker with a good key.
pub(super) struct AcceptedWorker {
    pub(super) capabilities: Capabilities,
    pub(super) gpu_id: Arc<str>,
    pub(super) key: Arc<Key>,
}

/// Performs the handshake; returns `None` after a refusal, and the connection ends with the socket.
pub(super) async fn accept(shared: &RouterState, socket: &mut WebSocket, from: IpAddr) -> Option<AcceptedWorker> {
    let hello = match tokio::time::timeout(shared.config.hello_timeout, first_message(socket)).await {
        Ok(Some(hello)) => hello,
        Ok(None) => return None,
        Err(_) => {
            tracing::info!("connection closed: no hello in time");
            return None;
        }
    };
    let key = match shared.verifier.check(KeyKind::Worker, &hello.gpu_key, from).await {
        Ok(Some(key)) => key,
        Ok(None) => {
            tracing::warn!("worker refused: its key is unknown");
            refuse(shared, socket, INVALID_KEY.0, INVALID_KEY.1).await;
            return None;
        }
        Err(CheckUnavailable::Busy(checks)) => {
            tracing::warn!(checks, "worker asked to reconnect: too many keys are being checked");
            ask_to_retry(shared, socket, "too many keys are being checked").await;
            return None;
        }
        Err(CheckUnavailable::Unreadable) => {
            tracing::warn!("worker asked to reconnect: the key file cannot be read");
            ask_to_retry(shared, socket, "the router cannot check keys now").await;
            return None;
        }
    };
    if hello.worker_type.as_deref() == Some("tools") {
        tracing::warn!("worker refused: it offers tools, and this router takes GPU workers only");
        refuse(shared, socket, "this router takes GPU workers only", "worker_type `tools` is not served").await;
        return None;
    }
    // Without the prefix the worker takes this router for the upstream one and opens a connection for each slot.
    let gpu_id = match ids::hex::<16>("gpu_") {
        Ok(id) => id,
        Err(error) => {
            tracing::error!(%error, "cannot make an id for the worker");
            return None;
        }
    };
    let ack = ToWorker::HelloAck(HelloAck {
        success: true,
        gpu_id: Some(gpu_id.clone()),
        policy: Some(Box::new(shared.hub.policy_for(&hello.capabilities))),
        extensions: EXTENSIONS.map(str::to_owned).to_vec(),
        ..HelloAck::default()
    });
    send(shared, socket, Message::text(ack.to_frame())).await.then_some(AcceptedWorker {
        capabilities: hello.capabilities,
        gpu_id: gpu_id.into(),
        key,
    })
}

/// The first message, if it is a `hello`; anything else ends the connection without an answer, as at the upstream
/// router.
async fn first_message(socket: &mut WebSocket) -> Option<Hello> {
    loop {
        let text = match socket.recv().await? {
            Ok(Message::Text(text)) => text.to_string(),
            Ok(Message::Binary(bytes)) => String::from_utf8(bytes.into()).ok()?,
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Close(_)) | Err(_) => return None,
        };
        return match ToRouter::parse(&text) {
            Ok(ToRouter::Hello(hello)) => Some(*hello),
            Ok(_) => {
                tracing::info!("connection closed: the first message is not hello");
                None
            }
            Err(error) => {
                tracing::info!(
                    error = log_text(&error.to_string()),
                    "connection closed: the first message is unreadable"
                );
                None
            }
        };
    }
}

/// A temporary fault is not a refusal: the worker should reconnect.
async fn ask_to_retry(shared: &RouterState, socket: &mut WebSocket, error: &'static str) {
    let ack = ToWorker::HelloAck(HelloAck {
        error: Some(error.to_owned()),
        reconnect_in_seconds: Some(RETRY_SECONDS),
        ..HelloAck::default()
    });
    send(shared, socket, Message::text(ack.to_frame())).await;
}

async fn refuse(shared: &RouterState, socket: &mut WebSocket, error: &'static str, details: &'static str) {
    let refusal = JobError { job_id: None, error: error.into(), details: Some(details.into()), ..JobError::default() };
    let sent = send(shared, socket, Message::text(ToWorker::Error(refusal).to_frame())).await;
    // The upstream router sends no close frame; with one the worker sees an orderly end.
    if sent {
        let frame = CloseFrame { code: close_code::POLICY, reason: error.into() };
        send(shared, socket, Message::Close(Some(frame))).await;
    }
}

/// Sends one message within the write timeout.
async fn send(shared: &RouterState, socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(shared.config.write_timeout, socket.send(message)).await, Ok(Ok(())))
}
