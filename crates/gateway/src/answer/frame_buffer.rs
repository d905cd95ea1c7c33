//! One buffer that goes back and forth between a body and the server that writes it.
//!
//! A server takes frames as long as its queue has space, so a client that reads slowly would have many of them in memory.
//! With one buffer for each answer the next bytes are read when the last ones were written, and a frame costs one small
//! allocation.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// The bytes of one frame: some fifteen events.
const SIZE: usize = 4 << 10;

/// The place of the buffer while it is not lent.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer(Arc<Mutex<Place>>);

#[derive(Debug, Default)]
enum Place {
    /// No frame was read yet.
    #[default]
    New,
    Here(Vec<u8>),
    /// The server has it; the body waits for it, or not.
    Lent(Option<Waker>),
}

impl FrameBuffer {
    /// Takes the buffer; pending until the server has written the last frame.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Vec<u8>> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *place, Place::Lent(None)) {
            Place::New => Poll::Ready(vec![0; SIZE]),
            Place::Here(buffer) => Poll::Ready(buffer),
            Place::Lent(_) => {
                *place = Place::Lent(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Puts a buffer back into which nothing was read.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Place::Here(buffer);
    }

    /// The first `length` bytes as a frame; the buffer comes back when the frame is dropped.
    pub(crate) fn lend(&self, buffer: Vec<u8>, length: usize) -> Bytes {
        Bytes::from_owner(LentBuffer { buffer, length, place: Arc::clone(&self.0) })
    }
}

struct LentBuffer {
    buffer: Vec<u8>,
    length: usize,
    place: Arc<Mutex<Place>>,
}

impl AsRef<[u8]> for LentBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for LentBuffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, Place::Here(buffer));
        drop(place);
        if let Place::Lent(Some(waiting)) = before {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_next_frame_is_read_when_the_last_one_was_written() {
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let mut context = Context::from_waker(&waker);
        let buffer = FrameBuffer::default();
        let Poll::Ready(mut bytes) = buffer.poll_take(&mut context) else { panic!("it is here") };
        bytes[..2].copy_from_slice(b"hi");
        let frame = buffer.lend(bytes, 2);
        assert_eq!(frame, "hi");
        assert!(buffer.poll_take(&mut context).is_pending() && buffer.poll_take(&mut context).is_pending());
        drop(frame);
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        let Poll::Ready(bytes) = buffer.poll_take(&mut context) else { panic!("it came back") };
        assert_eq!(bytes.len(), SIZE);
        buffer.put(bytes);
        assert!(buffer.poll_take(&mut context).is_ready());
    }
}
