//! Tells a slow peer from one that takes or sends nothing.
//!
//! # Theory of operation
//!
//! A large message over a slow line takes any time, so a limit on the time of a whole write cuts peers that are alive. What
//! shows that a peer is gone is a socket that takes no byte. [`Counted`] counts the bytes of a stream, and
//! [`ByteCounter::while_moving`] runs a write for as long as bytes are taken: it ends when none was within the limit.
//!
//! The counter tells more the less a kernel buffers: `TCP_NOTSENT_LOWAT` on the socket bounds what it takes before it can
//! send it.
//!
//! [`timer`] is the timer of a silence: it counts only after the sockets have been read.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use auxot_stall::{Counted, Stalled};
//! use tokio::io::AsyncWriteExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! // A peer that reads nothing: four bytes are all that fits between the two.
//! let (near, _far) = tokio::io::duplex(4);
//! let (mut stream, counter) = Counted::new(near);
//! let written = counter.while_moving(Duration::from_secs(30), stream.write_all(b"message")).await;
//! assert_eq!((written.err(), counter.bytes()), (Some(Stalled), 4));
//! # });
//! ```

mod byte_counter;
pub mod timer;

pub use byte_counter::{ByteCounter, Counted, Stalled};
