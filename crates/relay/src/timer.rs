//! A deadline for something that may have come already.
//!
//! A process that was stopped (a suspended machine, a debugger) finds its timers due before the runtime has looked
//! at its sockets: what came meanwhile has not been read yet. So whoever judges a silence looks once more first.

use tokio::time::Instant;

/// Resolves when `deadline` has passed and the runtime has looked at its sockets since. Wait for what may come
/// beside it, and before it.
pub(crate) async fn until(deadline: impl Into<Instant>) {
    tokio::time::sleep_until(deadline.into()).await;
    tokio::task::yield_now().await;
}
