//! The listening sockets that the service manager keeps for this program.
//!
//! # Theory of operation
//!
//! Between two processes of a service clients are refused, because nothing listens. systemd can keep a socket meanwhile
//! (`FileDescriptorStoreMax=`): the service gives it a duplicate, and the next process finds it among its descriptors from 3
//! on (`sd_listen_fds(3)`). A client that connects during an upgrade then waits in the system's queue. A stop without a
//! start closes the socket.
//!
//! So a program that wants to listen asks [`listener`] first, binds the address where there is none, and calls [`keep`].
//! Once all are open, [`close_others`] ends those of addresses that it no longer listens on: clients of theirs would wait for
//! ever. Sockets of a socket unit are found in the same way. Without a service manager nothing is done.
//!
//! The descriptors stay open until the program ends, and no child inherits them.
//!
//! # Example
//!
//! ```
//! use std::net::TcpListener;
//!
//! let address = "127.0.0.1:0".parse().unwrap();
//! let listener = auxot_service_sockets::listener(address).map_or_else(|| TcpListener::bind(address), Ok).unwrap();
//! auxot_service_sockets::keep(&listener);
//! auxot_service_sockets::close_others(&[listener.local_addr().unwrap()]);
//! ```

use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use sd_notify::NotifyState;
use socket2::SockRef;
use tracing::{debug, warn};

/// The socket for this address, which does not block; `None` where the service manager has none.
#[must_use]
pub fn listener(address: SocketAddr) -> Option<TcpListener> {
    passed().find(|socket| address_of(*socket) == Some(address)).and_then(duplicate)
}

/// Gives the service manager a duplicate of a listening socket, for the next process.
pub fn keep(listener: &impl AsFd) {
    let listener = listener.as_fd();
    let Some(address) = address_of(listener) else { return };
    // The service manager recognises a socket that it has already.
    let states = [NotifyState::FdStore, NotifyState::FdName(&name(address))];
    if let Err(fault) = sd_notify::notify_with_fds(&states, &[listener]) {
        debug!(%fault, %address, "cannot give a socket to the service manager");
    }
}

/// Closes the passed sockets of other addresses than these, for the service manager too.
pub fn close_others(addresses: &[SocketAddr]) {
    for socket in passed() {
        let Some(address) = address_of(socket).filter(|address| !addresses.contains(address)) else { continue };
        // Ends it for all who have it.
        let ended = SockRef::from(&socket).shutdown(Shutdown::Both);
        let forgotten = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name(address))]);
        if let Err(fault) = ended.and(forgotten) {
            warn!(%address, %fault, "cannot close a socket of an address that is no longer set");
        }
    }
}

/// The sockets that the service manager has passed.
#[expect(unsafe_code, reason = "a passed descriptor is a number")]
fn passed() -> impl Iterator<Item = BorrowedFd<'static>> {
    let passed = sd_notify::listen_fds();
    let passed = passed.inspect_err(|fault| warn!(%fault, "cannot use the sockets of the service manager"));
    // SAFETY: the descriptor is open, because `listen_fds` has just set a flag of it, and nothing in this program closes it.
    let borrow = |socket: RawFd| unsafe { BorrowedFd::borrow_raw(socket) };
    passed.into_iter().flatten().map(borrow)
}

/// The address that a socket is bound to.
fn address_of(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    SockRef::from(&socket).local_addr().ok()?.as_socket()
}

fn duplicate(socket: BorrowedFd<'_>) -> Option<TcpListener> {
    let owned: OwnedFd = socket.try_clone_to_owned().ok()?;
    let listener = TcpListener::from(owned);
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

/// The name of a kept socket; a colon would end it.
fn name(address: SocketAddr) -> String {
    format!("listen-{}", address.to_string().replace(':', "-"))
}
