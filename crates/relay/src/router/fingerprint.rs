//! The fingerprint of the router: is it the open-source one?

use serde::Deserialize;

use crate::router::connection_count::Dispatch;

/// The two signs of the open-source router; other routers show one of them too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RouterFingerprint {
    /// Its public health report was recognised.
    pub(crate) health: bool,
    /// The connection id in its `hello_ack` was recognised.
    pub(crate) id: bool,
}

impl RouterFingerprint {
    /// How the router dispatches jobs.
    pub(crate) fn dispatch(self) -> Dispatch {
        if self.health && self.id { Dispatch::OnePerConnection } else { Dispatch::Shared }
    }
}

/// The open-source router's public health report.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only their presence matters")]
struct Health {
    status: String,
    workers: u64,
    total_slots: u64,
    active_jobs: u64,
    available: i64,
}

/// Whether a health report is the open-source router's.
pub(crate) fn is_open_source_health(body: &[u8]) -> bool {
    serde_json::from_slice::<Health>(body).is_ok()
}

/// Whether a connection's id has the form of the open-source router's ids: 32 hexadecimal digits.
pub(crate) fn is_open_source_id(gpu_id: &str) -> bool {
    gpu_id.len() == 32 && gpu_id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_source_router_is_recognised_by_two_signs() {
        assert!(is_open_source_health(br#"{"active_jobs":0,"available":2,"status":"ok","total_slots":2,"workers":1}"#));
        assert!(!is_open_source_health(br#"{"status":"ok"}"#));
        assert!(is_open_source_id("0f1e2d3c4b5a69788796a5b4c3d2e1f0"));
        assert!(!is_open_source_id("gpu-1"));
        assert_eq!(RouterFingerprint { health: true, id: true }.dispatch(), Dispatch::OnePerConnection);
        assert_eq!(RouterFingerprint { health: true, id: false }.dispatch(), Dispatch::Shared);
        assert_eq!(RouterFingerprint { health: false, id: true }.dispatch(), Dispatch::Shared);
    }
}
