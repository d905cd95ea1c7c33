//! How many connections to hold, and what each says it can do: pure decisions.
//!
//! The measured open-source router gives a connection one job at a time, whatever number of slots
//! it announced, so real concurrency needs a connection for each slot. Others share one.

use serde::Deserialize;

use crate::config::Connections;

/// How a router hands out jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Dispatch {
    /// As many jobs on a connection as it has slots.
    #[default]
    Shared,
    /// One job at a time on each connection.
    OnePerConnection,
}

/// The two marks of the open-source router; each alone is worn by others too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    /// Its public health report.
    pub(crate) health: bool,
    /// The connection id in its greeting.
    pub(crate) id: bool,
}

impl Marks {
    /// How the router hands out jobs, as far as the marks tell.
    pub(crate) fn verdict(self) -> Dispatch {
        if self.health && self.id { Dispatch::OnePerConnection } else { Dispatch::Shared }
    }
}

/// Connections to hold for a model with so many slots.
pub(crate) fn wanted(connections: Connections, dispatch: Dispatch, slots: u32) -> u32 {
    match (connections, dispatch) {
        (Connections::Fixed(count), _) => u32::from(count),
        (Connections::Auto, Dispatch::Shared) => 1,
        (Connections::Auto, Dispatch::OnePerConnection) => slots.clamp(1, 256),
    }
}

/// Slots that lane number `lane` of `lanes` announces; together they are all slots, and each has one at least.
pub(crate) fn share(lane: u32, lanes: u32, dispatch: Dispatch, slots: u32) -> u32 {
    if dispatch == Dispatch::OnePerConnection {
        return 1;
    }
    let lanes = lanes.max(1);
    (slots / lanes + u32::from(lane < slots % lanes)).max(1)
}

/// The open-source router's public health report, which gives it away.
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

/// Whether a connection's id is of the open-source router's making: 32 hexadecimal digits.
pub(crate) fn is_open_source_id(gpu_id: &str) -> bool {
    gpu_id.len() == 32 && gpu_id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lane_where_they_share_and_one_a_slot_where_they_do_not() {
        assert_eq!(wanted(Connections::Auto, Dispatch::Shared, 8), 1);
        assert_eq!(wanted(Connections::Auto, Dispatch::OnePerConnection, 8), 8);
        assert_eq!(wanted(Connections::Auto, Dispatch::OnePerConnection, 0), 1);
        assert_eq!(wanted(Connections::Fixed(3), Dispatch::OnePerConnection, 8), 3);
        assert_eq!(share(0, 1, Dispatch::Shared, 4), 4);
        assert_eq!((0..3).map(|lane| share(lane, 3, Dispatch::Shared, 8)).collect::<Vec<_>>(), [3, 3, 2]);
        assert_eq!(share(5, 8, Dispatch::OnePerConnection, 4), 1);
        assert_eq!(share(2, 3, Dispatch::Shared, 1), 1);
    }

    #[test]
    fn the_open_source_router_is_known_by_two_marks() {
        assert!(is_open_source_health(br#"{"active_jobs":0,"available":2,"status":"ok","total_slots":2,"workers":1}"#));
        assert!(!is_open_source_health(br#"{"status":"ok"}"#));
        assert!(is_open_source_id("0f1e2d3c4b5a69788796a5b4c3d2e1f0"));
        assert!(!is_open_source_id("gpu-1"));
        assert_eq!(Marks { health: true, id: true }.verdict(), Dispatch::OnePerConnection);
        assert_eq!(Marks { health: true, id: false }.verdict(), Dispatch::Shared);
        assert_eq!(Marks { health: false, id: true }.verdict(), Dispatch::Shared);
    }
}
