//! Reads the router's public health report, which shows whether this is the open-source router.

use std::time::Duration;

use crate::connection::Shared;
use crate::connection::dial::proxy::{self, Proxy};
use crate::router::fingerprint::is_open_source_health;

/// Limit for the report; without it there is one connection.
const LIMIT: Duration = Duration::from_secs(5);

/// Reads the report at the start, and again after each `hello_ack` with an open-source id.
pub(crate) async fn keep_known(shared: &Shared) -> std::convert::Infallible {
    loop {
        read(shared).await;
        shared.fingerprint_changed.notified().await;
    }
}

/// Reads the report, unless it was already recognised. Any fault means that it is not recognised.
async fn read(shared: &Shared) {
    if shared.health_is_known() {
        return;
    }
    let mut client = reqwest::Client::builder();
    let Ok(proxy) = proxy::from_environment(&shared.handshake.dialer.url) else { return };
    // As the connection reaches them: `localhost` without a resolver.
    let router = shared.handshake.dialer.url.host();
    for host in [Some(&*router), proxy.as_ref().map(Proxy::host)].into_iter().flatten() {
        // The port is that of the address.
        if let Some(addresses) = auxot_localhost::addresses(host, 0) {
            client = client.resolve_to_addrs(host, &addresses);
        }
    }
    let client = match proxy.map(|proxy| proxy.for_requests()).transpose() {
        // An explicit proxy replaces those of the environment and of the system.
        Ok(Some(proxy)) => client.proxy(proxy),
        Ok(None) => client.no_proxy(),
        Err(_) => return,
    };
    let client =
        client.tls_backend_preconfigured((*shared.handshake.dialer.tls).clone()).http1_only().timeout(LIMIT).build();
    let Ok(client) = client else { return };
    let url = format!("{}/health", shared.handshake.dialer.url.http_base());
    let Ok(answer) = client.get(url).send().await else { return };
    let Ok(body) = answer.bytes().await else { return };
    shared.update_fingerprint(|fingerprint| fingerprint.health = is_open_source_health(&body));
}
