//! One question to the router's public health report: is this the open-source one?

use std::time::Duration;

use crate::connection::Shared;
use crate::router::fingerprint::is_open_source_health;

/// The report is a courtesy: without it there is one connection.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks at the start, and again whenever a greeting makes it worth asking.
pub(crate) async fn keep_known(shared: &Shared) -> std::convert::Infallible {
    loop {
        read(shared).await;
        shared.fingerprint_changed.notified().await;
    }
}

/// Asks, unless the answer is known. Any fault means: no.
async fn read(shared: &Shared) {
    if shared.health_is_known() {
        return;
    }
    let client = reqwest::Client::builder();
    // As we dial ourselves: this host is not reached through a proxy.
    let client = if shared.handshake.dialer.url.is_loopback() { client.no_proxy() } else { client };
    let client =
        client.tls_backend_preconfigured((*shared.handshake.dialer.tls).clone()).http1_only().timeout(LIMIT).build();
    let Ok(client) = client else { return };
    let url = format!("{}/health", shared.handshake.dialer.url.http_base());
    let Ok(answer) = client.get(url).send().await else { return };
    let Ok(body) = answer.bytes().await else { return };
    shared.update_fingerprint(|fingerprint| fingerprint.health = is_open_source_health(&body));
}
