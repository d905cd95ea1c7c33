//! A router that behaves, until it is told otherwise: it greets, answers heartbeats, gives its jobs to the first link
//! there is, and gives what has not ended again when that link is lost.
//!
//! It lives in the test's own task: it works while [`Dispatcher::until`] or [`Dispatcher::beside`] is awaited, and does
//! nothing in between.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::select_all;
use serde_json::{Value, json};

use super::{DEADLINE, Deaf, End, Ledger, Link, ScriptedRouter};

/// How a slow router reads: one message each.
const SLOW: Duration = Duration::from_millis(1);

/// The router's end of the wire.
#[derive(Debug)]
pub struct Dispatcher {
    seat: Seat,
    ack: Value,
    lines: Vec<Line>,
    /// Connections that are not read any more, and still open.
    asleep: Vec<Line>,
    /// Jobs and what was heard of them.
    pub ledger: Ledger,
    /// Messages to be sent, each with its link.
    outgoing: VecDeque<(usize, Value)>,
    pace: Option<tokio::time::Interval>,
    links: usize,
    worker: usize,
    ends: Vec<End>,
    model_state: String,
    jobs_held: u64,
}

/// Whether anybody can connect.
#[derive(Debug)]
enum Seat {
    /// Yes.
    Open(ScriptedRouter),
    /// The port is taken, and nobody listens.
    Closed(Deaf),
    /// In between.
    Changing,
}

/// One link.
#[derive(Debug)]
struct Line {
    number: usize,
    link: Link,
    /// Its `hello` was answered.
    greeted: bool,
    /// Its `config` came, so the worker has the answer.
    serves: bool,
    /// Ids of the jobs that were given here.
    given: Vec<String>,
}

impl Dispatcher {
    /// A router that answers every `hello` with `ack`.
    pub fn new(router: ScriptedRouter, ack: Value) -> Dispatcher {
        Dispatcher {
            seat: Seat::Open(router),
            ack,
            lines: Vec::new(),
            asleep: Vec::new(),
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

    /// What a worker is given as the router's address; panics while the door is closed.
    pub fn url(&self) -> String {
        match &self.seat {
            Seat::Open(router) => router.url(),
            Seat::Closed(deaf) => deaf.url(),
            Seat::Changing => panic!("the router is neither here nor away"),
        }
    }

    // --- to watch ---

    /// Links that serve now.
    pub fn serving(&self) -> usize {
        self.lines.iter().filter(|line| line.serves).count()
    }

    /// Links that ever came.
    pub fn links(&self) -> usize {
        self.links
    }

    /// How the links ended, in order.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The state of the first model, as the worker last told it.
    pub fn model_state(&self) -> &str {
        &self.model_state
    }

    /// How many jobs the worker holds, by its last heartbeat.
    pub fn jobs_held(&self) -> u64 {
        self.jobs_held
    }

    /// Works until `fits`; panics with all it knows when that takes too long.
    pub async fn until(&mut self, wanted: &str, fits: impl FnMut(&Dispatcher) -> bool) {
        if !self.until_within(DEADLINE, fits).await {
            panic!(
                "not within {DEADLINE:?}: {wanted}; {} links serve, the jobs are\n{}",
                self.serving(),
                self.ledger.story()
            );
        }
    }

    /// Works until `fits`; whether it did in time.
    pub async fn until_within(&mut self, limit: Duration, mut fits: impl FnMut(&Dispatcher) -> bool) -> bool {
        let working = async {
            while !fits(self) {
                self.step().await;
            }
        };
        tokio::time::timeout(limit, working).await.is_ok()
    }

    /// Works while something else is awaited.
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

    // --- to behave ---

    /// Gives a job whose whole answer is known; it waits here while there is no link.
    pub fn give(&mut self, id: &str, frame: Value, text: &str) {
        self.ledger.enter(id, frame, text);
        self.hand_out();
    }

    /// Says that a job is no longer wanted, on the link that has it; whether any has.
    pub fn cancel(&mut self, id: &str) -> bool {
        let has = |line: &&Line| line.given.iter().any(|given| given == id);
        let Some(line) = self.lines.iter().find(has) else { return false };
        self.outgoing.push_back((line.number, json!({"type": "cancel", "job_id": id})));
        true
    }

    /// The worker is another one from now on.
    pub fn expect_another_worker(&mut self) {
        self.worker += 1;
    }

    // --- to misbehave ---

    /// Gives every job that has not ended once more, on the link that has it.
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

    /// Gives a job again that has ended.
    pub fn give_ended_again(&mut self, id: &str) {
        let entry = self.ledger.job(id);
        entry.give_again();
        let frame = entry.frame.clone();
        if let Some(line) = self.lines.iter().find(|line| line.greeted) {
            self.outgoing.push_back((line.number, frame));
        }
    }

    /// Says something on every link that changes nothing.
    pub fn murmur(&mut self) {
        let said = self.lines.iter().map(|line| (line.number, json!({"type": "heartbeat_ack"})));
        self.outgoing.extend(said);
    }

    /// Closes every link as the protocol wants it.
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

    /// Reads no more from the links of now, and says nothing on them.
    pub fn fall_asleep(&mut self) {
        self.asleep.append(&mut self.lines);
    }

    /// Reads what had piled up while it slept, to the end of those links.
    pub async fn wake_up(&mut self) {
        for mut line in std::mem::take(&mut self.asleep) {
            let reading = async {
                while let Ok(frame) = line.link.read().await {
                    self.ledger.take(line.number, self.worker, &frame);
                }
            };
            assert!(tokio::time::timeout(DEADLINE, reading).await.is_ok(), "a link that was given up is still open");
        }
    }

    /// Never wakes up: drops what it had stopped reading, unread.
    pub fn forget_sleep(&mut self) {
        self.asleep.clear();
    }

    /// Reads slowly from now on.
    pub fn slow_down(&mut self) {
        self.pace = Some(tokio::time::interval(SLOW));
    }

    /// Reads as fast as it can again.
    pub fn hurry(&mut self) {
        self.pace = None;
    }

    /// Stops: the links end, and whoever connects is refused.
    pub async fn stop(&mut self) {
        self.lines.clear();
        self.seat = match std::mem::replace(&mut self.seat, Seat::Changing) {
            Seat::Open(router) => Seat::Closed(router.stop().await),
            other => other,
        };
    }

    /// Listens again, at the same address.
    pub fn start_again(&mut self) {
        self.seat = match std::mem::replace(&mut self.seat, Seat::Changing) {
            Seat::Closed(deaf) => Seat::Open(deaf.listen()),
            other => other,
        };
    }

    // --- the work ---

    /// Sends what is due, or takes in one thing that happens.
    async fn step(&mut self) {
        while let Some((number, frame)) = self.outgoing.pop_front() {
            if let Some(line) = self.lines.iter_mut().find(|line| line.number == number) {
                // A link that fails is noticed when it is read.
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
            link = knock(&mut self.seat) => self.welcome(link),
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

    /// Gives what no link has to the first link there is.
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
async fn knock(seat: &mut Seat) -> Link {
    if let Seat::Open(router) = seat
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
