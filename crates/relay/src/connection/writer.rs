//! The one writer of a connection: takes what the outbox holds, writes it, flushes once.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::connection::byte_counter::{Meter, Stalled};
use crate::send_queue::ack::Receipt;
use crate::send_queue::{Frame, Frames};

/// Frames and bytes written before a flush, so that a lane that never runs dry still signs its receipts.
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 16 * 1024;

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
pub(crate) async fn write<S>(mut sink: S, mut frames: Frames, meter: Arc<Meter>, limit: Duration) -> WriteEnd
where
    S: Sink<Message, Error = WsError> + Unpin,
{
    // Declared after `frames`, so dropped before it: a lane is only seen to be gone with its books closed.
    let mut unsigned = Unsigned::new(Arc::clone(&meter));
    while let Some(first) = frames.next().await {
        let batch = write_batch(&mut sink, first, &mut frames, &mut unsigned);
        match meter.while_moving(limit, batch).await {
            Ok(Ok(Last::Open)) => unsigned.sign_all(),
            Ok(Ok(Last::Closing)) => {
                unsigned.sign_all();
                return WriteEnd::Closed;
            }
            // Displayed only: the debug form of this error holds the message, prompt and all.
            Ok(Err(error)) => return WriteEnd::Failed(error.to_string()),
            Err(Stalled) => return WriteEnd::Stalled,
        }
    }
    WriteEnd::Closed
}

/// What a batch ended with.
enum Last {
    Open,
    Closing,
}

/// Writes one batch and flushes it.
async fn write_batch<S>(
    sink: &mut S,
    first: Frame,
    frames: &mut Frames,
    unsigned: &mut Unsigned,
) -> Result<Last, WsError>
where
    S: Sink<Message, Error = WsError> + Unpin,
{
    let mut next = Some(first);
    let (mut count, mut bytes) = (0, 0);
    while let Some(frame) = next.take() {
        poll_fn(|cx| sink.poll_ready_unpin(cx)).await?;
        // From here to `start_send` nothing waits: what is begun is in the sink.
        match frame {
            Frame::Text(text, receipt) => {
                if receipt.as_ref().is_none_or(Receipt::begin) {
                    bytes += text.len();
                    unsigned.add(text.len(), receipt);
                    sink.start_send_unpin(Message::Text(text))?;
                }
            }
            Frame::Ping(probe) => sink.start_send_unpin(Message::Ping(probe.payload().to_vec().into()))?,
            Frame::Close => {
                let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                sink.send(Message::Close(Some(close))).await?;
                return Ok(Last::Closing);
            }
        }
        count += 1;
        if count < BATCH_FRAMES && bytes < BATCH_BYTES {
            next = frames.try_next();
        }
    }
    sink.flush().await?;
    Ok(Last::Open)
}

/// Receipts of frames that are begun, each with the place in the socket's stream where its frame ends.
///
/// When a connection ends in the middle of a batch, the frames that the socket has taken whole may have been
/// read by the router, so their receipts are signed: going on after them can leave a gap, which only the terminal
/// message's full text closes, while going on before them would say things twice. The places are never too
/// high: what else goes out in between (a pong, TLS framing) only adds to the bytes taken.
struct Unsigned {
    meter: Arc<Meter>,
    end: u64,
    receipts: Vec<(u64, Receipt)>,
}

impl Unsigned {
    fn new(meter: Arc<Meter>) -> Self {
        Self { end: meter.bytes(), meter, receipts: Vec::new() }
    }

    fn add(&mut self, payload: usize, receipt: Option<Receipt>) {
        self.end += frame_size(payload);
        self.receipts.extend(receipt.map(|receipt| (self.end, receipt)));
    }

    /// Everything is flushed.
    fn sign_all(&mut self) {
        self.receipts.drain(..).for_each(|(_, receipt)| receipt.sign());
        self.end = self.meter.bytes();
    }
}

impl Drop for Unsigned {
    fn drop(&mut self) {
        let taken = self.meter.bytes();
        let whole = self.receipts.drain(..).take_while(|(end, _)| *end <= taken);
        whole.for_each(|(_, receipt)| receipt.sign());
    }
}

/// Bytes of a client's frame: two of head, the length where it is longer than fits there, the mask, the payload.
fn frame_size(payload: usize) -> u64 {
    let length = match payload {
        0..126 => 0,
        126..=0xffff => 2,
        _ => 8,
    };
    2 + length + 4 + payload as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::byte_counter::Metered;
    use crate::send_queue::Outbox;
    use crate::send_queue::ack::Delivery;
    use tokio::io::AsyncReadExt;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;
    use tokio_util::sync::CancellationToken;

    const LIMIT: Duration = Duration::from_secs(10);

    fn frame(delivery: &Arc<Delivery>, upto: usize) -> Frame {
        Frame::Text("0123456789".into(), Some(Receipt::new(delivery, upto, true)))
    }

    #[tokio::test]
    async fn a_connection_cut_in_a_batch_has_what_its_socket_took_whole() {
        // Room for two frames of 16 bytes and a half.
        let (near, far) = tokio::io::duplex(40);
        let (stream, meter) = Metered::new(near);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let (outbox, frames) = Outbox::new();
        let delivery = Delivery::new(0, CancellationToken::new());
        for upto in 1..=4 {
            outbox.send(frame(&delivery, upto)).await.expect("room");
        }
        let mut writing = tokio::task::JoinSet::new();
        writing.spawn(write(socket, frames, Arc::clone(&meter), LIMIT));
        while meter.bytes() < 40 {
            tokio::task::yield_now().await;
        }
        assert_eq!(delivery.written(), 0, "nothing is signed before the flush");
        writing.abort_all();
        outbox.gone().await;
        assert_eq!(delivery.written(), 2);
        drop(far);
    }

    #[tokio::test]
    async fn what_the_worker_says_of_itself_goes_first_and_what_is_revoked_not_at_all() {
        let (near, mut far) = tokio::io::duplex(4096);
        let (stream, meter) = Metered::new(near);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let (outbox, frames) = Outbox::new();
        let (kept, left) = (Delivery::new(0, CancellationToken::new()), Delivery::new(0, CancellationToken::new()));
        outbox.send(frame(&left, 1)).await.expect("room");
        outbox.send(frame(&kept, 1)).await.expect("room");
        outbox.send(Frame::Close).await.expect("room");
        assert!(outbox.ask_read().is_some());
        assert_eq!(left.revoke(), 0);
        assert!(matches!(write(socket, frames, meter, LIMIT).await, WriteEnd::Closed));
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.expect("read");
        assert_eq!(bytes.first(), Some(&0x89), "the ping is first");
        assert_eq!(bytes.len() as u64, frame_size(8) + frame_size(10) + frame_size(2));
        assert_eq!((kept.written(), left.written()), (1, 0));
    }
}
