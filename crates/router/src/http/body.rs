//! Reading a request's body: as long as it may be, as slow as it may be, and all of them together within one bound.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::Share;
use crate::failure::{BadRequest, Failure};
use crate::shared::Shared;

/// A client that sends less in a second, for longer than [`crate::Config::body_timeout`], is too slow.
const SLOWEST: u64 = 16 * 1024;
/// What is left of a refused body is read up to here, so that the client sees the refusal and not a broken connection.
const POLITE: usize = 64 << 20;
/// And not for longer than this.
const POLITE_FOR: Duration = Duration::from_secs(5);

/// The whole body, with its part of the bound over all of them.
pub(crate) async fn whole(shared: &Shared, request: Request) -> Result<(Vec<u8>, Share), Failure> {
    let most = shared.config.max_message;
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced: Option<usize> = length.and_then(|value| value.parse().ok());
    let waits = request.headers().get(header::EXPECT).is_some();
    let mut share = Share::of(shared.bodies.clone());
    let mut stream = request.into_body().into_data_stream();
    let refused = if announced.is_some_and(|length| length > most) {
        Failure::TooLarge(most)
    } else {
        match read(shared, &mut stream, &mut share, announced).await {
            Ok(body) => return Ok((body, share)),
            Err(failure) => failure,
        }
    };
    drop(share);
    // A client that waits for our word before it sends has sent nothing that must be read.
    if !waits && matches!(refused, Failure::TooLarge(_) | Failure::BodiesFull(_)) {
        drain(stream).await;
    }
    Err(refused)
}

async fn read(
    shared: &Shared,
    stream: &mut BodyDataStream,
    share: &mut Share,
    announced: Option<usize>,
) -> Result<Vec<u8>, Failure> {
    let (most, patience) = (shared.config.max_message, shared.config.body_timeout);
    let began = Instant::now();
    let mut body = Vec::new();
    loop {
        let limit = patience + Duration::from_secs(body.len() as u64 / SLOWEST);
        let next = timeout_at(began + limit, stream.next()).await.map_err(|_| Failure::SlowBody(limit.as_secs()))?;
        let bytes = match next {
            None => return Ok(body),
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) => return Err(BadRequest::new("cannot read the request: its body is cut short").into()),
        };
        if body.len() + bytes.len() > most {
            return Err(Failure::TooLarge(most));
        }
        if !share.grow(bytes.len()) {
            return Err(Failure::BodiesFull(share.most()));
        }
        if body.is_empty() {
            // Exactly what is needed where the length is known; pages that nothing is written to take no memory.
            body.reserve_exact(announced.unwrap_or(bytes.len()).min(most));
        }
        body.extend_from_slice(&bytes);
    }
}

async fn drain(mut stream: BodyDataStream) {
    let _ = timeout(POLITE_FOR, async {
        let mut read = 0;
        while let Some(Ok(bytes)) = stream.next().await {
            read += bytes.len();
            if read > POLITE {
                return;
            }
        }
    })
    .await;
}
