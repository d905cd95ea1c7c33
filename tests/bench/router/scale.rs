//! How the costs of a request, a heartbeat and a worker that joins grow with the number of workers.

use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::picture::{Line, draw};
use super::{Router, heartbeat, received, requests, status};
use crate::figure::Figure;

/// Numbers of workers, each with 50 models and eight devices.
const SIZES: [usize; 5] = [10, 30, 100, 300, 1_000];

pub(super) async fn run(router: Router) -> anyhow::Result<Vec<Figure>> {
    let mut workers = JoinSet::new();
    let (mut joins, mut beats, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for size in SIZES {
        let (before, new) = (router.cpu()?, size - workers.len());
        for _ in 0..new {
            let mut socket = router.worker(4).await?;
            workers.spawn(async move {
                while let Ok(message) = received(&mut socket).await {
                    let answer = json!({ "type": "complete", "job_id": message["job_id"], "full_response": "hi",
                                         "cache_tokens": 1, "input_tokens": 2, "output_tokens": 3 });
                    if message["type"] == "job" && socket.send(Message::text(answer.to_string())).await.is_err() {
                        return;
                    }
                }
            });
        }
        let joined = router.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / new as f64;
        joins.push(joined);
        // This one answers no requests, and leaves before they come.
        let mut beating = router.worker(1).await?;
        beats.push(heartbeat(&router, &mut beating).await?);
        beating.close(None).await?;
        while beating.next().await.is_some() {}
        asked.push(requests(&router).await?);
    }
    for (index, size) in SIZES.iter().enumerate() {
        let (join, beat, request) = (joins[index], beats[index], asked[index]);
        eprintln!(
            "{size:>5} workers: a request {request:.0} µs, a heartbeat {beat:.0} µs, a worker that joins {join:.0} µs"
        );
    }
    if let Some(path) = std::env::var_os("PICTURE") {
        let lines = [
            Line { name: "a request", values: &asked },
            Line { name: "a heartbeat of 50 models", values: &beats },
            Line { name: "a worker that joins", values: &joins },
        ];
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        std::fs::write(path, draw("CPU time of the router, by the number of workers", &SIZES, &lines))?;
    }
    let last = SIZES.len() - 1;
    let mut figures = vec![
        Figure::at_most("router: a request among 1,000 workers over one among 10", "µs", asked[last] - asked[0], 20.0),
        Figure::at_most("router: a worker that joins 1,000 over one that joins 10", "x", joins[last] / joins[0], 2.0),
    ];
    figures.extend(status::run(&router).await?);
    Ok(figures)
}
