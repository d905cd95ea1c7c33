//! The reports of fake engines: events as lines, and the exit of a process as the end of its connection.
//!
//! Give the engine `--report PATH` with [`Reports::path`] (in a model's sidecar, see `Scratch::fake_model`), then wait
//! for `start`, `ready`, `request`, `slot`, `released`, `term`, `served`, `grandchild` or, written here, `end`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// More events than a test's engines can send before the test reads them.
const QUEUE: usize = 65_536;
/// More turns of the runtime than an event takes from its socket to the test.
const TURNS: usize = 8;

/// One thing that happened in one engine.
#[derive(Debug, Clone)]
pub struct Event {
    /// When this test read it.
    pub at: Instant,
    /// Which engine.
    pub pid: u32,
    /// `start`, `ready`, …, `end`.
    pub name: String,
    /// The whole line.
    pub detail: Value,
}

/// The listener for all engines of one test.
#[derive(Debug)]
pub struct Reports {
    path: PathBuf,
    events: mpsc::Receiver<Event>,
    past: Vec<Event>,
    // Owns the listener's task and with it one task an engine.
    _tasks: JoinSet<()>,
}

impl Reports {
    /// Listens on `reports.sock` in `folder`.
    pub fn listen(folder: &Path) -> Reports {
        let path = folder.join("reports.sock");
        let listener =
            UnixListener::bind(&path).unwrap_or_else(|error| panic!("cannot listen on {}: {error}", path.display()));
        let (sender, events) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, sender));
        Reports { path, events, past: Vec::new(), _tasks: tasks }
    }

    /// The value for `--report`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next event of that name, of any engine; panics after `deadline` with all that came instead.
    pub async fn next(&mut self, name: &str, deadline: Duration) -> Event {
        self.next_where(name, deadline, |event| event.name == name).await
    }

    /// The next event of that name of one engine.
    pub async fn next_of(&mut self, pid: u32, name: &str, deadline: Duration) -> Event {
        self.next_where(name, deadline, |event| event.pid == pid && event.name == name).await
    }

    /// The first event that fits, also of those that have come already.
    pub async fn first(&mut self, wanted: &str, deadline: Duration, fits: impl Fn(&Event) -> bool) -> Event {
        match self.past.iter().find(|event| fits(event)) {
            Some(event) => event.clone(),
            None => self.next_where(wanted, deadline, fits).await,
        }
    }

    async fn next_where(&mut self, wanted: &str, deadline: Duration, fits: impl Fn(&Event) -> bool) -> Event {
        let search = async {
            while let Some(event) = self.events.recv().await {
                self.past.push(event.clone());
                if fits(&event) {
                    return Some(event);
                }
            }
            None
        };
        match tokio::time::timeout(deadline, search).await {
            Ok(Some(event)) => event,
            _ => panic!("no report {wanted:?} within {deadline:?}; there were {:?}", self.past_names()),
        }
    }

    /// The newest event of that name, of all that have come by now.
    pub fn newest(&mut self, name: &str) -> Option<&Event> {
        self.all().iter().rev().find(|event| event.name == name)
    }

    /// Reads what engines have written by now: on a busy machine an answer may be here before the events that led to it.
    pub async fn caught_up(&mut self) {
        // To take a line, to read from it, to hand an event on: each needs the runtime to look at its sockets once.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    /// All events that have come by now, in order.
    pub fn all(&mut self) -> &[Event] {
        while let Ok(event) = self.events.try_recv() {
            self.past.push(event);
        }
        &self.past
    }

    /// Forgets what has come so far but for the starts, of which the newest is the living engine's.
    pub fn forget(&mut self) {
        self.past.retain(|event| event.name == "start");
    }

    /// All events read so far, in order.
    pub fn past(&self) -> &[Event] {
        &self.past
    }

    fn past_names(&self) -> Vec<(u32, &str)> {
        self.past.iter().map(|event| (event.pid, event.name.as_str())).collect()
    }
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<Event>) {
    let mut engines = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => { engines.spawn(read(socket, sender.clone())); }
                Err(_) => return,
            },
            Some(_) = engines.join_next() => {}
        }
    }
}

async fn read(socket: UnixStream, sender: mpsc::Sender<Event>) {
    let mut lines = BufReader::new(socket).lines();
    let mut pid = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(detail) = serde_json::from_str::<Value>(&line) else { continue };
        pid = detail["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(pid);
        let name = detail["event"].as_str().unwrap_or_default().to_owned();
        if sender.send(Event { at: Instant::now(), pid, name, detail }).await.is_err() {
            return;
        }
    }
    let end = Event { at: Instant::now(), pid, name: "end".into(), detail: json!({}) };
    // The test may be over.
    let _ = sender.send(end).await;
}
