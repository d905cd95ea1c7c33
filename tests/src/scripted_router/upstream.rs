//! The dispatch of the measured open-source router: one job at a time on each connection, and one more to the reader that
//! remains of a closed connection.
//!
//! Each connection has a reader that waits for the next job; the reader that has waited longest gets it. The end of a
//! connection does not end its reader, which waits for another half minute. A job of such a reader reaches no worker until
//! it is given again.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::time::Instant;

use super::{DEADLINE, Link, Outcome, ScriptedRouter};

/// How long the reader of a closed connection waits, as measured.
const HOLD: Duration = Duration::from_secs(30);
/// The delay of a job of such a reader: shorter than measured, because tests count such jobs and wait for them.
const LATE: Duration = Duration::from_millis(500);

/// The router's side of all connections of a worker.
#[derive(Debug)]
pub struct Upstream {
    ack: Value,
    /// How long the reader of a closed connection waits.
    hold: Duration,
    /// The readers that wait for a job, the longest first.
    readers: VecDeque<Reader>,
    /// Jobs that reach no worker, and until when.
    swallowed: Vec<(Instant, Value)>,
}

#[derive(Debug)]
enum Reader {
    Of(Box<Link>),
    /// Its connection has ended.
    Blocked {
        until: Instant,
    },
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Served {
    /// Outcomes in the order of their ends.
    pub outcomes: Vec<Outcome>,
    /// The most jobs that were with the worker at once.
    pub most_at_once: usize,
    /// How many jobs went to the reader of a closed connection, or of one that closed without an answer.
    pub swallowed: usize,
}

/// The result of one step of a connection.
enum Turn {
    Greeted(Link),
    Answered(Link, Outcome),
    /// The connection has ended before its job.
    Lost(Value),
}

impl Upstream {
    /// Answers every `hello` with `ack`.
    pub fn new(ack: Value) -> Self {
        Self { ack, hold: HOLD, readers: VecDeque::new(), swallowed: Vec::new() }
    }

    /// A router whose readers end with their connections.
    pub fn without_blocked_readers(self) -> Self {
        Self { hold: Duration::ZERO, ..self }
    }

    /// The idle connections.
    pub fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        self.readers.iter_mut().filter_map(|reader| match reader {
            Reader::Of(link) => Some(&mut **link),
            Reader::Blocked { .. } => None,
        })
    }

    /// The idle connections, for further use by a test.
    pub fn into_links(self) -> Vec<Link> {
        let links = self.readers.into_iter().filter_map(|reader| match reader {
            Reader::Of(link) => Some(*link),
            Reader::Blocked { .. } => None,
        });
        links.collect()
    }

    /// Closes the connection that has waited longest, as if the worker had closed it.
    pub fn lose_one(&mut self) {
        let blocked = Reader::Blocked { until: Instant::now() + self.hold };
        let lost = self.readers.iter_mut().find(|reader| matches!(reader, Reader::Of(_)));
        if let Some(reader) = lost {
            *reader = blocked;
        }
    }

    /// Dispatches all jobs and runs until they have ended.
    pub async fn serve(&mut self, router: &mut ScriptedRouter, jobs: impl IntoIterator<Item = Value>) -> Served {
        let mut queue: VecDeque<Value> = jobs.into_iter().collect();
        let wanted = queue.len();
        let ack = self.ack.clone();
        let (mut served, mut turns, mut with_worker) = (Served::default(), FuturesUnordered::new(), 0);
        let serving = async {
            while served.outcomes.len() < wanted {
                self.expire(&mut queue);
                while !queue.is_empty()
                    && let Some(reader) = self.readers.pop_front()
                    && let Some(job) = queue.pop_front()
                {
                    match reader {
                        Reader::Of(link) => {
                            turns.push(turn(*link, Some(job), &ack));
                            with_worker += 1;
                        }
                        Reader::Blocked { .. } => self.swallow(job, &mut served),
                    }
                }
                served.most_at_once = served.most_at_once.max(with_worker);
                let due = self.due();
                tokio::select! {
                    Some(turn) = turns.next() => {
                        with_worker -= usize::from(!matches!(turn, Turn::Greeted(_)));
                        match turn {
                            Turn::Greeted(link) => self.readers.push_back(Reader::Of(Box::new(link))),
                            Turn::Answered(link, outcome) => {
                                served.outcomes.push(outcome);
                                self.readers.push_back(Reader::Of(Box::new(link)));
                            }
                            Turn::Lost(job) => self.swallow(job, &mut served),
                        }
                    }
                    Some(link) = router.links.recv() => turns.push(turn(link, None, &ack)),
                    () = self.one_ends() => {}
                    () = due => {}
                }
            }
        };
        let in_time = tokio::time::timeout(DEADLINE * 2, serving).await;
        let (ended, swallowed) = (served.outcomes.len(), served.swallowed);
        assert!(in_time.is_ok(), "{ended} of {wanted} jobs ended in time, {swallowed} were swallowed");
        served
    }

    /// Holds a job that reaches no worker for a while.
    fn swallow(&mut self, job: Value, served: &mut Served) {
        served.swallowed += 1;
        self.swallowed.push((Instant::now() + LATE, job));
    }

    /// Removes the readers and takes back the jobs whose time is over.
    fn expire(&mut self, queue: &mut VecDeque<Value>) {
        let now = Instant::now();
        self.readers.retain(|reader| !matches!(reader, Reader::Blocked { until } if *until <= now));
        queue.extend(self.swallowed.extract_if(.., |(until, _)| *until <= now).map(|(_, job)| job));
    }

    /// Resolves when one of the swallowed jobs is dispatched again.
    fn due(&self) -> impl Future<Output = ()> + use<> {
        let next = self.swallowed.iter().map(|(until, _)| *until).min();
        async move {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Resolves when an idle connection ends; its reader stays. Cancel safe.
    async fn one_ends(&mut self) {
        let until = Instant::now() + self.hold;
        let ends = self.readers.iter_mut().filter_map(|reader| match reader {
            Reader::Of(_) => Some(Box::pin(async move {
                if let Reader::Of(link) = reader {
                    link.over().await;
                }
                *reader = Reader::Blocked { until };
            })),
            Reader::Blocked { .. } => None,
        });
        let ends: Vec<_> = ends.collect();
        if ends.is_empty() {
            std::future::pending::<()>().await;
        }
        select_all(ends).await;
    }
}

/// Answers every `hello` with `ack` and dispatches one job at a time on each connection, until all `jobs` have ended.
pub async fn upstream(
    router: &mut ScriptedRouter,
    ack: &Value,
    jobs: impl IntoIterator<Item = Value>,
) -> (Upstream, Served) {
    let mut upstream = Upstream::new(ack.clone());
    let served = upstream.serve(router, jobs).await;
    (upstream, served)
}

/// Answers a connection's `hello`, or gives its next job.
async fn turn(mut link: Link, job: Option<Value>, ack: &Value) -> Turn {
    let Some(job) = job else {
        link.hello().await;
        link.send(ack).await;
        return Turn::Greeted(link);
    };
    if !link.try_send(&job).await {
        return Turn::Lost(job);
    }
    match link.try_outcome(job["job_id"].as_str().unwrap_or_default()).await {
        Some(outcome) => Turn::Answered(link, outcome),
        None => Turn::Lost(job),
    }
}
