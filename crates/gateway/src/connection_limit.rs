//! The number of connections, and who makes room for one more: the one that has been idle for the longest time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long one that was asked for room may take before another one is asked: it may be about to send a request.
const ROOM_INTERVAL: Duration = Duration::from_millis(100);

/// The limit on the connections of all listeners.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    permits: Arc<Semaphore>,
    room_wanted: Notify,
}

impl ConnectionLimit {
    pub(crate) fn new(most: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(most)), room_wanted: Notify::new() }
    }

    /// Waits for room for one more connection. At the limit idle connections are asked to close, one after the other.
    pub(crate) async fn room(&self) -> io::Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        loop {
            self.room_wanted.notify_one();
            // The semaphore is never closed.
            if let Ok(permit) = timeout(ROOM_INTERVAL, Arc::clone(&self.permits).acquire_owned()).await {
                return permit.map_err(io::Error::other);
            }
        }
    }

    /// Resolves when an idle connection should close; the one that waits for the longest time is the first.
    pub(crate) fn room_wanted(&self) -> Notified<'_> {
        self.room_wanted.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_connection_that_is_idle_for_the_longest_time_makes_room() {
        let limit = ConnectionLimit::new(2);
        let (first, second) = (limit.room().await.unwrap(), limit.room().await.unwrap());
        let idle = async |permit: OwnedSemaphorePermit| {
            limit.room_wanted().await;
            drop(permit);
        };
        let mut asked = Box::pin(idle(first));
        let mut kept = Box::pin(idle(second));
        tokio::select! {
            biased;
            () = &mut asked => panic!("no room is wanted"),
            () = &mut kept => panic!("no room is wanted"),
            () = std::future::ready(()) => {}
        }
        let (room, ()) = tokio::join!(limit.room(), asked);
        drop(room.unwrap());
        tokio::select! {
            biased;
            () = kept => panic!("one was enough"),
            () = std::future::ready(()) => {}
        }
    }
}
