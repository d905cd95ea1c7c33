//! Connections that are kept to an engine, which this side plays.

use std::future::{pending, poll_fn};

use auxot_llama::{Forward, ForwardHead};
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use super::*;

struct Engine {
    _folder: tempfile::TempDir,
    listener: UnixListener,
    endpoint: Endpoint,
}

impl Engine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self { _folder: folder, listener, endpoint: Endpoint::Unix(path) }
    }

    /// A connection that has answered once, and the engine's end of it.
    async fn answered(&self) -> (KeptConnection, UnixStream) {
        let fields = HeaderMap::new();
        let head = ForwardHead { method: &Method::POST, target: "/x", fields: &fields };
        let (sent, taken) = tokio::join!(Forward::send(&self.endpoint, head, b"{}"), self.listener.accept());
        let (mut forward, mut engine) = (sent.unwrap(), taken.unwrap().0);
        assert!(engine.read(&mut [0; 1024]).await.unwrap() > 0);
        engine.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        forward.head().await.unwrap();
        poll_fn(|context| forward.poll_body(context, &mut [0; 2])).await.unwrap();
        (forward.into_kept().unwrap(), engine)
    }
}

async fn is_closed(engine: &mut UnixStream) -> bool {
    engine.read(&mut [0; 8]).await.unwrap() == 0
}

#[tokio::test]
async fn the_newest_open_connection_is_taken() {
    let (engine, kept) = (Engine::new(), Arc::new(KeptConnections::default()));
    assert!(kept.take(&engine.endpoint).is_none());
    let (mut ends, mut count) = (Vec::new(), 0);
    for _ in 0..=MOST_KEPT {
        let (connection, end) = engine.answered().await;
        kept.put(&engine.endpoint, connection, pending);
        ends.push(end);
    }
    assert!(is_closed(&mut ends[0]).await, "the oldest is closed for the one too many");
    // The engine closes the newest.
    ends.pop();
    while kept.take(&engine.endpoint).is_some() {
        count += 1;
    }
    assert_eq!(count, MOST_KEPT - 1);
    assert!(kept.take(&Endpoint::Unix("other.sock".into())).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_its_time_and_a_later_one_after_its_own() {
    let (engine, kept) = (Engine::new(), Arc::new(KeptConnections::default()));
    for _ in 0..2 {
        let (connection, mut end) = engine.answered().await;
        kept.put(&engine.endpoint, connection, pending);
        let since = Instant::now();
        assert!(is_closed(&mut end).await);
        assert!(since.elapsed() >= KEPT_TIME, "{:?}", since.elapsed());
        assert!(kept.take(&engine.endpoint).is_none());
    }
    assert!(kept.lock().engines.is_empty());
}

#[tokio::test]
async fn an_engine_that_stops_loses_its_connections_at_once() {
    let (engine, kept) = (Engine::new(), Arc::new(KeptConnections::default()));
    let (stop, stopping) = oneshot::channel::<()>();
    let (connection, mut end) = engine.answered().await;
    kept.put(&engine.endpoint, connection, || async move { drop(stopping.await) });
    stop.send(()).unwrap();
    assert!(is_closed(&mut end).await && kept.take(&engine.endpoint).is_none());
}
