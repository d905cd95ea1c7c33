//! How many connections to hold, and what each says it can do: pure decisions.
//!
//! The measured open-source router gives a connection one job at a time, whatever number of slots
//! it announced, so real concurrency needs a connection for each slot. Others share one.

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

/// Connections to hold for a model with so many slots.
pub(crate) fn wanted(connections: Connections, dispatch: Dispatch, slots: u32) -> u32 {
    match (connections, dispatch) {
        (Connections::Fixed(count), _) => u32::from(count),
        (Connections::Auto, Dispatch::Shared) => 1,
        (Connections::Auto, Dispatch::OnePerConnection) => slots.clamp(1, 256),
    }
}

/// Slots that lane number `lane` of `lanes` announces; together they are all slots, and each has one at least.
pub(crate) fn share(connection: u32, connections: u32, dispatch: Dispatch, slots: u32) -> u32 {
    if dispatch == Dispatch::OnePerConnection {
        return 1;
    }
    let connections = connections.max(1);
    (slots / connections + u32::from(connection < slots % connections)).max(1)
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
        assert_eq!((0..3).map(|connection| share(connection, 3, Dispatch::Shared, 8)).collect::<Vec<_>>(), [3, 3, 2]);
        assert_eq!(share(5, 8, Dispatch::OnePerConnection, 4), 1);
        assert_eq!(share(2, 3, Dispatch::Shared, 1), 1);
    }
}
