//! The one writer of a connection: takes what the outbox holds, writes it, flushes once.

use std::time::Duration;

use futures_util::{Sink, SinkExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::outbox::{Frame, Receipt};

/// Frames written before a flush, so that a lane that never runs dry still signs its receipts.
const BATCH: usize = 64;

/// Why a writer stopped.
#[derive(Debug)]
pub(crate) enum WriteEnd {
    /// It wrote a close frame, or nobody is left who could send.
    Closed,
    /// The router takes no bytes.
    Stalled,
    /// The socket failed.
    Failed(String),
}

/// Writes until the end; every flushed frame's receipt is signed.
pub(crate) async fn write<S>(mut sink: S, mut frames: mpsc::Receiver<Frame>, limit: Duration) -> WriteEnd
where
    S: Sink<Message, Error = WsError> + Unpin,
{
    let mut receipts: Vec<Receipt> = Vec::with_capacity(BATCH);
    while let Some(first) = frames.recv().await {
        let batch = write_batch(&mut sink, first, &mut frames, &mut receipts);
        match tokio::time::timeout(limit, batch).await {
            Ok(Ok(closing)) => {
                receipts.drain(..).for_each(Receipt::sign);
                if closing {
                    return WriteEnd::Closed;
                }
            }
            // Displayed only: the debug form of this error holds the message, prompt and all.
            Ok(Err(error)) => return WriteEnd::Failed(error.to_string()),
            Err(_) => return WriteEnd::Stalled,
        }
    }
    WriteEnd::Closed
}

/// Writes one batch; whether its last frame was the close.
async fn write_batch<S>(
    sink: &mut S,
    first: Frame,
    frames: &mut mpsc::Receiver<Frame>,
    receipts: &mut Vec<Receipt>,
) -> Result<bool, WsError>
where
    S: Sink<Message, Error = WsError> + Unpin,
{
    let mut next = Some(first);
    let mut written = 0;
    while let Some(frame) = next.take() {
        match frame {
            Frame::Text(text, receipt) => {
                sink.feed(Message::text(text)).await?;
                receipts.extend(receipt);
            }
            Frame::Ping => sink.feed(Message::Ping(Default::default())).await?,
            Frame::Close => {
                let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                sink.send(Message::Close(Some(close))).await?;
                return Ok(true);
            }
        }
        written += 1;
        if written < BATCH {
            next = frames.try_recv().ok();
        }
    }
    sink.flush().await?;
    Ok(false)
}
