//! A correct router with faults on demand: it answers `hello` and heartbeats, dispatches jobs on the first link, and
//! dispatches unfinished jobs again when that link is lost.
//!
//! It runs in the test's task: only while [`Dispatcher::until`] or [`Dispatcher::beside`] is awaited.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::select_all;
use serde_json::{Value, json};

use super::{ClosedPort, DEADLINE, End, Ledger, Link, ScriptedRouter};

/// A slow router reads one message in this time.
const SLOW: Duration = Duration::from_millis(1);

/// The router.
#[derive(Debug)]
pub struct Dispatcher {
    listening: Listening,
    ack: Value,
    lines: Vec<Line>,
    /// Open connections that are not read.
    unread: Vec<Line>,
    /// Jobs and the messages about them.
    pub ledger: Ledger,
    /// Messages to send, each with its link.
    outgoing: VecDeque<(usize, Value)>,
    pace: Option<tokio::time::Interval>,
    links: usize,
    worker: usize,
    ends: Vec<End>,
    model_state: String,
    jobs_held: u64,
}

/// Whether the router listens.
#[derive(Debug)]
enum Listening {
    /// It listens.
    Open(ScriptedRouter),
    /// The port is bound and does not listen.
    Closed(ClosedPort),
    /// It changes from one state to the other.
    Changing,
}

/// One link.
#[derive(Debug)]
struct Line {
    number: usize,
    link: Link,
    /// Its `hello` was answered.
    greeted: bool,
    /// Its `config` was received, so the worker has the answer.
    serves: bool,
    /// Ids of the jobs that were dispatched on this link.
    given: Vec<String>,
}

impl Dispatcher {
    /// A router that answers every `hello` with `ack`.
    pub fn new(router: ScriptedRouter, ack: Value) -> Dispatcher {
        Dispatcher {
            listening: Listening::Open(router),
            ack,
            lines: Vec::new(),
            unread: Vec::new(),
            ledger: Ledger::default(),
            outgoing: VecDeque::new(),
            pace: None,
            links: 0,
            worker: 0,
            ends: Vec::new(),
            model_state: String::new(),
            jobs_held: 0,
        }
    }

    /// The router address for a worker; panics while the router starts or stops.
    pub fn url(&self) -> String {
        match &self.listening {
            Listening::Open(router) => router.url(),
            Listening::Closed(closed_port) => closed_port.url(),
            Listening::Changing => panic!("the router is neither here nor away"),
        }
    }

    // --- state ---

    /// Links that serve now.
    pub fn serving(&self) -> usize {
        self.lines.iter().filter(|line| line.serves).count()
    }

    /// All links so far.
    pub fn links(&self) -> usize {
        self.links
    }

    /// How the links ended, in order.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The last reported state of the first model.
    pub fn model_state(&self) -> &str {
        &self.model_state
    }

    /// The number of jobs of the worker, from its last heartbeat.
    pub fn jobs_held(&self) -> u64 {
        self.jobs_held
    }

    /// Runs until `fits`; panics with the state of all jobs at the deadline.
    pub async fn until(&mut self, wanted: &str, fits: impl FnMut(&Dispatcher) -> bool) {
        if !self.until_within(DEADLINE, fits).await {
            panic!(
                "not within {DEADLINE:?}: {wanted}; {} links serve, the jobs are\n{}",
                self.serving(),
                self.ledger.story()
            );
        }
    }

    /// Runs until `fits`; false at the limit.
    pub async fn until_within(&mut self, limit: Duration, mut fits: impl FnMut(&Dispatcher) -> bool) -> bool {
        let working = async {
            while !fits(self) {
                self.step().await;
            }
        };
        tokio::time::timeout(limit, working).await.is_ok()
    }

    /// Runs while another future is awaited.
    pub async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                () = self.step() => {}
            }
        }
    }

    // --- jobs ---

    /// Dispatches a job with a known answer; it waits while there is no link.
    pub fn give(&mut self, id: &str, frame: Value, text: &str) {
        self.ledger.enter(id, frame, text);
        self.hand_out();
    }

    /// Cancels a job on the link that has it; false when no link has it.
    pub fn cancel(&mut self, id: &str) -> bool {
        let has = |line: &&Line| line.given.iter().any(|given| given == id);
        let Some(line) = self.lines.iter().find(has) else { return false };
        self.outgoing.push_back((line.number, json!({"type": "cancel", "job_id": id})));
        true
    }

    /// Later links are of another worker.
    pub fn expect_another_worker(&mut self) {
        self.worker += 1;
    }

    // --- faults ---

    /// Dispatches every unfinished job again, on its own link.
    pub fn give_again(&mut self) {
        for line in self.lines.iter().filter(|line| line.greeted) {
            for id in &line.given {
                if let Some(entry) = self.ledger.open_mut().find(|entry| entry.id == *id) {
                    entry.give_open_again();
                    self.outgoing.push_back((line.number, entry.frame.clone()));
                }
            }
        }
    }

    /// Dispatches an ended job again.
    pub fn give_ended_again(&mut self, id: &str) {
        let entry = self.ledger.job(id);
        entry.give_again();
        let frame = entry.frame.clone();
        if let Some(line) = self.lines.iter().find(|line| line.greeted) {
            self.outgoing.push_back((line.number, frame));
        }
    }

    /// Sends a message without effect on every link.
    pub fn send_heartbeat_acks(&mut self) {
        let said = self.lines.iter().map(|line| (line.number, json!({"type": "heartbeat_ack"})));
        self.outgoing.extend(said);
    }

    /// Closes every link with a close frame.
    pub async fn close_links(&mut self) {
        for line in std::mem::take(&mut self.lines) {
            line.link.close().await;
        }
    }

    /// Ends every link with a TCP reset.
    pub fn reset_links(&mut self) {
        for line in std::mem::take(&mut self.lines) {
            line.link.reset();
        }
    }

    /// Stops reading and writing on all present links.
    pub fn stop_reading(&mut self) {
        self.unread.append(&mut self.lines);
    }

    /// Reads the links that were not read, to their end.
    pub async fn resume_reading(&mut self) {
        for mut line in std::mem::take(&mut self.unread) {
            let reading = async {
                while let Ok(frame) = line.link.read().await {
                    self.ledger.take(line.number, self.worker, &frame);
                }
            };
            assert!(tokio::time::timeout(DEADLINE, reading).await.is_ok(), "a link that was given up is still open");
        }
    }

    /// Drops the links that were not read.
    pub fn drop_unread(&mut self) {
        self.unread.clear();
    }

    /// Reads slowly from now on.
    pub fn slow_down(&mut self) {
        self.pace = Some(tokio::time::interval(SLOW));
    }

    /// Reads at full speed again.
    pub fn read_at_full_speed(&mut self) {
        self.pace = None;
    }

    /// Stops: all links end and connecting is refused.
    pub async fn stop(&mut self) {
        self.lines.clear();
        self.listening = match std::mem::replace(&mut self.listening, Listening::Changing) {
            Listening::Open(router) => Listening::Closed(router.stop().await),
            other => other,
        };
    }

    /// Listens again, at the same address.
    pub fn start_again(&mut self) {
        self.listening = match std::mem::replace(&mut self.listening, Listening::Changing) {
            Listening::Closed(closed_port) => Listening::Open(closed_port.listen()),
            other => other,
        };
    }

    // --- messages ---

    /// Sends all queued messages, or handles one event.
    async fn step(&mut self) {
        while let Some((number, frame)) = self.outgoing.pop_front() {
            if let Some(line) = self.lines.iter_mut().find(|line| line.number == number) {
                // A link that fails is detected when it is read.
                line.link.try_send(&frame).await;
            }
        }
        let pace = &mut self.pace;
        let reading = async {
            if let Some(pace) = pace {
                pace.tick().await;
            }
            next(&mut self.lines).await
        };
        tokio::select! {
            link = knock(&mut self.listening) => self.welcome(link),
            (at, heard) = reading => match heard {
                Ok(frame) => self.hear(at, &frame),
                Err(end) => {
                    self.lines.remove(at);
                    self.ends.push(end);
                    self.hand_out();
                }
            },
        }
    }

    fn welcome(&mut self, link: Link) {
        self.links += 1;
        self.lines.push(Line { number: self.links, link, greeted: false, serves: false, given: Vec::new() });
    }

    fn hear(&mut self, at: usize, frame: &Value) {
        let line = &mut self.lines[at];
        match frame["type"].as_str() {
            Some("hello") => {
                line.greeted = true;
                self.outgoing.push_back((line.number, self.ack.clone()));
                self.note_state(&frame["capabilities"]["models"][0]["state"]);
                self.hand_out();
            }
            Some("heartbeat") => {
                self.outgoing.push_back((line.number, json!({"type": "heartbeat_ack"})));
                self.note_state(&frame["models"][0]["state"]);
                self.jobs_held = frame["jobs"].as_u64().unwrap_or_default();
            }
            Some("config") => {
                line.serves = true;
                self.note_state(&frame["capabilities"]["models"][0]["state"]);
            }
            _ => self.ledger.take(line.number, self.worker, frame),
        }
    }

    fn note_state(&mut self, state: &Value) {
        if let Some(state) = state.as_str() {
            state.clone_into(&mut self.model_state);
        }
    }

    /// Dispatches jobs without a link on the first link.
    fn hand_out(&mut self) {
        let has = |lines: &[Line], id: &str| lines.iter().any(|line| line.given.iter().any(|given| given == id));
        let lost: Vec<(String, Value)> = (self.ledger.open())
            .filter(|entry| !has(&self.lines, &entry.id))
            .map(|entry| (entry.id.clone(), entry.frame.clone()))
            .collect();
        let Some(line) = self.lines.iter_mut().find(|line| line.greeted) else { return };
        for (id, frame) in lost {
            self.ledger.given(&id, line.number, self.worker);
            line.given.push(id);
            self.outgoing.push_back((line.number, frame));
        }
    }
}

/// The next connection.
async fn knock(listening: &mut Listening) -> Link {
    if let Listening::Open(router) = listening
        && let Some(link) = router.links.recv().await
    {
        return link;
    }
    std::future::pending().await
}

/// The next message of any link, or the end of one.
async fn next(lines: &mut [Line]) -> (usize, Result<Value, End>) {
    if lines.is_empty() {
        return std::future::pending().await;
    }
    let reads = lines.iter_mut().map(|line| Box::pin(line.link.read()));
    let (heard, at, _) = select_all(reads).await;
    (at, heard)
}
