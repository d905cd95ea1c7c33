//! A host with simulated devices, and with simulated models whose engines use memory on them; and its router.

use crate::DEADLINE;

use serde_json::Value;

use crate::blueprint::Blueprint;
use crate::scripted_router::Link;
use crate::{FakeNvml, Stage, Start, Worker, processes};

/// Cards and models of one test. A model goes by its short name: `alpha` is `alpha-q4_0.gguf`, and to a worker `alpha-q4_0`.
#[derive(Debug)]
pub struct Host {
    /// Folders, reports and the router.
    pub stage: Stage,
    /// The cards.
    pub cards: FakeNvml,
    /// Cards as they are now: MiB in total, and in use by other processes.
    table: Vec<(u64, u64)>,
    /// What the driver says of none of its cards.
    hidden: &'static str,
    /// Engines that a test has requested.
    met: Vec<u32>,
}

impl Host {
    /// Cards of so many MiB, all of it free.
    pub fn with_cards(cards: &[u64]) -> Host {
        let stage = Stage::new();
        let driver = FakeNvml::new(stage.scratch.path());
        let mut host = Host { stage, cards: driver, table: Vec::new(), hidden: "", met: Vec::new() };
        host.table = cards.iter().map(|total| (*total, 0)).collect();
        host.deal();
        host
    }

    /// Another process takes so many MiB of a card, whatever holds the rest.
    pub fn other_process(&mut self, card: usize, mib: u64) {
        self.table[card].1 = mib;
        self.deal();
    }

    /// From now on the driver does not list processes, as in many containers.
    pub fn hide_processes(&mut self) {
        self.hidden = "secret";
        self.deal();
    }

    /// From now on the driver does not report the memory of its devices.
    pub fn mute(&mut self) {
        self.hidden = "mute";
        self.deal();
    }

    /// A card falls off the bus; the next thing that happens to any card brings it back.
    pub fn lose(&self, card: usize) {
        self.cards.set(&format!("{}lost {card}\n", self.state()));
    }

    fn deal(&self) {
        self.cards.set(&self.state());
    }

    fn state(&self) -> String {
        let line = |(total, used): &(u64, u64)| format!("gpu {} {} card\n", total << 20, used << 20);
        let cards = (0..self.table.len()).filter(|_| !self.hidden.is_empty());
        let hidden = cards.map(|card| format!("{} {card}\n", self.hidden));
        self.table.iter().map(line).chain(hidden).collect()
    }

    /// A model whose file is so many MiB, and as much of a card is taken by its engine, with something for the context.
    pub fn model(&self, name: &'static str, mib: u64, switches: &str) {
        let path = Blueprint::sized(name, mib).write(&self.stage.scratch.models());
        assert!(path.ends_with(file(name)), "{}", path.display());
        self.switch(name, switches);
    }

    /// Switches for the next start of a model's engine.
    pub fn switch(&self, name: &str, switches: &str) {
        let (cards, token) = (self.cards.folder().display(), Blueprint::SIZED_TOKEN);
        self.stage.switch(&file(name), &format!("--cards {cards} --token-bytes {token} {switches}"));
    }

    /// Starts a worker that sees the cards, and looks at them often.
    pub async fn worker(&self, settings: &[(&str, &str)]) -> Worker {
        let library = self.cards.library().display().to_string();
        let cards = [("AUXOT_NVML_PATH", library.as_str()), ("AUXOT_GPU__SAMPLE_INTERVAL", "200ms")];
        self.stage.worker(&[&cards, settings].concat()).await
    }

    /// The output of `fit --json` for a model in a worker's present size.
    pub fn fit(&self, name: &str) -> Value {
        let mut command = Worker::command(&self.stage.scratch, "");
        self.cards.show(&mut command);
        let output = command.args(["fit", name, "--json"]).output().unwrap_or_else(|error| panic!("{error}"));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// The next connection, after a `hello_ack` with this policy.
    pub async fn greeted(&mut self, policy: &Value) -> Link {
        self.stage.greeted(policy).await
    }

    // --- state ---

    /// The next start of a model's engine, also one that has been; each is given once.
    pub async fn started(&mut self, name: &str) -> Start {
        let met = std::mem::take(&mut self.met);
        let fits = |pid: &u32, start: &Start| !met.contains(pid) && start.value("--alias") == alias(name);
        let event = (self.stage.reports)
            .first(name, DEADLINE, |event| event.name == "start" && fits(&event.pid, &Start(event.clone())))
            .await;
        self.met = met;
        self.met.push(event.pid);
        Start(event)
    }

    /// The same, when it has loaded.
    pub async fn ready(&mut self, name: &str) -> Start {
        let start = self.started(name).await;
        self.event(&start, "ready").await;
        start
    }

    /// Waits until this engine has said so, which may have been before.
    pub async fn event(&mut self, start: &Start, name: &str) {
        let pid = start.0.pid;
        self.stage.reports.first(name, DEADLINE, |event| event.pid == pid && event.name == name).await;
    }

    /// Waits until this engine has ended.
    pub async fn ended(&mut self, start: &Start) {
        self.event(start, "end").await;
        // Its line ends a moment before the process does.
        processes::ended(&[start.0.pid], DEADLINE).await;
    }

    /// The models that have an engine now, by name.
    pub async fn living(&mut self) -> Vec<String> {
        self.stage.reports.caught_up().await;
        let starts = self.stage.reports.all().iter().filter(|event| event.name == "start");
        let living = starts.filter(|event| processes::alive(event.pid)).map(|event| Start(event.clone()));
        let mut names: Vec<String> =
            living.map(|start| start.value("--alias").trim_end_matches(ENDING).to_owned()).collect();
        names.sort();
        names
    }

    /// How many engines of a model were started so far.
    pub async fn starts(&mut self, name: &str) -> usize {
        self.stage.reports.caught_up().await;
        let starts = self.stage.reports.all().iter().filter(|event| event.name == "start");
        starts.filter(|event| Start((*event).clone()).value("--alias") == alias(name)).count()
    }
}

impl Start {
    /// The cards that this engine sees, by their numbers.
    pub fn cards(&self) -> Vec<usize> {
        let ids = self.variable("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        let number = |id: &str| (0..100).find(|card| FakeNvml::id(*card) == id);
        ids.split(',').filter_map(number).collect()
    }
}

const ENDING: &str = "-q4_0";

fn alias(name: &str) -> String {
    format!("{name}{ENDING}")
}

fn file(name: &str) -> String {
    format!("{name}{ENDING}.gguf")
}
