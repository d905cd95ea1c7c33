//! The writing half of a link: writes the queued messages, then flushes once.

use std::time::Duration;

use auxot_protocol::ToWorker;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::DisconnectReason;
use crate::hub::Outgoing;

/// How long a worker may take to answer the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes until the link ends.
pub(super) async fn run(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Outgoing>,
    limit: Duration,
) -> DisconnectReason {
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            if let Outgoing::Close { code, reason } = outgoing {
                let frame = CloseFrame { code, reason: reason.into() };
                let delivered = timeout(limit, sink.send(Message::Close(Some(frame)))).await;
                if matches!(delivered, Ok(Ok(()))) {
                    // The reader ends the link when the worker's close frame arrives.
                    tokio::time::sleep(CLOSE_TIMEOUT).await;
                }
                return DisconnectReason::Stopping;
            }
            match timeout(limit, sink.feed(message(outgoing))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return DisconnectReason::Broken,
                Err(_) => return DisconnectReason::Unread,
            }
            next = queue.try_recv().ok();
        }
        match timeout(limit, sink.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return DisconnectReason::Broken,
            Err(_) => return DisconnectReason::Unread,
        }
    }
    DisconnectReason::Cut
}

fn message(outgoing: Outgoing) -> Message {
    let message = match outgoing {
        Outgoing::Job { id, request, model, parameters } => {
            let mut job = request.for_worker(model, parameters);
            (*id).clone_into(&mut job.job_id);
            ToWorker::Job(Box::new(job))
        }
        Outgoing::Message(message) => *message,
        Outgoing::Close { .. } => return Message::text(String::new()),
    };
    match message.to_payload_frame() {
        Some(frame) => Message::binary(frame),
        None => Message::text(message.to_frame()),
    }
}
