//! Counts the bytes that a socket has written and read: the only proof that a slow peer is alive.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::timer;

/// Bytes that one socket has written and read.
#[derive(Debug, Default)]
pub struct ByteCounter {
    written: AtomicU64,
    read: AtomicU64,
}

/// The socket has taken no byte within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalled;

impl ByteCounter {
    /// Bytes written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes received, those of an incomplete message included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Runs a write that may take any time while the socket takes bytes. It ends when no byte was taken for `limit`, at the
    /// latest after twice that time.
    ///
    /// # Errors
    /// When the socket has taken no byte for that time.
    pub async fn while_moving<T>(&self, limit: Duration, writing: impl Future<Output = T>) -> Result<T, Stalled> {
        let mut seen = self.bytes();
        let alarm = timer::until(Instant::now() + limit);
        tokio::pin!(writing, alarm);
        loop {
            tokio::select! {
                biased;
                done = &mut writing => return Ok(done),
                () = &mut alarm => {
                    let now = self.bytes();
                    if now == seen {
                        return Err(Stalled);
                    }
                    seen = now;
                    alarm.set(timer::until(Instant::now() + limit));
                }
            }
        }
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    counter: Arc<ByteCounter>,
}

impl<S> Counted<S> {
    /// A stream and its counter.
    pub fn new(stream: S) -> (Self, Arc<ByteCounter>) {
        let counter = Arc::<ByteCounter>::default();
        (Self { stream, counter: Arc::clone(&counter) }, counter)
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.counter.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, before) = (self.get_mut(), buf.filled().len());
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.counter.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.count(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::sleep;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn slow_is_not_stalled() {
        let (near, mut far) = tokio::io::duplex(16);
        let (mut stream, counter) = Counted::new(near);
        let slowly = async {
            let mut byte = [0; 8];
            for _ in 0..40 {
                sleep(LIMIT / 2).await;
                far.read_exact(&mut byte).await.expect("read");
            }
        };
        let text = [b'x'; 320];
        let (written, ()) = tokio::join!(counter.while_moving(LIMIT, stream.write_all(&text)), slowly);
        assert!(written.is_ok_and(|written| written.is_ok()));
        assert_eq!(counter.bytes(), 320);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_taken_for_the_limit_is_stalled() {
        let (near, _far) = tokio::io::duplex(16);
        let (mut stream, counter) = Counted::new(near);
        let text = [b'x'; 320];
        assert!(counter.while_moving(LIMIT, stream.write_all(&text)).await.is_err());
        assert_eq!(counter.bytes(), 16);
    }
}
