//! One client's connection: its requests, one after the other, and their answers.
//!
//! ```text
//!   reading (hyper) ── an answer of the gateway ──▶ written by hyper ──▶ reading
//!        │ a request for an engine
//!        └──▶ hyper gives the connection back ──▶ answering ──▶ reading, with a new reader
//! ```
//!
//! A library reads requests, because that is where a client can deceive a server. An answer of an engine is written
//! without it: it would hold a buffer for its next request, copy every part, and write it with two further pieces.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::answer;
use crate::client::Client;
use crate::service::{self, Asked, Handled};
use crate::shared::Shared;

/// The bytes of a request's head after which no more are read; a head may be as much again longer.
const HEAD_LIMIT: usize = 64 << 10;
/// The most fields of a head: what an engine takes.
const MOST_FIELDS: usize = 100;

/// Serves a client until it leaves, or until `closing`, when it has its answer.
pub(crate) async fn serve(client: Client, from: IpAddr, shared: Arc<Shared>, closing: CancellationToken) {
    let mut client = client;
    loop {
        let Read::Asked(back, asked) = next_request(client, from, &shared, &closing).await else { return };
        client = back;
        let keeps = asked.terms.keeps && !closing.is_cancelled();
        let asked = asked.keeping(keeps);
        // On the heap: a client that asks nothing should not have the room for it.
        match Box::pin(answer::serve(&shared, &mut client, asked)).await {
            Ok(()) if keeps => {}
            Ok(()) => return client.close().await,
            Err(reason) => return debug!(%reason, "connection of a local client ended"),
        }
    }
}

/// Resolves when a connection without a request should close.
async fn is_to_close(shared: &Shared, closing: &CancellationToken) {
    tokio::select! {
        () = closing.cancelled() => {}
        () = shared.connections.room_wanted() => {}
    }
}

/// What came of a connection that was read.
enum Read {
    /// A request for an engine.
    Asked(Client, Box<Asked>),
    /// The connection is closed.
    Closed,
}

/// Reads requests and answers those that need no engine. A connection that is idle closes where another one needs room.
async fn next_request(client: Client, from: IpAddr, shared: &Arc<Shared>, closing: &CancellationToken) -> Read {
    let handed: Arc<Mutex<Option<Box<Asked>>>> = Arc::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, handed) = (Arc::clone(shared), Arc::clone(&handed));
        Box::pin(async move {
            match service::handle(&shared, from, request).await {
                Handled::Text(response) => Ok::<_, Infallible>(response),
                Handled::ForEngine(asked) => {
                    *handed.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
                    // The reader is dropped now.
                    pending().await
                }
            }
        })
    });
    let mut reader = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.config.header_timeout)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(MOST_FIELDS)
        // Answers have the fields that the engine gives them.
        .auto_date_header(false)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(client), service);
    let mut closed = Some(Box::pin(is_to_close(shared, closing)));
    let read = poll_fn(|context| {
        if let Some(waiting) = &mut closed
            && waiting.as_mut().poll(context).is_ready()
        {
            closed = None;
            Pin::new(&mut reader).graceful_shutdown();
        }
        let ended = reader.poll_without_shutdown(context);
        match (handed.lock().unwrap_or_else(PoisonError::into_inner).take(), ended) {
            (Some(asked), _) => Poll::Ready(Ok(Some(asked))),
            (None, Poll::Ready(ended)) => Poll::Ready(ended.map(|()| None)),
            (None, Poll::Pending) => Poll::Pending,
        }
    });
    let read = read.await;
    let parts = reader.into_parts();
    let mut client = parts.io.into_inner();
    match read {
        Ok(Some(asked)) => {
            client.put_back(&parts.read_buf);
            Read::Asked(client, asked)
        }
        Ok(None) => {
            client.close().await;
            Read::Closed
        }
        Err(error) => {
            // A client that disconnects, is too slow or sends nonsense is not a failure of this program.
            debug!(%error, "connection of a local client ended");
            client.close().await;
            Read::Closed
        }
    }
}
