//! One connection that serves: frames in, heartbeats and capabilities out, until it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_fleet::Outlook;
use auxot_protocol::{Capabilities, Job, JobError, ToRouter, ToWorker};
use bytes::Bytes;
use futures_util::stream::{SplitStream, StreamExt};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::{debug, info, warn};

use crate::connection::byte_counter::Meter;
use crate::connection::dial::Dialed;
use crate::connection::dial::Socket;
use crate::connection::incoming::Heard;
use crate::connection::writer::{self, WriteEnd};
use crate::jobs::context::Surroundings;
use crate::jobs::outcome::Ending;
use crate::jobs::parsed_job::Order;
use crate::jobs::registry::{Desk, Full};
use crate::report::capabilities::lasting;
use crate::report::log_text::{Shown, shown};
use crate::report::warn_limit::WarnLimit;
use crate::router::connection_count::Dispatch;
use crate::router::policy::PolicyKeeper;
use crate::send_queue::{Frame, Outbox, Probe};
use crate::timer;

/// With nothing heard for so long, or for half of the silence that ends a link, a ping asks whether the router lives.
const PING_AFTER: Duration = Duration::from_secs(15);
/// How long the router has to close its side after we have closed ours.
const FAREWELL: Duration = Duration::from_secs(2);
/// A job that finds no room here may find some after so many seconds.
const FULL_PAUSE: u32 = 5;
/// A frame larger than this is parsed off the token path, which it would hold up for milliseconds.
const LARGE_FRAME: usize = 64 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// We closed it: its jobs are done and no more are wanted here.
    Drained,
    /// We closed it: no model here can serve any more.
    Useless,
    /// It is gone; the cause is the metric's label.
    Lost { cause: &'static str, detail: String },
}

/// What a session needs from its lane.
pub(crate) struct Session<'a> {
    pub(crate) desk: &'a Arc<Desk>,
    pub(crate) surroundings: &'a Arc<Surroundings>,
    /// Becomes true when this lane is to finish its jobs and close.
    pub(crate) drain: watch::Receiver<bool>,
    /// Changes when the number of lanes does, and with it this lane's share of the slots.
    pub(crate) lanes: watch::Receiver<u32>,
    /// Capabilities as this lane states them.
    pub(crate) capabilities: &'a (dyn Fn() -> Capabilities + Send + Sync),
    /// Takes in what the router wishes for.
    pub(crate) policy: &'a PolicyKeeper,
    /// Changes when the router's way of handing out jobs is found out, and with it this lane's share.
    pub(crate) dispatch: watch::Receiver<Dispatch>,
    /// What the router was last told; `None` has it told again.
    pub(crate) told: Option<Capabilities>,
}

impl Session<'_> {
    /// Serves until the end. `config` follows `hello_ack` without waiting for anything, as upstream does.
    pub(crate) async fn serve(mut self, Dialed { socket, meter }: Dialed) -> SessionEnd {
        let (sink, stream) = socket.split();
        let (outbox, frames) = Outbox::new();
        // A task of its own: each token wakes it, and must not have everything polled that reading waits for.
        let mut writing = JoinSet::new();
        writing.spawn(writer::write(sink, frames, Arc::clone(&meter), self.surroundings.config.write_timeout));
        let mut stream = stream;
        let end = tokio::select! {
            end = self.read(&mut stream, outbox, &meter) => end,
            Some(end) = writing.join_next() => lost_by(end),
        };
        if matches!(end, SessionEnd::Drained | SessionEnd::Useless) {
            // The close frame is in the outbox; the writer ends with it or with its own time limit. What comes meanwhile
            // is read: a socket that is closed with unread bytes resets, and takes with it what the router has not read.
            let mut hearing = true;
            while !writing.is_empty() {
                tokio::select! {
                    _ = writing.join_next() => {}
                    heard = stream.next(), if hearing => hearing = matches!(heard, Some(Ok(_))),
                }
            }
            let _ = tokio::time::timeout(FAREWELL, async { while let Some(Ok(_)) = stream.next().await {} }).await;
        }
        end
    }

    async fn read(&mut self, stream: &mut SplitStream<Socket>, outbox: Outbox, meter: &Meter) -> SessionEnd {
        let config = &self.surroundings.config;
        let silence = config.silence();
        let mut heartbeat = tokio::time::interval(config.heartbeat_interval);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut changes = self.surroundings.fleet.changes();
        let mut departures = self.desk.departures();
        let mut wishes = self.policy.taken();
        let mut last_heard = Instant::now();
        let mut received = meter.received();
        let mut pinged = false;
        let mut config_due = true;
        loop {
            config_due = config_due && !self.tell_config(&outbox);
            let draining = *self.drain.borrow();
            // A router that sees a connection sends it jobs, so there must be none where none can be served.
            let useless = self.surroundings.fleet.outlook() == Outlook::Failed;
            if (draining || useless) && !self.desk.is_busy(&outbox) {
                // A lane too full for the close frame is ended by its writer's own limit.
                let _ = outbox.send(Frame::Close).await;
                return if draining { SessionEnd::Drained } else { SessionEnd::Useless };
            }
            let alarm = last_heard + if pinged { silence } else { PING_AFTER.min(silence / 2) };
            tokio::select! {
                biased;
                message = stream.next() => {
                    last_heard = Instant::now();
                    received = meter.received();
                    pinged = false;
                    match self.take(message, &outbox, draining).await {
                        Ok(()) => {}
                        Err(end) => return end,
                    }
                }
                _ = heartbeat.tick() => {
                    let beat = self.surroundings.telemetry.heartbeat(&self.surroundings.fleet, self.desk.len());
                    if !outbox.try_control(Frame::text(ToRouter::Heartbeat(Box::new(beat)).to_frame())) {
                        debug!("a lane that takes nothing has no room for a heartbeat");
                    }
                }
                Ok(()) = changes.changed() => config_due = true,
                Ok(()) = self.lanes.changed() => config_due = true,
                Ok(()) = self.dispatch.changed() => config_due = true,
                Ok(()) = wishes.changed() => {
                    // A new wish is answered with the capabilities, also where they are the same.
                    self.told = None;
                    config_due = true;
                }
                // It is told, so that the router gives no more.
                Ok(()) = self.drain.changed() => config_due = true,
                Ok(()) = departures.changed(), if draining || useless => {}
                () = timer::until(alarm) => {
                    if meter.received() != received {
                        // A large message takes its time to come.
                        (last_heard, received, pinged) = (Instant::now(), meter.received(), false);
                        continue;
                    }
                    if last_heard.elapsed() >= silence {
                        return SessionEnd::Lost { cause: "silent", detail: format!("nothing received for {silence:?}") };
                    }
                    pinged = true;
                    outbox.ask_read();
                }
            }
        }
    }

    /// Tells the router the truth again if it has changed since it was last told; false if there was no room.
    fn tell_config(&mut self, outbox: &Outbox) -> bool {
        let now = (self.capabilities)();
        let lasting = lasting(now.clone());
        if self.told.as_ref() == Some(&lasting) {
            return true;
        }
        let config = ToRouter::Config { capabilities: Box::new(now) };
        let sent = outbox.try_control(Frame::text(config.to_frame()));
        if sent {
            self.told = Some(lasting);
        }
        sent
    }

    /// Takes in whatever the socket brought.
    async fn take(
        &mut self,
        message: Option<Result<Message, WsError>>,
        outbox: &Outbox,
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
                Probe::answered(&payload).into_iter().for_each(|probe| outbox.answered(probe));
                return Ok(());
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => return Ok(()),
        };
        let heard = if message.len() > LARGE_FRAME {
            match tokio::task::spawn_blocking(move || Heard::read(&message)).await {
                Ok(heard) => heard,
                Err(_) => return lost("failed", "the task that read a large message has failed".to_owned()),
            }
        } else {
            Heard::read(&message)
        };
        match heard {
            Ok(Heard::Job(order)) => self.take_job(order, outbox, draining).await,
            Ok(Heard::Other(message)) => self.act(*message),
            Err(unreadable) => {
                if let Some(left_out) = self.warnings().due("unreadable") {
                    let job = unreadable.fault.job_id.as_deref().map(shown).unwrap_or_default();
                    warn!(fault = %unreadable.fault, job, left_out, "cannot read a message of the router");
                }
                if let Some(error) = unreadable.answer() {
                    let _ = outbox.control(Frame::text(ToRouter::Error(error).to_frame())).await;
                }
            }
        }
        Ok(())
    }

    async fn take_job(&mut self, order: Order, outbox: &Outbox, draining: bool) {
        let job = Arc::clone(&order.job);
        // A draining lane still finishes what is here; the rest is left unanswered on purpose: the router gives it to
        // another worker when this lane closes, while an error would fail the caller's request.
        let accepted = if draining {
            self.desk.adopt(&order, outbox)
        } else {
            match self.desk.accept(order, outbox) {
                Ok(accepted) => Some(accepted),
                Err(full) => return self.refuse(&job, full, outbox).await,
            }
        };
        // The engine has the job before the log has it: a line wakes the log's thread, on the processor that
        // the engine could be using.
        tokio::task::yield_now().await;
        match accepted {
            Some(accepted) => {
                info!(job = %Shown(&job.job_id), model = job.model.as_deref().map(shown), accepted = accepted.name(), "job received")
            }
            None => self.leave(&job, outbox).await,
        }
    }

    /// A job that comes too late: given back where the router understands that, else left to it. It gives the job to
    /// another worker when this lane closes, while an error would fail the caller's request.
    async fn leave(&self, job: &Job, outbox: &Outbox) {
        info!(job = %Shown(&job.job_id), "left a job to the router: this worker is draining");
        if self.surroundings.takes_back.load(std::sync::atomic::Ordering::Relaxed)
            && let Some(error) = Ending::GivenBack.message(&job.job_id, false)
        {
            let _ = outbox.control(Frame::text(ToRouter::Error(error).to_frame())).await;
        }
    }

    /// Says that a job cannot be held, waiting for room: a router that gives more than it reads is read no faster.
    async fn refuse(&self, job: &Job, full: Full, outbox: &Outbox) {
        if let Some(left_out) = self.warnings().due("full") {
            warn!(job = shown(&job.job_id), reason = full.words(), left_out, "refused a job");
        }
        let error = JobError {
            job_id: Some((&*job.job_id).into()),
            error: full.words().into(),
            status: Some(503),
            retry_after: Some(FULL_PAUSE),
            ..JobError::default()
        };
        let _ = outbox.control(Frame::text(ToRouter::Error(error).to_frame())).await;
    }

    fn act(&self, message: ToWorker) {
        match message {
            ToWorker::Cancel(cancel) => {
                if self.desk.cancel(&cancel.job_id) {
                    info!(job = %Shown(&cancel.job_id), "job cancelled by the router");
                } else {
                    debug!(job = shown(&cancel.job_id), "ignored the cancel of a job that is not here");
                }
            }
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
        &self.surroundings.telemetry.warnings
    }
}

fn lost_by(end: Result<WriteEnd, JoinError>) -> SessionEnd {
    match end {
        Ok(WriteEnd::Closed) => SessionEnd::Drained,
        Ok(WriteEnd::Stalled) => SessionEnd::Lost { cause: "stalled", detail: "the router takes no bytes".to_owned() },
        Ok(WriteEnd::Failed(detail)) => SessionEnd::Lost { cause: "failed", detail },
        // Not the fault itself: what it panicked with may be somebody's text.
        Err(_) => SessionEnd::Lost { cause: "failed", detail: "the task that writes has failed".to_owned() },
    }
}
