//! The one writer of a connection: it takes all frames of the send queue, writes them and flushes once.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::send_queue::{Ack, Frame, Frames};
use auxot_stall::{ByteCounter, Stalled};

/// The most frames and bytes before a flush, so that acks are marked even when the queue never becomes empty.
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 16 * 1024;

/// Why a writer ended.
#[derive(Debug)]
pub(crate) enum WriteEnd {
    /// It wrote a close frame, or all senders are dropped.
    Closed,
    /// The router takes no bytes.
    Stalled,
    /// The socket failed.
    Failed(String),
}

/// Writes until the end; the ack of every flushed frame is marked.
pub(crate) async fn write<S>(mut sink: S, mut frames: Frames, counter: Arc<ByteCounter>, limit: Duration) -> WriteEnd
where
    S: Sink<Message, Error = WsError> + Unpin,
{
    // Declared after `frames` and so dropped before it: all acks are marked before the connection is seen as gone.
    let mut unacked = Unacked::new(Arc::clone(&counter));
    while let Some(first) = frames.next().await {
        let batch = write_batch(&mut sink, first, &mut frames, &mut unacked);
        match counter.while_moving(limit, batch).await {
            Ok(Ok(Last::Open)) => unacked.ack_all(),
            Ok(Ok(Last::Closing)) => {
                unacked.ack_all();
                return WriteEnd::Closed;
            }
            // Displayed only: the debug form of this error holds the whole message, prompt included.
            Ok(Err(error)) => return WriteEnd::Failed(error.to_string()),
            Err(Stalled) => return WriteEnd::Stalled,
        }
    }
    WriteEnd::Closed
}

/// Whether a batch ended with a close frame.
enum Last {
    Open,
    Closing,
}

/// Writes one batch and flushes it.
async fn write_batch<S>(sink: &mut S, first: Frame, frames: &mut Frames, unacked: &mut Unacked) -> Result<Last, WsError>
where
    S: Sink<Message, Error = WsError> + Unpin,
{
    let mut next = Some(first);
    let (mut count, mut bytes) = (0, 0);
    while let Some(frame) = next.take() {
        poll_fn(|cx| sink.poll_ready_unpin(cx)).await?;
        // There is no await between here and `start_send`: a frame that is begun is in the sink.
        match frame {
            Frame::Text(text, ack) => {
                if ack.as_ref().is_none_or(Ack::begin) {
                    bytes += text.len();
                    unacked.add(text.len(), ack);
                    sink.start_send_unpin(Message::Text(text))?;
                }
            }
            Frame::Binary(message, ack) => {
                if ack.as_ref().is_none_or(Ack::begin) {
                    bytes += message.len();
                    unacked.add(message.len(), ack);
                    sink.start_send_unpin(Message::Binary(message))?;
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

/// The acks of frames that are begun, each with the position in the socket's stream where its frame ends.
///
/// When a connection ends in the middle of a batch, the router may have read the frames that the socket has taken
/// completely, so their acks are marked. Continuing after them can leave a gap, which the full text of the terminal message
/// closes; continuing before them would send text twice. The positions are never too high: other bytes in between (a pong,
/// TLS framing) only add to the bytes taken.
struct Unacked {
    counter: Arc<ByteCounter>,
    end: u64,
    acks: Vec<(u64, Ack)>,
}

impl Unacked {
    fn new(counter: Arc<ByteCounter>) -> Self {
        Self { end: counter.bytes(), counter, acks: Vec::new() }
    }

    fn add(&mut self, payload: usize, ack: Option<Ack>) {
        self.end += frame_size(payload);
        self.acks.extend(ack.map(|ack| (self.end, ack)));
    }

    /// All frames are flushed.
    fn ack_all(&mut self) {
        self.acks.drain(..).for_each(|(_, ack)| ack.mark_written());
        self.end = self.counter.bytes();
    }
}

impl Drop for Unacked {
    fn drop(&mut self) {
        let taken = self.counter.bytes();
        let whole = self.acks.drain(..).take_while(|(end, _)| *end <= taken);
        whole.for_each(|(_, ack)| ack.mark_written());
    }
}

/// The bytes of a client's frame: two of head, the long form of the length if needed, the mask, the payload.
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
    use crate::send_queue::{AckTracker, SendQueue};
    use auxot_stall::Counted;
    use tokio::io::AsyncReadExt;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;
    use tokio_util::sync::CancellationToken;

    const LIMIT: Duration = Duration::from_secs(10);

    fn frame(acks: &Arc<AckTracker>, upto: usize) -> Frame {
        Frame::Text("0123456789".into(), Some(Ack::new(acks, upto, true)))
    }

    #[tokio::test]
    async fn a_connection_cut_in_a_batch_has_what_its_socket_took_whole() {
        // Room for two frames of 16 bytes and a half.
        let (near, far) = tokio::io::duplex(40);
        let (stream, counter) = Counted::new(near);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let (queue, frames) = SendQueue::new();
        let acks = AckTracker::new(0, CancellationToken::new());
        for upto in 1..=4 {
            queue.send(frame(&acks, upto)).await.expect("room");
        }
        let mut writing = tokio::task::JoinSet::new();
        writing.spawn(write(socket, frames, Arc::clone(&counter), LIMIT));
        while counter.bytes() < 40 {
            tokio::task::yield_now().await;
        }
        assert_eq!(acks.written(), 0, "nothing is marked before the flush");
        writing.abort_all();
        queue.gone().await;
        assert_eq!(acks.written(), 2);
        drop(far);
    }

    #[tokio::test]
    async fn control_frames_go_first_and_revoked_frames_not_at_all() {
        let (near, mut far) = tokio::io::duplex(4096);
        let (stream, counter) = Counted::new(near);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let (queue, frames) = SendQueue::new();
        let (kept, revoked) =
            (AckTracker::new(0, CancellationToken::new()), AckTracker::new(0, CancellationToken::new()));
        queue.send(frame(&revoked, 1)).await.expect("room");
        queue.send(frame(&kept, 1)).await.expect("room");
        queue.send(Frame::Close).await.expect("room");
        assert!(queue.ask_read().is_some());
        assert_eq!(revoked.revoke(), 0);
        assert!(matches!(write(socket, frames, counter, LIMIT).await, WriteEnd::Closed));
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.expect("read");
        assert_eq!(bytes.first(), Some(&0x89), "the ping is first");
        assert_eq!(bytes.len() as u64, frame_size(8) + frame_size(10) + frame_size(2));
        assert_eq!((kept.written(), revoked.written()), (1, 0));
    }
}
