//! Reads the body of a request, with bounds on its length, on its time, and on the bytes of all bodies together.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{BadRequest, Failure};
use crate::shared::RouterState;
use auxot_access::BudgetShare;

/// A client that sends less per second, for longer than [`crate::Config::body_timeout`], is too slow.
const MIN_BYTES_PER_SECOND: u64 = 16 * 1024;
/// The rest of a refused body is read up to here, so that the client sees the answer and not a broken connection.
const DRAIN_LIMIT: usize = 64 << 20;
/// The longest time for that.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole body, with its part of the bound over all bodies.
pub(crate) async fn whole(shared: &RouterState, request: Request) -> Result<(Vec<u8>, BudgetShare), Failure> {
    let limit = shared.config.max_message;
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced: Option<usize> = length.and_then(|value| value.parse().ok());
    let expects_continue = request.headers().get(header::EXPECT).is_some();
    let mut share = BudgetShare::of(shared.bodies.clone());
    let mut stream = request.into_body().into_data_stream();
    let failure = if announced.is_some_and(|length| length > limit) {
        Failure::TooLarge(limit)
    } else {
        match read(shared, &mut stream, &mut share, announced).await {
            Ok(body) => return Ok((body, share)),
            Err(failure) => failure,
        }
    };
    drop(share);
    // A client that waits for `100 Continue` has sent nothing that must be read.
    if !expects_continue && matches!(failure, Failure::TooLarge(_) | Failure::BodiesFull(_)) {
        drain(stream).await;
    }
    Err(failure)
}

async fn read(
    shared: &RouterState,
    stream: &mut BodyDataStream,
    share: &mut BudgetShare,
    announced: Option<usize>,
) -> Result<Vec<u8>, Failure> {
    let (max_body, body_timeout) = (shared.config.max_message, shared.config.body_timeout);
    let began = Instant::now();
    let mut body = Vec::new();
    loop {
        let limit = body_timeout + Duration::from_secs(body.len() as u64 / MIN_BYTES_PER_SECOND);
        let next = timeout_at(began + limit, stream.next()).await.map_err(|_| Failure::SlowBody(limit.as_secs()))?;
        let bytes = match next {
            None => return Ok(body),
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) => return Err(BadRequest::new("cannot read the request: its body is cut short").into()),
        };
        if body.len() + bytes.len() > max_body {
            return Err(Failure::TooLarge(max_body));
        }
        if !share.grow(bytes.len()) {
            return Err(Failure::BodiesFull(share.limit()));
        }
        if body.is_empty() {
            // The exact size where the length is known; pages without data take no memory.
            body.reserve_exact(announced.unwrap_or(bytes.len()).min(max_body));
        }
        body.extend_from_slice(&bytes);
    }
}

async fn drain(mut stream: BodyDataStream) {
    let _ = timeout(DRAIN_TIMEOUT, async {
        let mut read = 0;
        while let Some(Ok(bytes)) = stream.next().await {
            read += bytes.len();
            if read > DRAIN_LIMIT {
                return;
            }
        }
    })
    .await;
}
