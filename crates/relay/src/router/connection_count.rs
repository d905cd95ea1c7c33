//! The number of connections, and the slots that each announces: pure decisions.
//!
//! The measured open-source router gives a connection one job at a time, whatever number of slots it announced, so
//! concurrency needs a connection for each slot. Other routers need one connection.

use crate::config::Connections;

/// How a router dispatches jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Dispatch {
    /// As many jobs on a connection as it has slots.
    #[default]
    Shared,
    /// One job at a time on each connection.
    OnePerConnection,
}

/// The number of connections for a model with this number of slots.
pub(crate) fn wanted(connections: Connections, dispatch: Dispatch, slots: u32) -> u32 {
    match (connections, dispatch) {
        (Connections::Fixed(count), _) => u32::from(count),
        (Connections::Auto, Dispatch::Shared) => 1,
        (Connections::Auto, Dispatch::OnePerConnection) => slots.clamp(1, 256),
    }
}

/// The slots that connection number `connection` of `connections` announces: together all slots, and at least one each.
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
    fn one_connection_or_one_for_each_slot() {
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
