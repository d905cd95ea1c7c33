//! A TCP connection to a name that may have several addresses, some of them dead.
//!
//! Addresses are tried one after the other, alternating between IPv6 and IPv4, each with a head start before the next. The
//! first that answers is used (RFC 8305). An address that drops packets costs a quarter of a second and not the whole
//! connect timeout.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// An address's head start before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// TCP keepalive: the idle time before the first probe, and the interval of the probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15));

/// The most bytes that the kernel takes before it can send them. Without a limit it takes megabytes from a worker whose
/// router reads slowly and asks for more only when a third of them is gone: heartbeats wait behind them, and the socket
/// takes no byte for so long that the router looks dead.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;

/// Connects to a host, by name or address.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = match auxot_localhost::addresses(host, port) {
        Some(addresses) => addresses.to_vec(),
        None => alternating(lookup_host((host, port)).await?.collect()),
    };
    let stream = race(addresses).await?;
    // A token is a small packet that must not wait for the acknowledgement of the packet before.
    stream.set_nodelay(true)?;
    let (idle, interval) = KEEPALIVE;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    Ok(stream)
}

async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut untried = addresses.into_iter();
    let mut tries = JoinSet::new();
    let mut fault = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = untried.next() {
            tries.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            biased;
            Some(tried) = tries.join_next() => match tried {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => fault = error,
                Err(error) => fault = io::Error::other(error),
            },
            () = tokio::time::sleep(HEAD_START), if untried.len() > 0 => {}
            else => return Err(fault),
        }
    }
}

/// The same addresses, alternating between the families; the resolver's first address stays first.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (leading, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut others = others.into_iter();
    let mut order = Vec::with_capacity(leading.len() + others.len());
    for address in leading {
        order.push(address);
        order.extend(others.next());
    }
    order.extend(others);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("valid")).collect::<Vec<SocketAddr>>();
        let order = alternating(parse(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]));
        assert_eq!(order, parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "1.1.1.3:1"]));
        assert!(alternating(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn a_dead_address_does_not_block_a_live_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let alive = listener.local_addr().expect("bound");
        let refusing = tokio::net::TcpSocket::new_v4().expect("made");
        refusing.bind("127.0.0.1:0".parse().expect("valid")).expect("bound");
        let dead = refusing.local_addr().expect("bound");
        assert_eq!(race(vec![dead, alive]).await.expect("connected").peer_addr().expect("known"), alive);
        assert_eq!(race(vec![dead]).await.map_err(|fault| fault.kind()).err(), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(race(Vec::new()).await.map_err(|fault| fault.kind()).err(), Some(io::ErrorKind::NotFound));
    }
}
