//! One client's socket: bytes in, bytes out, and its disconnection.
//!
//! Raw on purpose. The benches compare the worker with this program, so a token costs one `write` and little else.

use std::io::{self, ErrorKind};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// Why an exchange with a client ended early.
#[derive(Debug)]
pub(crate) struct Gone;

/// Either kind of stream socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => socket.try_read(into),
            Socket::Tcp(socket) => socket.try_read(into),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Unix(socket) => socket.try_write(bytes),
            Socket::Tcp(socket) => socket.try_write(bytes),
        }
    }

    async fn ready(&self, interest: Interest) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.ready(interest).await.map(drop),
            Socket::Tcp(socket) => socket.ready(interest).await.map(drop),
        }
    }
}

/// A socket with the bytes that were read and not yet used.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    pub input: Vec<u8>,
}

impl Connection {
    /// Takes over an accepted socket.
    pub(crate) fn new(socket: Socket) -> Connection {
        Connection { socket, input: Vec::new() }
    }

    /// Reads what is there, waiting for at least one byte. Cancel safe.
    pub(crate) async fn fill(&mut self) -> Result<(), Gone> {
        loop {
            if self.read_some()? {
                return Ok(());
            }
            self.socket.ready(Interest::READABLE).await.map_err(|_| Gone)?;
        }
    }

    /// Ends when the client has closed. Bytes that it sends meanwhile are kept for the next request. Cancel safe.
    pub(crate) async fn gone(&mut self) -> Gone {
        loop {
            if let Err(gone) = self.fill().await {
                return gone;
            }
        }
    }

    /// Checks, without waiting, whether the client is still connected.
    pub(crate) fn look(&mut self) -> Result<(), Gone> {
        self.read_some().map(drop)
    }

    fn read_some(&mut self) -> Result<bool, Gone> {
        let mut bytes = [0_u8; 16 * 1024];
        match self.socket.try_read(&mut bytes) {
            Ok(0) => Err(Gone),
            Ok(count) => {
                self.input.extend_from_slice(&bytes[..count]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(Gone),
        }
    }

    /// Writes all of it; waits only where the socket is full.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Gone> {
        while !bytes.is_empty() {
            match self.socket.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.ready(Interest::WRITABLE).await.map_err(|_| Gone)?;
                }
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }
}
