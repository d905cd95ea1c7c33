//! The messages of the control socket. `GET /openapi.json` describes its operations.
//!
//! An error has a 4xx or 5xx status and the body [`Failure`].

mod keys;
mod providers;
mod status;
mod workers;

pub use auxot_control_socket::{Failure, PageLink, PageToken};
pub use keys::{CreatedKey, KeyStatus, KeyUse, Keys, NewKey, Revoked};
pub use providers::{Breaker, ProviderKind, ProviderStatus, Providers};
pub use status::{QueueStatus, RouterStatus, Status};
pub use workers::{DeviceStatus, Health, ModelState, ModelStatus, Times, WorkerStatus, Workers};
