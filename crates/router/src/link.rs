//! One worker's connection, from the upgrade to its end.
//!
//! Reading and writing are two futures in one task: neither waits for the other, and no other task has to wake to pass
//! a token on. The link owns the heartbeat deadline of the worker. However it ends, the worker and its jobs leave the
//! hub once.

mod handshake;
mod reader;
mod writer;

use std::sync::Arc;

use auxot_protocol::extension;
use auxot_stall::ByteCounter;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::hub::{LinkHandle, LinkReport};
use crate::log_text::log_text;
use crate::shared::RouterState;
use crate::unauthenticated::Unauthenticated;
use handshake::AcceptedWorker;

/// Messages that may wait for one worker; more than its jobs plus the answers to heartbeats.
const QUEUE: usize = 1024;

/// Why a link ended, for its last log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DisconnectReason {
    #[error("the worker closed it")]
    Closed,
    #[error("the connection broke")]
    Broken,
    #[error("the worker does not read")]
    Unread,
    #[error("no heartbeat for ten thresholds")]
    Silent,
    #[error("cut by the router")]
    Cut,
    #[error("the router is stopping")]
    Stopping,
}

/// `GET /ws`. The key comes in the first message, not in the upgrade.
pub(crate) async fn upgrade(
    State(shared): State<Arc<RouterState>>,
    Extension(unauthenticated): Extension<Arc<Unauthenticated>>,
    Extension(counter): Extension<Arc<ByteCounter>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let links = shared.links.clone();
    let program = headers.get(USER_AGENT).and_then(|program| program.to_str().ok()).map(|name| log_text(name).into());
    upgrade
        .max_message_size(shared.config.max_message)
        .max_frame_size(shared.config.max_message)
        .read_buffer_size(16 * 1024)
        .write_buffer_size(16 * 1024)
        .on_upgrade(move |socket| links.track_future(serve(shared, socket, program, unauthenticated, counter)))
}

async fn serve(
    shared: Arc<RouterState>,
    mut socket: WebSocket,
    program: Option<Arc<str>>,
    unauthenticated: Arc<Unauthenticated>,
    counter: Arc<ByteCounter>,
) {
    let cut = shared.kill.child_token();
    let accepted = tokio::select! {
        accepted = handshake::accept(&shared, &mut socket, unauthenticated.address) => accepted,
        () = unauthenticated.close.cancelled() => None,
        () = cut.cancelled() => None,
    };
    let Some(AcceptedWorker { capabilities, gpu_id, key }) = accepted else { return };
    unauthenticated.authenticate();
    let address = unauthenticated.address;
    drop(unauthenticated);
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let link = LinkHandle {
        gpu_id: gpu_id.clone(),
        key,
        parameters: extension::has(&capabilities.extensions, extension::PARAMETERS),
        requests: extension::has(&capabilities.extensions, extension::REQUESTS),
        queue: queue.clone(),
        report: LinkReport::new(address, program, &capabilities),
        cut: cut.clone(),
    };
    let worker = shared.hub.join(&capabilities, link);
    tracing::info!(
        gpu_id = &*gpu_id,
        model = log_text(&capabilities.model),
        slots = capabilities.total_slots,
        "worker joined"
    );

    let (sink, stream) = socket.split();
    let ending = {
        let reader = reader::LinkReader::new(&shared, worker, gpu_id.clone(), queue);
        tokio::select! {
            ending = reader.run(stream) => ending,
            ending = writer::run(sink, outgoing, &counter, shared.config.write_timeout) => ending,
            () = cut.cancelled() => DisconnectReason::Cut,
        }
    };
    shared.hub.leave(worker);
    tracing::info!(gpu_id = &*gpu_id, reason = %ending, "worker left");
}
