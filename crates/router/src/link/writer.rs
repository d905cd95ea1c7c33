//! The writing half of a link: drains the queue, then flushes once.

use std::time::Duration;

use auxot_protocol::ToWorker;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Ending;
use crate::hub::Outgoing;

/// How long a peer may take to answer our close frame.
const FAREWELL: Duration = Duration::from_secs(1);

/// Writes until the link must end.
pub(super) async fn run(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Outgoing>,
    limit: Duration,
) -> Ending {
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            if let Outgoing::Close { code, reason } = outgoing {
                let frame = CloseFrame { code, reason: reason.into() };
                let told = timeout(limit, sink.send(Message::Close(Some(frame)))).await;
                if matches!(told, Ok(Ok(()))) {
                    // The reader ends the link when the peer's close comes.
                    tokio::time::sleep(FAREWELL).await;
                }
                return Ending::Stopping;
            }
            match timeout(limit, sink.feed(message(outgoing))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ending::Broken,
                Err(_) => return Ending::Unread,
            }
            next = queue.try_recv().ok();
        }
        match timeout(limit, sink.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ending::Broken,
            Err(_) => return Ending::Unread,
        }
    }
    Ending::Cut
}

fn message(outgoing: Outgoing) -> Message {
    Message::text(match outgoing {
        Outgoing::Job { id, request, model, parameters } => {
            let mut job = request.for_worker(model, parameters);
            (*id).clone_into(&mut job.job_id);
            ToWorker::Job(Box::new(job)).to_frame()
        }
        Outgoing::Say(words) => words.to_frame(),
        Outgoing::Close { .. } => String::new(),
    })
}
