//! Connections that have not shown a good key yet: how many there may be, how long, and how much each may send.
//!
//! When there are too many, the oldest of the address with the most has to go, so that a newcomer with a good key, which
//! takes milliseconds to show it, is never shut out by those that have none.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// All of them.
#[derive(Debug)]
pub(crate) struct Strangers {
    open: Mutex<Open>,
    most: usize,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    /// By age.
    by_age: BTreeMap<u64, (IpAddr, CancellationToken)>,
}

/// One of them, until it is known or gone.
#[derive(Debug)]
pub(crate) struct Stranger {
    all: Arc<Strangers>,
    number: u64,
    /// Where it is.
    pub(crate) address: IpAddr,
    known: AtomicBool,
    /// Ends the connection.
    pub(crate) leave: CancellationToken,
}

impl Strangers {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most: most.max(1) })
    }

    /// A connection has come.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Stranger {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.by_age.len() >= self.most {
            open.send_one_away();
        }
        open.last += 1;
        let (number, leave) = (open.last, CancellationToken::new());
        open.by_age.insert(number, (address, leave.clone()));
        Stranger { all: self.clone(), number, address, known: AtomicBool::new(false), leave }
    }

    /// Makes room for another descriptor.
    pub(crate) fn send_one_away(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).send_one_away();
    }

    fn forget(&self, number: u64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_age.remove(&number);
    }
}

impl Open {
    fn send_one_away(&mut self) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in self.by_age.values() {
            *counts.entry(*address).or_default() += 1;
        }
        let Some(most) = counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address) else { return };
        let oldest = self.by_age.iter().find(|(_, (address, _))| *address == most).map(|(number, _)| *number);
        if let Some((_, leave)) = oldest.and_then(|number| self.by_age.remove(&number)) {
            tracing::debug!(address = %most, "connection without a key closed: there are too many");
            leave.cancel();
        }
    }
}

impl Stranger {
    /// It has shown a good key.
    pub(crate) fn introduce(&self) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.all.forget(self.number);
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.all.forget(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_busiest_address_goes_and_no_known_one_ever() {
        let strangers = Strangers::new(3);
        let (bad, good) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let one = strangers.enter(good);
        let two = strangers.enter(bad);
        let three = strangers.enter(bad);
        let four = strangers.enter(bad);
        let gone = |stranger: &Stranger| stranger.leave.is_cancelled();
        assert!(!gone(&one) && gone(&two) && !gone(&three) && !gone(&four));
        three.introduce();
        three.introduce();
        let five = strangers.enter(bad);
        let _six = strangers.enter(bad);
        assert!(three.is_known() && !gone(&three) && gone(&four) && !gone(&five) && !gone(&one));
        drop((one, five));
        strangers.send_one_away();
        strangers.send_one_away();
        assert_eq!(strangers.open.lock().unwrap().by_age.len(), 0);
    }
}
