//! Messages to the service manager that started this worker (`Type=notify`): ready, a line of status, reloads, the stop, and
//! signs of life of the main loop (`WatchdogSec=`). Without a service manager nothing is sent.

use std::time::Duration;

use auxot_fleet::{Fleet, ModelState};
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// The shortest pause between two lines of status.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// Sends states to the service manager.
fn send(states: &[NotifyState<'_>]) {
    // A service manager that does not listen is no reason not to serve.
    if let Err(fault) = sd_notify::notify(states) {
        debug!(%fault, "cannot notify the service manager");
    }
}

/// The settings are being read again; `ready` follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(fault) => debug!(%fault, "cannot read the clock"),
    }
}

/// The worker serves, or serves again after a reload.
pub(crate) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The worker finishes its jobs and stops.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("finishing jobs")]);
}

/// Reports the state of the fleet and the router, and signs of life, until it is dropped. It runs in the main loop, so that a
/// loop that hangs gives no sign.
pub(crate) async fn report(fleet: Fleet, mut router: watch::Receiver<Option<&'static str>>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let mut changes = fleet.changes();
    // Twice as often as is asked for.
    let interval = sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|interval| !interval.is_zero());
    let mut alive_at = Instant::now();
    let (mut last, mut sent_at) = (String::new(), Instant::now());
    ready();
    loop {
        let text = status(&fleet, *router.borrow_and_update());
        changes.borrow_and_update();
        if text != last {
            send(&[NotifyState::Status(&text)]);
            (last, sent_at) = (text, Instant::now());
        }
        let changed = async {
            tokio::select! {
                Ok(()) = changes.changed() => {}
                Ok(()) = router.changed() => {}
                else => std::future::pending().await,
            }
            sleep_until(sent_at + STATUS_PAUSE).await;
        };
        let alive = async {
            match interval {
                Some(_) => sleep_until(alive_at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(changed);
        tokio::select! {
            () = &mut changed => {}
            () = alive => {
                send(&[NotifyState::Watchdog]);
                alive_at = Instant::now() + interval.unwrap_or_default();
            }
        }
    }
}

/// One line for `systemctl status`.
fn status(fleet: &Fleet, trouble: Option<&str>) -> String {
    let models = fleet.report().models;
    let ready = models.iter().filter(|model| matches!(model.state, ModelState::Ready(_))).count();
    let failed = models.iter().filter(|model| matches!(model.state, ModelState::Failed)).count();
    let jobs: u32 = models.iter().map(|model| model.slots_busy).sum();
    let mut text = format!("{ready} of {} models ready, {jobs} jobs", models.len());
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    if let Some(trouble) = trouble {
        text.push_str(&format!("; {trouble}"));
    }
    text
}
