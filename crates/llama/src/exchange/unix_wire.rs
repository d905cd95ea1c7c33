//! A connection to an engine over a unix socket that wakes its task for bytes only.
//!
//! A unix socket is "writable" again each time its other side reads, so a socket of the runtime, which waits for both, is
//! woken once more for each request: by the engine that has read it, in the moment in which the engine should work. This one
//! waits to write only after a write that the socket did not take whole.

use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The connection.
#[derive(Debug)]
pub(super) struct UnixWire(AsyncFd<UnixStream>);

impl UnixWire {
    /// Takes a connected socket that does not block.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        wait_for(stream, Interest::READABLE).map(Self)
    }

    /// The socket.
    pub(super) fn socket(&self) -> &UnixStream {
        self.0.get_ref()
    }

    /// Reads all that has arrived; 0 at the end. Cancel safe.
    pub(super) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            match self.socket().read(buffer) {
                Ok(read) => {
                    // A buffer that is not full has emptied the socket: what comes next, its end too, wakes again.
                    if read > 0 && read < buffer.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }

    /// Writes as much as the socket takes, at least one byte.
    pub(super) async fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.socket().write_vectored(parts) {
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
            written => return written,
        }
        // A second descriptor of the same socket, because the first one keeps what it waits for.
        let writable = wait_for(self.socket().try_clone()?, Interest::WRITABLE)?;
        writable.async_io(Interest::WRITABLE, |mut socket| socket.write_vectored(parts)).await
    }
}

#[expect(unsafe_code, reason = "the runtime has no safe way to wait for reading alone")]
fn wait_for(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: the stream owns its descriptor, which is the same until the `AsyncFd` drops it: nothing gives it away.
    unsafe { AsyncFd::register_with_interest(stream, interest) }.map_err(io::Error::from)
}
