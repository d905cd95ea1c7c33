//! The sockets that local clients connect to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::config::ListenAddress;

/// A socket that listens.
pub(crate) enum Listener {
    /// With TLS where other hosts can reach it and there is a certificate.
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(listener, tls) => f.debug_tuple("Tcp").field(listener).field(&tls.is_some()).finish(),
            Self::Unix(listener) => f.debug_tuple("Unix").field(listener).finish(),
        }
    }
}

/// A client's socket.
pub(crate) type Stream = Either<TcpStream, Either<UnixStream, Box<TlsStream<TcpStream>>>>;

/// A client that has connected.
pub(crate) struct Accepted {
    socket: Either<TcpStream, UnixStream>,
    tls: Option<TlsAcceptor>,
    /// Where the client is; one of a unix socket is on this host.
    pub(crate) from: IpAddr,
}

impl Accepted {
    /// The client's stream, which takes a handshake with TLS.
    pub(crate) async fn stream(self) -> io::Result<Stream> {
        Ok(match (self.socket, self.tls) {
            (Either::Left(tcp), Some(tls)) => Either::Right(Either::Right(Box::new(tls.accept(tcp).await?))),
            (Either::Left(tcp), None) => Either::Left(tcp),
            (Either::Right(unix), _) => Either::Right(Either::Left(unix)),
        })
    }
}

impl Listener {
    pub(crate) async fn bind(address: &ListenAddress, tls: Option<&TlsAcceptor>) -> io::Result<Self> {
        let tls = tls.filter(|_| !address.is_local()).cloned();
        match address {
            ListenAddress::Tcp(address) => {
                let listener = match auxot_service_sockets::listener(*address) {
                    Some(kept) => TcpListener::from_std(kept)?,
                    None => TcpListener::bind(address).await?,
                };
                auxot_service_sockets::keep(&listener);
                // A token is a small packet and must not wait for the next one. Accepted connections inherit this.
                SockRef::from(&listener).set_tcp_nodelay(true)?;
                Ok(Self::Tcp(listener, tls))
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    /// The address with the port that the system chose.
    pub(crate) fn address(&self, configured: &ListenAddress) -> String {
        self.socket_address().map_or_else(|| configured.to_string(), |address| address.to_string())
    }

    /// The address of the socket, where it has one.
    pub(crate) fn socket_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Whether its clients speak TLS.
    pub(crate) fn has_tls(&self) -> bool {
        matches!(self, Self::Tcp(_, Some(_)))
    }

    /// The next client.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted { socket: Either::Left(stream), tls: tls.clone(), from: peer.ip().to_canonical() })
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted { socket: Either::Right(stream), tls: None, from: Ipv4Addr::LOCALHOST.into() })
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
    async fn small_packets_do_not_wait() {
        let address = ListenAddress::try_from("127.0.0.1:0".to_owned()).unwrap();
        let listener = Listener::bind(&address, None).await.unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(listener.address(&address)), listener.accept());
        let Either::Left(stream) = accepted.unwrap().socket else { panic!("not TCP") };
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_socket_of_an_earlier_run_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let address = ListenAddress::Unix(folder.path().join("g.sock"));
        let first = Listener::bind(&address, None).await.unwrap();
        assert_eq!(Listener::bind(&address, None).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        Listener::bind(&address, None).await.unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(Listener::bind(&ListenAddress::Unix(file.clone()), None).await.is_err() && file.is_file());
    }
}
