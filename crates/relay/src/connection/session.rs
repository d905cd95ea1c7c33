//! One connection that serves: messages in, heartbeats and capabilities out, until it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_protocol::{Capabilities, Job, JobError, ToRouter, ToWorker};
use bytes::Bytes;
use futures_util::stream::{SplitStream, StreamExt};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::{debug, info, warn};

use crate::connection::dial::OpenSocket;
use crate::connection::dial::Socket;
use crate::connection::incoming::Incoming;
use crate::connection::writer::{self, WriteEnd};
use crate::jobs::context::JobContext;
use crate::jobs::outcome::Outcome;
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::registry::{Full, JobRegistry};
use crate::report::capabilities::lasting;
use crate::report::log_text::{Shown, shown};
use crate::report::metrics;
use crate::report::warn_limit::WarnLimit;
use crate::router::connection_count::Dispatch;
use crate::router::policy::PolicyHandler;
use crate::send_queue::{Frame, Probe, SendQueue};
use auxot_stall::{ByteCounter, timer};

/// A ping is sent after this time without a received message, or after half of the silence that ends a connection.
const PING_AFTER: Duration = Duration::from_secs(15);
/// How long the router may take to close its side after the worker has closed its own.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Seconds after which a job that was refused for lack of capacity can be repeated.
const FULL_RETRY_AFTER: u32 = 5;
/// A larger message is parsed on another thread: it would delay tokens by milliseconds.
const LARGE_FRAME: usize = 64 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// The worker closed it after its jobs had ended.
    Drained,
    /// The worker closed it because every model has failed.
    NoModel,
    /// It is lost; the cause is the metric's label.
    Lost { cause: &'static str, detail: String },
}

/// What a session gets from its connection.
pub(crate) struct Session<'a> {
    pub(crate) registry: &'a Arc<JobRegistry>,
    pub(crate) context: &'a Arc<JobContext>,
    /// Becomes true when this connection must finish its jobs and close.
    pub(crate) drain: watch::Receiver<bool>,
    /// Changes with the number of connections, and with it this connection's share of the slots.
    pub(crate) connections: watch::Receiver<u32>,
    /// The capabilities that this connection announces now.
    pub(crate) capabilities: &'a (dyn Fn() -> Capabilities + Send + Sync),
    /// Applies the router's policy.
    pub(crate) policy: &'a PolicyHandler,
    /// Changes when the router's way to dispatch jobs is recognised, and with it this connection's share.
    pub(crate) dispatch: watch::Receiver<Dispatch>,
    /// The last announced capabilities; `None` sends them again.
    pub(crate) announced: Option<Capabilities>,
}

impl Session<'_> {
    /// Serves until the end. `config` follows `hello_ack` at once, as in the upstream worker.
    pub(crate) async fn serve(mut self, OpenSocket { socket, counter }: OpenSocket) -> SessionEnd {
        let (socket_sink, stream) = socket.split();
        let (queue, frames) = SendQueue::new();
        // A separate task: each token wakes the writer, which must not poll all that the reading side waits for.
        let mut writing = JoinSet::new();
        writing.spawn(writer::write(socket_sink, frames, Arc::clone(&counter), self.context.config.write_timeout));
        let mut stream = stream;
        let end = tokio::select! {
            end = self.run(&mut stream, queue, &counter) => end,
            Some(end) = writing.join_next() => session_end_of(end),
        };
        if matches!(end, SessionEnd::Drained | SessionEnd::NoModel) {
            // The close frame is in the send queue; the writer ends with it or at its own limit. Received bytes are read
            // meanwhile: a socket that is closed with unread bytes sends a reset, which discards what the router has not
            // read.
            let mut hearing = true;
            while !writing.is_empty() {
                tokio::select! {
                    _ = writing.join_next() => {}
                    message = stream.next(), if hearing => hearing = matches!(message, Some(Ok(_))),
                }
            }
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = stream.next().await {} }).await;
        }
        end
    }

    async fn run(&mut self, stream: &mut SplitStream<Socket>, queue: SendQueue, counter: &ByteCounter) -> SessionEnd {
        let config = &self.context.config;
        let silence = config.silence();
        let mut heartbeat = tokio::time::interval(config.heartbeat_interval);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut changes = self.context.fleet.changes();
        let mut departures = self.registry.departures();
        let mut policies = self.policy.taken();
        let mut last_received = Instant::now();
        let mut received = counter.received();
        let mut pinged = false;
        let mut config_due = true;
        loop {
            config_due = config_due && !self.send_config(&queue);
            let draining = *self.drain.borrow();
            // A router gives jobs to every connection, so there must be none while no job can be served.
            let no_model = self.context.fleet.all_have_failed();
            if (draining || no_model) && !self.registry.is_busy(&queue) {
                // When the queue has no capacity for the close frame, the writer's own limit ends the connection.
                let _ = queue.send(Frame::Close).await;
                return if draining { SessionEnd::Drained } else { SessionEnd::NoModel };
            }
            let alarm = last_received + if pinged { silence } else { PING_AFTER.min(silence / 2) };
            tokio::select! {
                biased;
                message = stream.next() => {
                    last_received = Instant::now();
                    received = counter.received();
                    pinged = false;
                    match self.on_message(message, &queue, draining).await {
                        Ok(()) => {}
                        Err(end) => return end,
                    }
                }
                due = heartbeat.tick() => {
                    metrics::heartbeat_lag(due.elapsed());
                    self.send_heartbeat(&queue);
                }
                Ok(()) = changes.changed() => config_due = true,
                Ok(()) = self.connections.changed() => config_due = true,
                Ok(()) = self.dispatch.changed() => config_due = true,
                Ok(()) = policies.changed() => {
                    // A new policy is answered with the capabilities, also when they are the same.
                    self.announced = None;
                    config_due = true;
                }
                // The draining is announced, so that the router gives no more jobs.
                Ok(()) = self.drain.changed() => config_due = true,
                Ok(()) = departures.changed(), if draining || no_model => {}
                () = timer::until(alarm) => {
                    if counter.received() != received {
                        // A large message takes time to arrive.
                        (last_received, received, pinged) = (Instant::now(), counter.received(), false);
                        continue;
                    }
                    if last_received.elapsed() >= silence {
                        return SessionEnd::Lost { cause: "silent", detail: format!("nothing received for {silence:?}") };
                    }
                    pinged = true;
                    queue.ask_read();
                }
            }
        }
    }

    fn send_heartbeat(&self, queue: &SendQueue) {
        let beat = self.context.telemetry.heartbeat(&self.context.fleet, self.registry.len());
        if !queue.try_control(Frame::text(ToRouter::Heartbeat(Box::new(beat)).to_frame())) {
            debug!("left out a heartbeat: the send queue of the connection is full");
        }
    }

    /// Sends `config` when the capabilities have changed since the last one; false when the queue was full.
    fn send_config(&mut self, queue: &SendQueue) -> bool {
        let now = (self.capabilities)();
        let lasting = lasting(now.clone());
        if self.announced.as_ref() == Some(&lasting) {
            return true;
        }
        let config = ToRouter::Config { capabilities: Box::new(now) };
        let sent = queue.try_control(Frame::text(config.to_frame()));
        if sent {
            self.announced = Some(lasting);
        }
        sent
    }

    /// Handles a received WebSocket message.
    async fn on_message(
        &mut self,
        message: Option<Result<Message, WsError>>,
        queue: &SendQueue,
        draining: bool,
    ) -> Result<(), SessionEnd> {
        let lost = |cause, detail: String| Err(SessionEnd::Lost { cause, detail });
        let message: Bytes = match message {
            None => return lost("closed", "the router ended the connection".to_owned()),
            Some(Err(error)) => return lost("failed", error.to_string()),
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| format!("{} {}", frame.code, shown(&frame.reason))).unwrap_or_default();
                return lost("closed", format!("the router closed the connection {reason}"));
            }
            Some(Ok(Message::Text(text))) => text.into(),
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Pong(payload))) => {
                Probe::answered(&payload).into_iter().for_each(|probe| queue.answered(probe));
                return Ok(());
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => return Ok(()),
        };
        let message = if message.len() > LARGE_FRAME {
            match tokio::task::spawn_blocking(move || Incoming::read(&message)).await {
                Ok(message) => message,
                Err(_) => return lost("failed", "the task that read a large message has failed".to_owned()),
            }
        } else {
            Incoming::read(&message)
        };
        match message {
            Ok(Incoming::Job(parsed)) => self.take_job(parsed, queue, draining).await,
            Ok(Incoming::Other(message)) => self.on_other(*message),
            Err(unreadable) => {
                if let Some(left_out) = self.warnings().due("unreadable") {
                    let job = unreadable.fault.job_id.as_deref().map(shown).unwrap_or_default();
                    warn!(fault = %unreadable.fault, job, left_out, "cannot read a message of the router");
                }
                if let Some(error) = unreadable.answer() {
                    let _ = queue.control(Frame::text(ToRouter::Error(error).to_frame())).await;
                }
            }
        }
        Ok(())
    }

    async fn take_job(&mut self, parsed: ParsedJob, queue: &SendQueue, draining: bool) {
        let job = Arc::clone(&parsed.job);
        // A draining connection finishes the jobs that it holds. A new job gets no answer: the router gives it to another
        // worker when this connection closes, while an error would fail the caller's request.
        let accepted = if draining {
            self.registry.adopt(&parsed, queue)
        } else {
            match self.registry.accept(parsed, queue) {
                Ok(accepted) => Some(accepted),
                Err(full) => return self.refuse(&job, full, queue).await,
            }
        };
        // The job goes to the engine before its log line: the line wakes the log's thread on a processor that the engine
        // could use.
        tokio::task::yield_now().await;
        match accepted {
            Some(accepted) => {
                info!(job = %Shown(&job.job_id), model = job.model.as_deref().map(shown), accepted = accepted.name(), "job received")
            }
            None => self.give_back(&job, queue).await,
        }
    }

    /// Gives back a job that came while draining, when the router supports that. Otherwise the job gets no answer: the
    /// router gives it to another worker when this connection closes, while an error would fail the caller's request.
    async fn give_back(&self, job: &Job, queue: &SendQueue) {
        info!(job = %Shown(&job.job_id), "left a job to the router: this worker drains");
        if self.context.takes_back.load(std::sync::atomic::Ordering::Relaxed)
            && let Some(error) = Outcome::GivenBack.message(&job.job_id, false)
        {
            let _ = queue.control(Frame::text(ToRouter::Error(error).to_frame())).await;
        }
    }

    /// Refuses a job. This waits for capacity in the queue: a router that gives jobs faster than it reads is not read
    /// faster.
    async fn refuse(&self, job: &Job, full: Full, queue: &SendQueue) {
        if let Some(left_out) = self.warnings().due("full") {
            warn!(job = shown(&job.job_id), reason = full.text(), left_out, "refused a job");
        }
        let error = JobError {
            job_id: Some((&*job.job_id).into()),
            error: full.text().into(),
            status: Some(503),
            retry_after: Some(FULL_RETRY_AFTER),
            ..JobError::default()
        };
        let _ = queue.control(Frame::text(ToRouter::Error(error).to_frame())).await;
    }

    fn on_other(&self, message: ToWorker) {
        match message {
            ToWorker::Cancel(cancel) => {
                if self.registry.cancel(&cancel.job_id) {
                    info!(job = %Shown(&cancel.job_id), "job cancelled by the router");
                } else {
                    debug!(job = shown(&cancel.job_id), "ignored a cancel: this worker does not hold the job");
                }
            }
            ToWorker::AnswerRead(read) => self.registry.read(read),
            ToWorker::PolicyUpdate { policy: Some(policy) } => {
                self.policy.offer(*policy);
            }
            ToWorker::PolicyUpdate { policy: None } => {
                if let Some(left_out) = self.warnings().due("no policy") {
                    warn!(left_out, "ignored a policy update without a policy");
                }
            }
            ToWorker::ConfigAck(ack) if !ack.success => {
                crate::report::metrics::config_refused();
                if let Some(left_out) = self.warnings().due("config refused") {
                    let reason = shown(&ack.error.unwrap_or_default());
                    warn!(reason, left_out, "the router refused our capabilities; the connection stays");
                }
            }
            ToWorker::Error(error) => {
                if let Some(left_out) = self.warnings().due("fault of the router") {
                    warn!(error = shown(&error.error), left_out, "the router reports a fault");
                }
            }
            ToWorker::Job(_) | ToWorker::ConfigAck(_) | ToWorker::HeartbeatAck | ToWorker::HelloAck(_) => {}
            ToWorker::Unknown(kind) => debug!(kind = shown(&kind), "ignored a message of an unknown type"),
        }
    }

    fn warnings(&self) -> &WarnLimit {
        &self.context.telemetry.warnings
    }
}

fn session_end_of(end: Result<WriteEnd, JoinError>) -> SessionEnd {
    match end {
        Ok(WriteEnd::Closed) => SessionEnd::Drained,
        Ok(WriteEnd::Stalled) => SessionEnd::Lost { cause: "stalled", detail: "the router takes no bytes".to_owned() },
        Ok(WriteEnd::Failed(detail)) => SessionEnd::Lost { cause: "failed", detail },
        // The panic itself is not logged: it may hold text of a job.
        Err(_) => SessionEnd::Lost { cause: "failed", detail: "the task that writes has failed".to_owned() },
    }
}
