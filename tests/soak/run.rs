//! One run: a worker, its engine, its router, and the storms and rests between them.

use std::time::{Duration, Instant};

use auxot_tests::gguf::ModelFile;
use auxot_tests::leftovers::{self, Descriptors};
use auxot_tests::scripted_router::{Dispatcher, HOSTED_ID, ScriptedRouter, ack, policy};
use auxot_tests::{Program, Reports, Scratch, Worker, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::faults::{Fault, Undo};
use crate::figures::Figures;
use crate::load::Shape;
use crate::random::Random;

const MODEL: &str = "tiny-chat-q4_k_m";
const MODEL_FILE: &str = "tiny-chat-q4_k_m.gguf";
/// Jobs that may be open at once; more than the slots, fewer than the queue's bound.
const MOST_OPEN: usize = 40;
/// From the end of a storm until every job has ended and the worker is healthy.
const CALM: Duration = Duration::from_secs(40);
/// Leftovers of a storm disappear within this time.
const SOON: Duration = Duration::from_secs(10);
/// How often figures are recorded in a storm.
const SAMPLE: Duration = Duration::from_secs(1);

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    random: Random,
    begun: Instant,
    scratch: Scratch,
    reports: Reports,
    router: Dispatcher,
    worker: Worker,
    jobs: u64,
    cancels: Vec<(Instant, String)>,
    undo: Option<(Instant, Undo)>,
    idle: Option<Descriptors>,
    figures: Figures,
}

impl Run {
    /// A worker that has started.
    pub(crate) async fn open(random: Random) -> Run {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        scratch.fake_model(MODEL_FILE, &format!("--report {}", reports.path().display()));
        let greeting = ack(HOSTED_ID, &policy("tiny-chat", "Q4_K_M", 2048, 4));
        let mut router = Dispatcher::new(ScriptedRouter::start(), greeting);
        router.ledger.allow_reruns();
        let mut command = Worker::short_limits_command(&scratch, &router.url());
        command.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL).env("AUXOT_MAX_PARALLEL", "4");
        // A cancelled job has an ending too.
        command.env("AUXOT_ROUTER__CONFIRM_CANCEL", "true");
        // An engine fails every few seconds during the whole run.
        command.env("AUXOT_ENGINE__RESTART_RESET_AFTER", "1s").env("AUXOT_ENGINE__RESTART_BUDGET", "1000");
        let worker = Worker::start(command).await;
        Run {
            random,
            begun: Instant::now(),
            scratch,
            reports,
            router,
            worker,
            jobs: 0,
            cancels: Vec::new(),
            undo: None,
            idle: None,
            figures: Figures::new(),
        }
    }

    /// The elapsed time.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Prints a line of progress.
    pub(crate) fn tell_progress(&self, length: Duration) {
        let (jobs, faults) = (self.figures.endings.total(), self.figures.faults.total());
        println!("soak: {} of {} s, {jobs} jobs, {faults} faults", self.age().as_secs(), length.as_secs());
    }

    // --- a storm ---

    /// Load and faults for this time.
    pub(crate) async fn storm(&mut self, length: Duration) {
        let end = Instant::now() + length;
        let (mut next_job, mut next_fault) = (Instant::now(), Instant::now() + Fault::pause(&mut self.random));
        let mut next_sample = Instant::now() + SAMPLE;
        while Instant::now() < end {
            let undo = self.undo.map(|(at, _)| at);
            let cancel = self.cancels.iter().map(|(at, _)| *at).min();
            let all = [Some(next_job), Some(next_fault), Some(next_sample), undo, cancel, Some(end)];
            let next = all.into_iter().flatten().min().unwrap_or(end);
            // The load's own rate: the test waits for no event here.
            self.router.beside(tokio::time::sleep_until(next.into())).await;
            let now = Instant::now();
            if now >= next_job {
                self.give();
                next_job = now + Shape::pause(&mut self.random);
            }
            if now >= next_fault {
                self.go_wrong().await;
                next_fault = now + Fault::pause(&mut self.random);
            }
            if now >= next_sample {
                self.sample_storm();
                next_sample = now + SAMPLE;
            }
            if undo.is_some_and(|at| now >= at) {
                self.undo();
            }
            let due: Vec<_> = self.cancels.extract_if(.., |(at, _)| now >= *at).collect();
            for (_, id) in due {
                self.router.cancel(&id);
            }
        }
    }

    fn give(&mut self) {
        if self.router.ledger.open().count() >= MOST_OPEN {
            return;
        }
        self.jobs += 1;
        let shape = Shape::draw(&mut self.random, self.jobs);
        if let Some(after) = shape.cancelled {
            self.cancels.push((Instant::now() + after, shape.id.clone()));
        }
        self.router.give(&shape.id, shape.frame, &shape.text);
    }

    async fn go_wrong(&mut self) {
        let faults = Fault::draw(&mut self.random, self.undo.is_some());
        self.figures.faults.add(faults.name());
        self.undo = faults.undo(&mut self.random).map(|(after, undo)| (Instant::now() + after, undo)).or(self.undo);
        match faults {
            Fault::EngineKilled => self.signal_engine(Signal::SIGKILL),
            Fault::EngineStopped => self.signal_engine(Signal::SIGSTOP),
            Fault::EngineExits => self.signal_engine(Signal::SIGUSR1),
            Fault::EngineAborts => self.signal_engine(Signal::SIGABRT),
            Fault::EngineOutOfMemory => self.signal_engine(Signal::SIGUSR2),
            Fault::SocketRemoved => self.remove_socket(),
            Fault::ModelReplaced => self.replace_model(),
            Fault::ModelTruncated => {
                std::fs::write(self.scratch.models().join(MODEL_FILE), "GGUF").unwrap();
                self.signal_engine(Signal::SIGKILL);
            }
            Fault::RouterCloses => self.router.close_links().await,
            Fault::RouterResets => self.router.reset_links(),
            Fault::RouterSilent => self.router.stop_reading(),
            Fault::RouterSlow => self.router.slow_down(),
            Fault::RouterRestarts => self.router.stop().await,
            Fault::WorkerStopped => self.worker.program.signal(Signal::SIGSTOP),
        }
    }

    fn undo(&mut self) {
        match self.undo.take() {
            Some((_, Undo::Forget)) => self.router.drop_unread(),
            Some((_, Undo::FullSpeed)) => self.router.read_at_full_speed(),
            Some((_, Undo::Listen)) => self.router.start_again(),
            Some((_, Undo::Continue)) => self.worker.program.signal(Signal::SIGCONT),
            Some((_, Undo::Restore)) => self.replace_model(),
            None => {}
        }
    }

    /// The process of the newest engine, while it runs.
    fn engine(&mut self) -> Option<u32> {
        let newest = self.reports.newest("start")?.pid;
        processes::alive(newest).then_some(newest)
    }

    fn signal_engine(&mut self, signal: Signal) {
        if let Some(pid) = self.engine() {
            // It was alive a moment ago and may have exited since.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    fn remove_socket(&self) {
        let folders = std::fs::read_dir(self.scratch.join("run")).unwrap().flatten().map(|entry| entry.path());
        for file in folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
            if leftovers::is_engine_socket(&file.path()) {
                // Its engine may just have exited, and removed the file.
                let _ = std::fs::remove_file(file.path());
            }
        }
    }

    fn replace_model(&mut self) {
        let block_count = self.random.within(1..=8) as u32;
        let other = ModelFile { block_count, ..ModelFile::named(MODEL) }.write(self.scratch.path(), "other.gguf");
        std::fs::rename(other, self.scratch.models().join(MODEL_FILE)).unwrap();
    }

    // --- a rest ---

    /// Undoes every fault, waits for every job to end, and checks what is left.
    pub(crate) async fn rest(&mut self) {
        self.undo();
        self.cancels.clear();
        let none_open = |router: &Dispatcher| router.ledger.open().next().is_none();
        let ended = self.router.until_within(CALM, none_open).await;
        assert!(ended, "jobs without an ending {CALM:?} after the storm:\n{}", self.router.ledger.story());
        self.count_endings().await;
        self.answer().await;
        let faults = self.router.ledger.faults();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        self.count_endings().await;
        self.sample_rest().await;
        self.reports.forget();
    }

    /// Waits until a new job has its whole answer.
    async fn answer(&mut self) {
        let begun = Instant::now();
        loop {
            self.jobs += 1;
            let id = format!("fresh{}", self.jobs);
            let frame = auxot_tests::scripted_router::job(&id, &format!("fake: --count {id}- --tokens 8"));
            let text: String = (0..8).map(|number| format!("{id}-{number} ")).collect();
            self.router.give(&id, frame, &text);
            self.router.until("the end of a fresh job", |router| router.ledger.open().next().is_none()).await;
            if self.router.ledger.job(&id).is_complete() {
                return;
            }
            assert!(begun.elapsed() < CALM, "not healthy {CALM:?} after the storm: {:?}", self.router.ledger.job(&id));
        }
    }

    async fn count_endings(&mut self) {
        for job in self.router.ledger.take_ended() {
            self.figures.endings.add(job.error().unwrap_or("completed"));
            let reported = job.times_sent();
            if reported > 1 {
                // Only a job that has ended in the worker may restart; one that the worker still has continues.
                let about = |program: &Program| program.lines_that(|line| line.contains(&format!("job={} ", job.id)));
                let ends = |log: &[String]| log.iter().filter(|line| line.contains("job ended")).count();
                let program = &self.worker.program;
                // The log line is written a moment after the message.
                let excused = self.router.until_within(SOON, |_| ends(&about(program)) >= reported).await;
                assert!(excused, "text twice: reported {reported} times: {job:#?}\n{}", about(program).join("\n"));
                self.figures.reruns += 1;
            }
        }
    }

    async fn nothing_left(&mut self) {
        let worker = self.worker.program.pid();
        let engine = self.engine().unwrap_or_default();
        let idle = self.idle.get_or_insert_with(|| Descriptors::of(worker));
        let scratch = &self.scratch;
        let looking = async {
            leftovers::processes(scratch.path(), &[worker, engine], SOON).await?;
            leftovers::runtime_folder(&scratch.join("run"), 1, SOON).await?;
            leftovers::descriptors(worker, idle, SOON).await
        };
        let left = self.router.beside(looking).await;
        assert!(left.is_ok(), "{}", left.err().unwrap_or_default());
    }

    // --- figures ---

    fn sample_storm(&mut self) {
        self.figures.storm.note(self.begun.elapsed(), self.worker.program.pid(), self.router.jobs_held() as f64);
    }

    async fn sample_rest(&mut self) {
        let idle = |router: &Dispatcher| router.jobs_held() == 0;
        self.router.until("a heartbeat without jobs", idle).await;
        let metrics = self.router.beside(self.worker.metrics()).await;
        let metric = |name: &str| auxot_tests::http::metric(&metrics, name, &[]).unwrap_or_default();
        let jobs = metric("auxot_worker_slots_busy") + metric("auxot_worker_jobs_waiting");
        // After the scrape, whose connection holds a descriptor until a moment after it.
        self.nothing_left().await;
        let at = self.begun.elapsed();
        self.figures.rest.note(at, self.worker.program.pid(), jobs + self.router.jobs_held() as f64);
        self.figures.links.note(at, metric("auxot_worker_router_connections"));
    }

    /// Drains the worker, which must leave nothing behind.
    pub(crate) async fn end(mut self) -> Figures {
        self.worker.program.signal(Signal::SIGTERM);
        let status = self.router.beside(self.worker.program.ended(CALM)).await;
        assert_eq!(status.code(), Some(0), "the worker's exit status");
        let folder = self.scratch.join("run");
        let left = leftovers::processes(self.scratch.path(), &[], Duration::ZERO).await;
        let left = left.and(leftovers::runtime_folder(&folder, 0, Duration::ZERO).await);
        assert!(left.is_ok(), "after the end: {}", left.err().unwrap_or_default());
        self.figures
    }
}
