//! The page for browsers on this host: the operations of the control socket, and the files that use them.

mod assets;

use auxot_control_socket::{McpServer, PageRoutes};

use crate::control::{ControlState, LONGEST_BODY, common_routes};
use crate::mcp::WorkerTools;

/// What the page serves.
pub(crate) fn routes(state: &ControlState) -> PageRoutes {
    // The tools are requests to the control socket, as they are for an agent that starts `auxot-worker mcp`.
    let tools = McpServer::new(WorkerTools::At(state.socket.clone()), &state.identity.version).into_http();
    PageRoutes {
        guarded: common_routes(state).route_service("/mcp", tools),
        assets: assets::ASSETS,
        longest_body: LONGEST_BODY,
    }
}
