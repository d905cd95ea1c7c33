//! Reads the body of a request, with bounds on its length, on its time, and on the bytes of all bodies together.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use auxot_access::{Budget, BudgetShare};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::Body;
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::Failure;

/// A client that sends less per second, for longer than the time-out of bodies, is too slow.
const MIN_BYTES_PER_SECOND: u64 = 16 * 1024;
/// The rest of a refused body is read up to here, so that the client sees the answer and not a broken connection.
const DRAIN_LIMIT: usize = 64 << 20;
/// The longest time for that.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The bounds on bodies.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    pub(crate) max_body: usize,
    pub(crate) timeout: Duration,
    pub(crate) held: Arc<Budget>,
}

/// A whole body, with its part of the bound over all bodies.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Vec<u8>,
    _share: BudgetShare,
}

impl BodyLimits {
    /// Reads a body to its end.
    pub(crate) async fn read<B>(&self, headers: &HeaderMap, mut body: B) -> Result<HeldBody, Failure>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let announced: Option<usize> = length.and_then(|value| value.parse().ok());
        let mut share = BudgetShare::of(self.held.clone());
        let failure = if announced.is_some_and(|length| length > self.max_body) {
            Failure::TooLarge(self.max_body)
        } else {
            match self.read_frames(&mut body, &mut share, announced).await {
                Ok(bytes) => return Ok(HeldBody { bytes, _share: share }),
                Err(failure) => failure,
            }
        };
        drop(share);
        // A client that waits for `100 Continue` has sent nothing that must be read.
        if !headers.contains_key(EXPECT) && matches!(failure, Failure::TooLarge(_) | Failure::BodiesFull(_)) {
            drain(&mut body).await;
        }
        Err(failure)
    }

    async fn read_frames<B>(
        &self,
        body: &mut B,
        share: &mut BudgetShare,
        announced: Option<usize>,
    ) -> Result<Vec<u8>, Failure>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let began = Instant::now();
        let mut whole = Vec::new();
        loop {
            let limit = self.timeout + Duration::from_secs(whole.len() as u64 / MIN_BYTES_PER_SECOND);
            let next = timeout_at(began + limit, data(body)).await.map_err(|_| Failure::SlowBody(limit))?;
            let Some(bytes) = next? else { return Ok(whole) };
            if whole.len() + bytes.len() > self.max_body {
                return Err(Failure::TooLarge(self.max_body));
            }
            if !share.grow(bytes.len()) {
                return Err(Failure::BodiesFull(share.limit()));
            }
            if whole.is_empty() {
                // The exact size where the length is known; pages without data take no memory.
                whole.reserve_exact(announced.unwrap_or(bytes.len()).min(self.max_body));
            }
            whole.extend_from_slice(&bytes);
        }
    }
}

/// The next bytes; `None` at the end.
async fn data<B>(body: &mut B) -> Result<Option<Bytes>, Failure>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Failure::CutBody),
            // Trailers mean nothing here.
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

async fn drain<B>(body: &mut B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let _too_slow = timeout(DRAIN_TIMEOUT, async {
        let mut read = 0;
        while let Ok(Some(bytes)) = data(body).await {
            read += bytes.len();
            if read > DRAIN_LIMIT {
                return;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// Parts of a body; after the last one it ends, or waits for ever.
    struct Parts {
        parts: VecDeque<&'static [u8]>,
        ends: bool,
    }

    impl Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.parts.pop_front() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(part))))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn parts(parts: &[&'static [u8]], ends: bool) -> Parts {
        Parts { parts: parts.iter().copied().collect(), ends }
    }

    fn limits(held: &Arc<Budget>) -> BodyLimits {
        BodyLimits { max_body: 6, timeout: Duration::from_secs(10), held: held.clone() }
    }

    #[tokio::test(start_paused = true)]
    async fn each_bound_has_its_refusal() {
        let held = Budget::new(8);
        let (limits, none) = (limits(&held), HeaderMap::new());
        let body = limits.read(&none, parts(&[b"abc", b"def"], true)).await.unwrap();
        assert_eq!(body.bytes, b"abcdef");
        let full = limits.read(&none, parts(&[b"abc"], true)).await.unwrap_err();
        assert!(matches!(full, Failure::BodiesFull(8)), "{full}");
        drop(body);
        let long = limits.read(&none, parts(&[b"abc", b"defg"], true)).await.unwrap_err();
        assert!(matches!(long, Failure::TooLarge(6)), "{long}");
        let announced = HeaderMap::from_iter([(CONTENT_LENGTH, 7.into())]);
        let long = limits.read(&announced, parts(&[], true)).await.unwrap_err();
        assert!(matches!(long, Failure::TooLarge(6)), "{long}");
        let slow = limits.read(&none, parts(&[b"abc"], false)).await.unwrap_err();
        assert!(matches!(slow, Failure::SlowBody(_)), "{slow}");
        assert!(BudgetShare::of(held).grow(8), "refused bodies hold nothing");
    }
}
