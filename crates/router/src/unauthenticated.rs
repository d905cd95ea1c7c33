//! Connections without a good key so far: how many there may be.
//!
//! When there are too many, the oldest one of the address with the most is closed. A new connection with a good key,
//! which shows it within milliseconds, is therefore never shut out by connections without one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// All of them.
#[derive(Debug)]
pub(crate) struct UnauthenticatedConnections {
    open: Mutex<Open>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    /// By age.
    by_age: BTreeMap<u64, (IpAddr, CancellationToken)>,
}

/// One of them, until it is authenticated or closed.
#[derive(Debug)]
pub(crate) struct Unauthenticated {
    all: Arc<UnauthenticatedConnections>,
    number: u64,
    /// Address of the peer.
    pub(crate) address: IpAddr,
    authenticated: AtomicBool,
    /// Ends the connection.
    pub(crate) close: CancellationToken,
}

impl UnauthenticatedConnections {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), limit: limit.max(1) })
    }

    /// Registers a new connection.
    pub(crate) fn register(self: &Arc<Self>, address: IpAddr) -> Unauthenticated {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_age.len() >= self.limit {
            open.close_one();
        }
        open.last += 1;
        let (number, close) = (open.last, CancellationToken::new());
        open.by_age.insert(number, (address, close.clone()));
        Unauthenticated { all: self.clone(), number, address, authenticated: AtomicBool::new(false), close }
    }

    /// Closes one connection to free a descriptor.
    pub(crate) fn close_one(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).close_one();
    }

    fn remove(&self, number: u64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_age.remove(&number);
    }
}

impl Open {
    fn close_one(&mut self) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in self.by_age.values() {
            *counts.entry(*address).or_default() += 1;
        }
        let Some(busiest) = counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address) else {
            return;
        };
        let oldest = self.by_age.iter().find(|(_, (address, _))| *address == busiest).map(|(number, _)| *number);
        if let Some((_, close)) = oldest.and_then(|number| self.by_age.remove(&number)) {
            tracing::debug!(address = %busiest, "connection without a key closed: there are too many");
            close.cancel();
        }
    }
}

impl Unauthenticated {
    /// The connection has shown a good key.
    pub(crate) fn authenticate(&self) {
        if !self.authenticated.swap(true, Ordering::Relaxed) {
            self.all.remove(self.number);
        }
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }
}

impl Drop for Unauthenticated {
    fn drop(&mut self) {
        self.all.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_busiest_address_is_closed_and_never_an_authenticated_one() {
        let connections = UnauthenticatedConnections::new(3);
        let (bad, good) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let one = connections.register(good);
        let two = connections.register(bad);
        let three = connections.register(bad);
        let four = connections.register(bad);
        let closed = |connection: &Unauthenticated| connection.close.is_cancelled();
        assert!(!closed(&one) && closed(&two) && !closed(&three) && !closed(&four));
        three.authenticate();
        three.authenticate();
        let five = connections.register(bad);
        let _six = connections.register(bad);
        assert!(three.is_authenticated() && !closed(&three) && closed(&four) && !closed(&five) && !closed(&one));
        drop((one, five));
        connections.close_one();
        connections.close_one();
        assert_eq!(connections.open.lock().unwrap().by_age.len(), 0);
    }
}
