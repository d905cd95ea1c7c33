//! The measured open-source router's way of handing out jobs: one at a time on each connection.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;

use super::{DEADLINE, Link, Outcome, ScriptedRouter};

/// What came of a run.
#[derive(Debug, Default)]
pub struct Served {
    /// Outcomes in the order of their ends.
    pub outcomes: Vec<Outcome>,
    /// The most jobs that were with the worker at once.
    pub most_at_once: usize,
    /// The connections that have nothing to do, still open.
    pub links: Vec<Link>,
}

/// Greets every connection with `ack` and gives each one job at a time, until all `jobs` have ended.
pub async fn upstream(router: &mut ScriptedRouter, ack: &Value, jobs: impl IntoIterator<Item = Value>) -> Served {
    let mut queue: VecDeque<Value> = jobs.into_iter().collect();
    let wanted = queue.len();
    let (mut served, mut turns, mut with_worker) = (Served::default(), FuturesUnordered::new(), 0);
    let serving = async {
        while served.outcomes.len() < wanted {
            while !queue.is_empty()
                && let Some(link) = served.links.pop()
            {
                turns.push(turn(link, queue.pop_front(), ack));
                with_worker += 1;
            }
            served.most_at_once = served.most_at_once.max(with_worker);
            tokio::select! {
                Some((link, outcome)) = turns.next() => {
                    if let Some(outcome) = outcome {
                        with_worker -= 1;
                        served.outcomes.push(outcome);
                    }
                    served.links.push(link);
                }
                Some(link) = router.links.recv() => turns.push(turn(link, None, ack)),
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE * 2, serving).await;
    assert!(in_time.is_ok(), "{} of {wanted} jobs ended in time", served.outcomes.len());
    served
}

/// A connection's greeting, or its next job.
async fn turn(mut link: Link, job: Option<Value>, ack: &Value) -> (Link, Option<Outcome>) {
    let Some(job) = job else {
        link.hello().await;
        link.send(ack).await;
        return (link, None);
    };
    link.send(&job).await;
    let outcome = link.outcome(job["job_id"].as_str().unwrap_or_default()).await;
    (link, Some(outcome))
}
