//! The sockets that local clients connect to.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::config::ListenAddress;

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client's socket.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

impl Listener {
    pub(crate) async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    /// The address with the port that the system chose.
    pub(crate) fn address(&self, configured: &ListenAddress) -> String {
        let chosen = match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.to_string()),
            Self::Unix(_) => None,
        };
        chosen.unwrap_or_else(|| configured.to_string())
    }

    /// The next client, and where it is; one of a unix socket is on this host.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A token is a small packet and must not wait for the next one.
                stream.set_nodelay(true)?;
                Ok((Either::Left(stream), peer.ip().to_canonical()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Either::Right(stream), Ipv4Addr::LOCALHOST.into()))
            }
        }
    }
}

/// Removes the socket of an earlier run, which nothing listens on; any other file stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_of_an_earlier_run_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let address = ListenAddress::Unix(folder.path().join("g.sock"));
        let first = Listener::bind(&address).await.unwrap();
        assert_eq!(Listener::bind(&address).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        Listener::bind(&address).await.unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(Listener::bind(&ListenAddress::Unix(file.clone())).await.is_err() && file.is_file());
    }
}
