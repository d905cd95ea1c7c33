//! The messages of the control socket. `GET /openapi.json` describes its operations.
//!
//! An error has a 4xx or 5xx status and the body [`Failure`]. Times are milliseconds since 1970.

mod chat;
mod commands;
mod events;
mod jobs;
mod models;
mod status;

pub use auxot_control_socket::{Failure, PageLink, PageToken};
pub use chat::{ChatEvent, ChatMessage, ChatRequest};
pub use commands::{Accepted, Draining, LogLevel, Reloaded};
pub use events::{Event, EventKind, Events, LogLine, LogLines};
pub use jobs::{JobStatus, Jobs};
pub use models::{EngineRun, EngineRuns, ModelDetails, Models, StateChange};
pub use status::{
    DeviceStatus, Devices, DownloadStatus, Figures, MetricsStatus, ModelStatus, RouterStatus, Status, WorkerStatus,
};
