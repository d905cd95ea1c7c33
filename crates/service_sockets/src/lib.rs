//! The listening sockets that the service manager holds for this program.
//!
//! # Theory of operation
//!
//! systemd can listen in the place of a service (`sd_listen_fds(3)`): it keeps the socket over restarts of the service, so
//! that a client which connects during an upgrade waits in the system's queue instead of being refused. A program that is
//! started so finds the sockets as its descriptors from 3 on. [`listener`] looks for the one of an address; where there is
//! none the caller binds the address itself.
//!
//! The descriptors stay open until the program ends, and no child inherits them.
//!
//! # Example
//!
//! ```
//! let address = "127.0.0.1:8080".parse().unwrap();
//! // This program was not started with sockets.
//! assert!(auxot_service_sockets::listener(address).is_none());
//! ```

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use socket2::SockRef;
use tracing::warn;

/// The socket for this address, which does not block; `None` where the service manager holds none.
#[must_use]
pub fn listener(address: SocketAddr) -> Option<TcpListener> {
    let mut sockets = sd_notify::listen_fds()
        .inspect_err(|fault| warn!(%fault, "cannot use the sockets of the service manager"))
        .ok()?;
    sockets.find_map(|socket| of_address(socket, address))
}

#[expect(unsafe_code, reason = "a descriptor that the service manager passed is a number")]
fn of_address(socket: RawFd, address: SocketAddr) -> Option<TcpListener> {
    // SAFETY: the descriptor is open, because `listen_fds` has just set a flag of it, and nothing in this program closes it.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    if SockRef::from(&socket).local_addr().ok()?.as_socket() != Some(address) {
        return None;
    }
    let owned: OwnedFd = socket.try_clone_to_owned().ok()?;
    let listener = TcpListener::from(owned);
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_socket_is_found_by_its_address() {
        let (first, second) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = first.local_addr().unwrap();
        assert_eq!(of_address(first.as_raw_fd(), address).unwrap().local_addr().unwrap(), address);
        assert!(of_address(second.as_raw_fd(), address).is_none());
    }
}
