//! Gives memory back to the system after a burst of requests.
//!
//! The allocator keeps what was freed for the next request, also what a thousand clients had at once.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// How long no request runs before memory is given back: the next one would ask for it again.
const PAUSE: Duration = Duration::from_secs(5);

/// The number of requests that run.
#[derive(Debug, Default)]
pub(crate) struct Running {
    count: AtomicUsize,
    ended: Notify,
}

impl Running {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        if self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.ended.notify_one();
        }
    }
}

/// Calls `release` after each burst of requests.
pub(crate) async fn after_bursts(running: &Running, release: impl Fn()) -> Infallible {
    loop {
        running.ended.notified().await;
        sleep(PAUSE).await;
        if running.count() == 0 {
            release();
        }
    }
}

/// Gives the pages that hold nothing back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator has no other interface")]
pub(crate) fn release() {
    // SAFETY: the function may be called at any time, from any thread; it touches only memory that is free.
    let _were_any = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn release() {}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_back_once_no_request_runs() {
        let (running, released) = (Running::default(), AtomicUsize::new(0));
        let giving = after_bursts(&running, || {
            released.fetch_add(1, Ordering::Relaxed);
        });
        tokio::pin!(giving);
        let mut wait = async |seconds| drop(timeout(Duration::from_secs(seconds), &mut giving).await);
        running.begin();
        running.begin();
        running.end();
        wait(60).await;
        assert_eq!(released.load(Ordering::Relaxed), 0, "one still runs");
        running.end();
        wait(4).await;
        running.begin();
        wait(60).await;
        assert_eq!(released.load(Ordering::Relaxed), 0, "another one has begun");
        running.end();
        wait(60).await;
        assert_eq!((released.load(Ordering::Relaxed), running.count()), (1, 0));
        release();
    }
}
