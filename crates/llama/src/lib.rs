//! The interface of llama-server: its HTTP, its event stream, its errors, its output lines.
//!
//! This crate owns no process, queue or policy. It sends requests to an [`Endpoint`] in two separate ways.
//!
//! **Small requests** (health, properties, slots) go through [`Control`], an ordinary HTTP client outside the token path.
//!
//! **Requests with a stream of tokens as answer** go through [`Exchange`]: one raw socket per job. The bytes are copied
//! once, from the kernel into the exchange's buffer:
//!
//! ```text
//! socket ─▶ chunk framing removed in place ─▶ sse::Splitter finds an event ─▶ Chunk::parse borrows its text
//! ```
//!
//! A token that arrives with others costs no system call, no allocation and less than a microsecond; one wake-up reads all
//! bytes that have arrived. An exchange has no time limit: silence, total time and cancelling are the caller's. The caller
//! drops the exchange, and the engine sees the closed socket.
//!
//! [`Forward`] passes a request on as its client wrote it, over such a socket too, and gives the answer's bytes back; what
//! a proxy must know of the body is in [`Peek`]. [`Forward::join`] reads a stream to its end and makes of it the answer that
//! the engine would have given without one: only streams are cancelled when their client leaves.
//!
//! [`ChatRequest`] writes a request that an engine can read. [`Assembler`] joins the fragments of tool calls and returns
//! only valid calls. [`EngineError`] holds an error of the engine. [`Markers`] is the fallback for models that write
//! reasoning and tool calls into the text. [`StateLine`], [`Build`] and [`Flags`] parse the program's output.
//!
//! # Example
//!
//! ```
//! use auxot_llama::{Chunk, sse::Splitter};
//!
//! let mut buffer = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n".to_vec();
//! let mut splitter = Splitter::new(1024);
//! let block = splitter.next(&mut buffer).unwrap().expect("a complete event");
//! let chunk = Chunk::parse(&buffer[block.data.expect("data")]).unwrap();
//! assert_eq!(chunk.content.as_deref(), Some("Hi"));
//! ```

mod answer_excerpt;
mod api;
mod api_path;
mod chunk;
mod control;
mod endpoint;
mod error;
mod exchange;
mod markers;
mod props;
mod query;
mod request;
mod slots;
pub mod sse;
mod state_line;
mod text;
mod tool_calls;
mod version;

pub use answer_excerpt::{AnswerExcerpt, TokenCounts};
pub use api::{Api, anthropic_error_type};
pub use api_path::{ApiPath, PathTask};
pub use chunk::{Chunk, ChunkError, ChunkFault, PromptProgress, Timings, ToolCallDelta, Usage, is_done};
pub use control::{Control, ControlError, Health};
pub use endpoint::Endpoint;
pub use error::EngineError;
pub use exchange::{
    AnswerHead, Exchange, ExchangeError, Fill, Forward, ForwardHead, JoinedAnswer, Joining, KeptConnection, OpenError,
};
pub use markers::{Markers, Piece};
pub use props::Props;
pub use query::{decoded, model_of_query};
pub use request::{
    AnswerOption, ChatRequest, ModelName, Peek, PeekError, RequestError, WholeAnswer, check as check_request,
    element_ends, foreign_urls, has_images, reduce_tools, text_bytes, with_reduced_tools,
};
pub use slots::Slot;
pub use state_line::StateLine;
pub use tool_calls::{Assembler, BadCall, ToolCall};
pub use version::{Build, Flags};
