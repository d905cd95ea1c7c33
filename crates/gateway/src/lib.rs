//! The front end for programs of this host: the HTTP interface of llama-server for all models at once.
//!
//! # Theory of operation
//!
//! A request is passed on byte for byte to the engine of the model that it names, and the answer comes back as the engine
//! writes it, a stream as it comes. The gateway looks into a body for what it must know and changes nothing but the name of
//! the model, where the client used another one, and what an answer that can be cancelled needs. Only a request that the engine
//! refuses because it cannot read the schemas of its tools is sent once more, with reduced ones.
//!
//! ```text
//!   listener ─▶ connection ─▶ service: host, origin, route ─▶ body ─▶ a look into it (llama::Peek)
//!                                                                      │
//!   client ◀── answer: bytes of the engine, framed in place ◀── engine request ◀── slot (fleet)
//! ```
//!
//! **Requests.** [`Fleet::acquire`](auxot_fleet::Fleet::acquire) loads the model and gives a slot; jobs of a router wait in the
//! same queues. The request goes over a socket of its own (`auxot_llama::Forward`), or over one that has answered another
//! request a moment ago. Where its engine is lost before the answer begins, another one gets it; the body is held until then.
//!
//! **Answers.** A library reads requests; answers of engines are written without it, one write for one read. The answer owns
//! the engine's socket and the slot: a client that leaves, in whatever phase, drops both. The next bytes are read when the
//! client's socket has taken the last ones, so that a slow client costs 8 KiB at most. The slot is free with the last byte of
//! the engine, before a slow client has read it.
//!
//! An engine does not notice that the client of an answer that is no stream has left while it generates for others. Such an
//! answer is asked for as a stream, which is cancelled with its next token, and joined to what it would have been.
//!
//! **Loads.** A client that wants a stream gets the head of its answer after `early_head`, and comments on the load until the
//! engine answers. An error is an event then, in the words of the API that was used; so is the loss of an engine between
//! two events. In the middle of one, and in any other answer, the connection is cut: a clean end would look whole.
//!
//! **Who may ask.** With a key file each request must have one of its keys, and ends when that is revoked; without one, only programs of this host can be
//! served. Only requests under this host's names are answered, no web page but those of this host and of the list,
//! and URLs in a conversation that the engine would fetch are refused.
//!
//! | module | content |
//! | --- | --- |
//! | `gateway`, `listener`, `tls` | sockets |
//! | `connection_limit` | how many there are, and which one makes room for another |
//! | `connection`, `client` | one client: its requests, and what its socket has not taken |
//! | `service`, `api_key` | one request: the checks in their order, and who answers it |
//! | `route`, `api`, `origin`, `form` | pure: what a request asks for, in whose words, and from which page |
//! | `request_body`, `engine_request` | the request on its way to an engine |
//! | `answer`, `running`, `part` | the answer on its way to the client |
//! | `failure`, `error_body` | why there is no answer, and the error that the client gets |
//! | `models`, `record`, `request_metrics` | the list of models; the log and metrics |
//! | `unused_memory` | what bursts of requests leave |
//!
//! # Example
//!
//! ```
//! use auxot_gateway::{Config, ListenAddress};
//!
//! let address = ListenAddress::try_from("127.0.0.1:8080".to_owned()).unwrap();
//! assert!(address.is_local());
//! assert!(Config { addr: vec![address], ..Config::default() }.is_on());
//! assert!(!Config::default().is_on());
//! ```

mod answer;
mod api_key;
mod client;
mod config;
mod connection;
mod connection_limit;
mod engine_request;
mod error_body;
mod failure;
mod form;
mod gateway;
mod listener;
mod models;
mod origin;
mod part;
mod record;
mod request_body;
mod request_metrics;
mod route;
mod running;
mod service;
mod shared;
mod unused_memory;

pub use auxot_server_tls::TlsError;
pub use config::{Config, ListenAddress};
pub use gateway::{Gateway, GatewayError};
