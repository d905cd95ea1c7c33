//! A timer for a silence: it fires only after the sockets have been read.
//!
//! In a process that was stopped (a suspended machine, a debugger) timers are due before the runtime has polled the sockets,
//! which may hold received bytes. So the sockets are polled once more before a silence counts.

use tokio::time::Instant;

/// Resolves when `deadline` has passed and the runtime has polled its sockets since. In a `select!`, place it after the
/// futures that read.
pub async fn until(deadline: impl Into<Instant>) {
    tokio::time::sleep_until(deadline.into()).await;
    tokio::task::yield_now().await;
}
