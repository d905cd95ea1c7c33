//! The table against a simple model, under any order of events; and the terminal messages alone.

use std::collections::BTreeMap;

use super::*;
use crate::jobs::context::JobChannels;
use crate::send_queue::Frames;
use auxot_protocol::ToWorker;
use proptest::prelude::*;

const WINDOW: Duration = Duration::from_secs(3600);
const CONNECTIONS: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    /// The router sends a job, with one of its conversations, by a connection.
    Receive(u8, u8, usize),
    Cancel(u8),
    /// A round that began some time ago ends, with its terminal message in the socket or without.
    End(usize, bool),
    /// The router reads all that a connection has, and answers the ping after it.
    Read(usize),
    /// A connection is lost and another replaces it.
    Lose(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (0_u8..4, 0_u8..2, 0..CONNECTIONS).prop_map(|(id, conversation, connection)| Op::Receive(id, conversation, connection)),
        1 => (0_u8..4).prop_map(Op::Cancel),
        3 => (0_usize..8, any::<bool>()).prop_map(|(round, message)| Op::End(round, message)),
        2 => (0..CONNECTIONS).prop_map(Op::Read),
        1 => (0..CONNECTIONS).prop_map(Op::Lose),
    ];
    prop::collection::vec(op, 0..150)
}

fn parsed(id: u8, conversation: u8) -> ParsedJob {
    job(&id.to_string(), &conversation.to_string())
}

fn job(id: &str, messages: &str) -> ParsedJob {
    let frame = serde_json::json!({"type": "job", "job_id": id, "messages": [messages]}).to_string();
    match ToWorker::parse(&frame) {
        Ok(ToWorker::Job(job)) => ParsedJob::new(*job),
        other => panic!("no job: {other:?}"),
    }
}

/// One round in the model; connections have numbers, which distinguish a lost one from its successor.
#[derive(Debug)]
struct Running {
    round: Round,
    id: u8,
    conversation: u8,
    connection: usize,
    cancelled: bool,
    /// Whether the table must still contain it.
    current: bool,
    channels: JobChannels,
}

/// All connections so far; a lost one has no frames.
struct Connections(Vec<(SendQueue, Option<Frames>)>, [usize; CONNECTIONS]);

impl Connections {
    fn new() -> Self {
        let mut connections = Self(Vec::new(), [0; CONNECTIONS]);
        (0..CONNECTIONS).for_each(|at| connections.open(at));
        connections
    }

    fn open(&mut self, at: usize) {
        let (queue, frames) = SendQueue::new();
        self.0.push((queue, Some(frames)));
        self.1[at] = self.0.len() - 1;
    }

    fn lose(&mut self, at: usize) {
        self.0[self.1[at]].1 = None;
        self.open(at);
    }
}

/// The table and its expected content.
struct Model {
    table: Table,
    connections: Connections,
    running: Vec<Running>,
    /// The last terminal message of each id: its conversation, its connection, and whether the router has read it.
    ended: BTreeMap<u8, (u8, usize, bool)>,
}

impl Model {
    fn new() -> Self {
        Self { table: Table::default(), connections: Connections::new(), running: Vec::new(), ended: BTreeMap::new() }
    }

    /// The rounds of a job that the table contains.
    fn current(&mut self, id: u8) -> impl Iterator<Item = &mut Running> {
        self.running.iter_mut().filter(move |run| run.id == id && run.current)
    }

    fn look_up(&mut self, id: u8, conversation: u8, at: usize) -> Result<(), TestCaseError> {
        let (parsed, connection) = (parsed(id, conversation), self.connections.1[at]);
        let queue = self.connections.0[connection].0.clone();
        let known = self.table.look_up(&parsed, &queue);
        if self.ended.get(&id).is_some_and(|(of, by, read)| *of == conversation && !(*by == connection && *read)) {
            prop_assert_eq!(known, Some(Lookup::Ended("text".into())));
            self.table.ended.repeated(&id.to_string(), Some(queue.probe()));
            self.ended.insert(id, (conversation, connection, false));
        } else if let Some(run) = self.current(id).find(|run| !run.cancelled && run.conversation == conversation) {
            prop_assert_eq!(known, Some(if run.connection == connection { Lookup::Here } else { Lookup::Moved }));
            run.connection = connection;
        } else {
            prop_assert_eq!(known, None);
            self.begin(id, &parsed, conversation, connection)?;
        }
        Ok(())
    }

    fn begin(&mut self, id: u8, parsed: &ParsedJob, conversation: u8, connection: usize) -> Result<(), TestCaseError> {
        let (channels, controls) = JobChannels::new(&self.connections.0[connection].0);
        let (round, replaced) = self.table.begin(&id.to_string(), parsed.fingerprint, controls);
        prop_assert_eq!(replaced, self.current(id).next().is_some());
        self.current(id).for_each(|run| (run.cancelled, run.current) = (true, false));
        self.ended.remove(&id);
        self.running.push(Running { round, id, conversation, connection, cancelled: false, current: true, channels });
        Ok(())
    }

    fn cancel(&mut self, id: u8) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.table.cancel(&id.to_string()), self.current(id).next().is_some());
        self.current(id).for_each(|run| run.cancelled = true);
        Ok(())
    }

    fn end(&mut self, at: usize, message: bool) {
        if self.running.is_empty() {
            return;
        }
        let run = self.running.swap_remove(at % self.running.len());
        if message && !run.cancelled {
            let connection = self.connections.0[run.connection].0.clone();
            let message = FinalMessage { text: "text".into(), read_probe: Some(connection.probe()), connection };
            self.table.ended.remember(&parsed(run.id, run.conversation), message, WINDOW);
            self.ended.insert(run.id, (run.conversation, run.connection, false));
        }
        self.table.end(&run.id.to_string(), run.round);
    }

    fn read(&mut self, at: usize) {
        let connection = self.connections.1[at];
        let queue = &self.connections.0[connection].0;
        queue.answered(queue.probe());
        self.ended.values_mut().filter(|(_, by, _)| *by == connection).for_each(|(_, _, read)| *read = true);
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.table.len(), self.running.iter().filter(|run| run.current).count());
        for run in &self.running {
            prop_assert_eq!(run.channels.cancel.is_cancelled(), run.cancelled);
            if run.current {
                let policy_connection = &self.connections.0[run.connection].0;
                prop_assert!(
                    run.channels.connection.borrow().is_same_connection(policy_connection),
                    "it belongs to the connection that sent it last"
                );
            }
        }
        for connection in self.connections.1 {
            let busy = self.running.iter().any(|run| run.current && run.connection == connection);
            prop_assert_eq!(self.table.is_busy(&self.connections.0[connection].0), busy);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_guarantees_hold_under_any_order(ops in ops()) {
        let mut model = Model::new();
        for op in ops {
            match op {
                Op::Receive(id, conversation, at) => model.look_up(id, conversation, at)?,
                Op::Cancel(id) => model.cancel(id)?,
                Op::End(at, message) => model.end(at, message),
                Op::Read(at) => model.read(at),
                Op::Lose(at) => model.connections.lose(at),
            }
            model.check()?;
        }
    }
}

fn message(text: impl Into<Utf8Bytes>, connection: &SendQueue) -> FinalMessage {
    FinalMessage { text: text.into(), connection: connection.clone(), read_probe: connection.ask_read() }
}

#[test]
fn a_terminal_message_is_sent_again_on_another_connection() {
    let mut cache = ReplayCache::default();
    let (connection, _alive_or_so_it_seems) = SendQueue::new();
    let (next, _kept) = SendQueue::new();
    let parsed = job("j", "hello");
    let text = message("text", &connection);
    connection.answered(text.read_probe.expect("room for a ping"));
    cache.remember(&parsed, text, WINDOW);
    assert_eq!(cache.look_up(&job("j", "another round"), &next), None);
    assert_eq!(cache.look_up(&parsed, &next).as_deref(), Some("text"));
    let read_probe = next.ask_read().expect("room for a ping");
    cache.repeated("j", Some(read_probe));
    assert_eq!(cache.look_up(&parsed, &next).as_deref(), Some("text"), "the router had not read it");
    cache.repeated("j", Some(read_probe));
    next.answered(read_probe);
    assert_eq!(cache.look_up(&parsed, &next), None, "the router has read it on the next connection");
}

#[test]
fn a_job_that_crosses_its_terminal_message_is_not_run_again() {
    let mut cache = ReplayCache::default();
    let (connection, _frames) = SendQueue::new();
    let parsed = job("j", "hello");
    let earlier = connection.ask_read().expect("room for a ping");
    let text = message("text", &connection);
    let read_probe = text.read_probe.expect("room for a ping");
    cache.remember(&parsed, text, WINDOW);
    connection.answered(earlier);
    assert_eq!(
        cache.look_up(&parsed, &connection).as_deref(),
        Some("text"),
        "the router had not read the terminal message"
    );
    cache.repeated("j", Some(read_probe));
    connection.answered(read_probe);
    assert_eq!(cache.look_up(&parsed, &connection), None, "the router has read it, so the job runs again");
    cache.repeated("j", None);
    assert_eq!(cache.look_up(&parsed, &connection).as_deref(), Some("text"), "unknown is not read");
}

#[test]
fn the_cache_is_bounded_in_number_size_and_time() {
    let mut cache = ReplayCache::default();
    let (connection, _) = SendQueue::new();
    for at in 0..MOST_REPLAYS * 2 {
        cache.remember(&job(&at.to_string(), ""), message("text", &connection), WINDOW);
    }
    assert_eq!((cache.replays.len(), cache.bytes), (MOST_REPLAYS, MOST_REPLAYS * 4));
    cache.remember(&job("large", ""), message("x".repeat(MOST_REPLAY_BYTES), &connection), WINDOW);
    assert_eq!((cache.replays.len(), cache.bytes), (1, MOST_REPLAY_BYTES));
    let parsed = job("brief", "");
    cache.remember(&parsed, message("text", &connection), Duration::ZERO);
    assert_eq!((cache.look_up(&parsed, &SendQueue::new().0), cache.replays.len(), cache.bytes), (None, 0, 0));
}
