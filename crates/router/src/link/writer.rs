//! The writing half of a link: writes the queued messages, then flushes once.
//!
//! A message of megabytes takes a slow line any time, so the limit is on the time in which the socket takes no byte.

use std::time::Duration;

use auxot_protocol::ToWorker;
use auxot_stall::ByteCounter;
use axum::extract::ws::{CloseFrame, Message};
use futures_util::{Sink, SinkExt};
use tokio::sync::mpsc;

use super::DisconnectReason;
use crate::hub::Outgoing;

/// How long a worker may take to answer the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes until the link ends.
pub(super) async fn run(
    mut sink: impl Sink<Message> + Unpin,
    mut queue: mpsc::Receiver<Outgoing>,
    counter: &ByteCounter,
    limit: Duration,
) -> DisconnectReason {
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            if let Outgoing::Close { code, reason } = outgoing {
                let frame = CloseFrame { code, reason: reason.into() };
                let delivered = counter.while_moving(limit, sink.send(Message::Close(Some(frame)))).await;
                if matches!(delivered, Ok(Ok(()))) {
                    // The reader ends the link when the worker's close frame arrives.
                    tokio::time::sleep(CLOSE_TIMEOUT).await;
                }
                return DisconnectReason::Stopping;
            }
            match counter.while_moving(limit, sink.feed(message(outgoing))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return DisconnectReason::Broken,
                Err(_) => return DisconnectReason::Unread,
            }
            next = queue.try_recv().ok();
        }
        match counter.while_moving(limit, sink.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return DisconnectReason::Broken,
            Err(_) => return DisconnectReason::Unread,
        }
    }
    DisconnectReason::Cut
}

fn message(outgoing: Outgoing) -> Message {
    let message = match outgoing {
        Outgoing::Job { id, request, model, form } => ToWorker::Job(Box::new(request.for_worker(&id, model, form))),
        Outgoing::Message(message) => *message,
        Outgoing::Close { .. } => return Message::text(String::new()),
    };
    match message.to_payload_frame() {
        Some(frame) => Message::binary(frame),
        None => Message::text(message.to_frame()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use auxot_protocol::Cancel;
    use auxot_stall::Counted;
    use futures_util::sink;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Writes one long message, and then the queue ends.
    async fn written(near: DuplexStream) -> DisconnectReason {
        let (stream, counter) = Counted::new(near);
        let sink = sink::unfold(stream, |mut stream, message: Message| async {
            stream.write_all(&message.into_data()).await?;
            Ok::<_, io::Error>(stream)
        });
        let (queue, outgoing) = mpsc::channel(1);
        let message = ToWorker::Cancel(Cancel { job_id: "x".repeat(1000) });
        queue.send(Outgoing::Message(Box::new(message))).await.unwrap();
        drop(queue);
        run(Box::pin(sink), outgoing, &counter, LIMIT).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_moves_may_take_longer_than_the_limit() {
        let (near, mut far) = tokio::io::duplex(64);
        let slowly = async {
            let mut part = [0; 64];
            while far.read(&mut part).await.unwrap() > 0 {
                sleep(LIMIT / 2).await;
            }
        };
        let (ended, ()) = tokio::join!(written(near), slowly);
        assert_eq!(ended, DisconnectReason::Cut, "the queue has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_takes_nothing_is_cut() {
        let (near, _far) = tokio::io::duplex(64);
        assert_eq!(written(near).await, DisconnectReason::Unread);
    }
}
