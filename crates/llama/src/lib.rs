//! The words llama-server speaks: its HTTP, its event stream, its errors, its output lines.
//!
//! Nothing here owns a process, a queue or a policy. The crate turns a place where an engine listens
//! ([`Endpoint`]) into answers, in two ways that are kept apart on purpose.
//!
//! **Small questions** (is it well, what are its slots) go through [`Control`], an ordinary HTTP client
//! that never lives on the token path.
//!
//! **Requests whose answer is a stream of tokens** go through [`Exchange`]: one raw socket per job. The
//! bytes take one way and are copied once, from the kernel into the exchange's buffer:
//!
//! ```text
//!   socket ─▶ chunk framing taken out in place ─▶ sse::Splitter finds an event ─▶ Chunk::parse borrows its text
//! ```
//!
//! A token that arrives with others costs no system call, no allocation and well under a microsecond; a
//! wake-up takes everything that is there. Nothing on this way has a time limit of its own: silence, total
//! time and cancelling belong to the caller, who drops the exchange, and the closed socket is what tells the
//! engine.
//!
//! Around this lie the words themselves: [`ChatRequest`] writes what an engine can read from what a caller
//! wrote, [`Assembler`] puts tool calls together and lets none out that is not valid, [`EngineError`] keeps
//! the engine's own words, [`Markers`] is the fallback for models that write their thinking and calls into
//! the text, and [`StateLine`], [`Build`] and [`Flags`] read what the program prints.

mod chunk;
mod control;
mod endpoint;
mod error;
mod exchange;
mod markers;
mod models;
mod props;
mod request;
mod slots;
pub mod sse;
mod state_line;
mod text;
mod tool_calls;
mod version;

pub use chunk::{Chunk, ChunkError, ChunkFault, PromptProgress, Timings, ToolCallDelta, Usage, is_done};
pub use control::{Control, ControlError, Health};
pub use endpoint::Endpoint;
pub use error::EngineError;
pub use exchange::{EVENT_LIMIT, Exchange, ExchangeError, Fill, OpenError};
pub use markers::{Markers, Piece};
pub use models::ModelMeta;
pub use props::Props;
pub use request::{
    ChatRequest, RequestError, check as check_request, foreign_urls, has_images, reduce_tools, text_bytes,
};
pub use slots::Slot;
pub use state_line::StateLine;
pub use tool_calls::{Assembler, BadCall, ToolCall};
pub use version::{Build, Flags};
