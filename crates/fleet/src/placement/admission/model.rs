//! One model: where it is in its life, and who waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Need;

use super::super::{Demand, Placement, Remembered, Tenant};
use super::{Limits, ModelId, Moment, Ticket};

/// How long a load is taken to last before one was seen.
const UNKNOWN_LOAD: Duration = Duration::from_secs(10);

/// What the operator and the catalog say of a model.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it needs.
    pub need: Arc<Need>,
    /// What it took before, where that is known.
    pub remembered: Option<Remembered>,
    /// It is never ended for another.
    pub pin: bool,
    /// The higher, the sooner it comes and the later it goes.
    pub priority: i32,
    /// Idle for so long, and it is ended; `None` is never.
    pub ttl: Option<Duration>,
}

/// Where a model is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum Life {
    /// It is on disk.
    Absent,
    /// Its place is reserved, and others are going for it.
    Coming {
        /// The place.
        placement: Box<Placement>,
        /// Who goes.
        evicted: Vec<ModelId>,
    },
    /// It is being loaded.
    Loading {
        /// Where.
        placement: Box<Placement>,
        /// Since when.
        since: Moment,
    },
    /// It takes jobs.
    Ready {
        /// Where.
        placement: Box<Placement>,
        /// Since when.
        since: Moment,
        /// Jobs that it can run at once.
        slots: u32,
        /// Jobs that it runs.
        busy: u32,
        /// Until when its jobs may go on, if it is to go.
        draining: Option<Moment>,
    },
    /// It was told to end, and its memory is not free yet.
    Leaving {
        /// Where it lies.
        placement: Box<Placement>,
    },
    /// A load failed; another may be tried then.
    BackingOff {
        /// When.
        until: Moment,
    },
    /// It will not be tried again.
    Failed,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) profile: Profile,
    pub(super) demand: Demand,
    pub(super) life: Life,
    /// Who waits, and since when; the oldest first.
    pub(super) waiting: VecDeque<(Ticket, Moment)>,
    pub(super) last_used: Moment,
    /// How long its last load took.
    load: Option<Duration>,
    /// The last load went wrong: nobody is ended for the next one.
    pub(super) doubted: bool,
    /// Whether it could be placed was asked, and cannot be told before memory is read again.
    pub(super) blind: bool,
    /// What its place gives it, by device.
    given: Vec<(String, u64)>,
    /// What it is seen to hold, by device; empty where that is not known.
    seen: Vec<(String, u64)>,
}

impl Model {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            demand: Demand::of(&profile.need),
            profile,
            life: Life::Absent,
            waiting: VecDeque::new(),
            last_used: Moment::ZERO,
            load: None,
            doubted: false,
            blind: false,
            given: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// It has a place, reserved or to be loaded into.
    pub(super) fn place(&mut self, placement: &Placement, life: Life) {
        self.given = placement.bytes().map(|(device, bytes)| (device.to_owned(), bytes)).collect();
        self.seen.clear();
        self.life = life;
    }

    /// It has none any more.
    fn unplace(&mut self, life: Life) {
        self.given.clear();
        self.seen.clear();
        self.life = life;
    }

    /// Gives its reserved place up, and tells who was to go for it.
    pub(super) fn give_up(&mut self) -> Vec<ModelId> {
        let evicted = match &mut self.life {
            Life::Coming { evicted, .. } => std::mem::take(evicted),
            _ => return Vec::new(),
        };
        self.unplace(Life::Absent);
        evicted
    }

    pub(super) fn is_seen_to_hold(&mut self, holds: Vec<(String, u64)>) {
        self.seen = holds;
    }

    /// A slot is free, nobody waits for it, and the model stays.
    pub(super) fn admits_at_once(&self) -> bool {
        let free = matches!(self.life, Life::Ready { slots, busy, draining: None, .. } if busy < slots);
        free && self.waiting.is_empty()
    }

    pub(super) fn take_slot(&mut self, now: Moment) {
        if let Life::Ready { busy, .. } = &mut self.life {
            *busy += 1;
        }
        self.last_used = now;
    }

    pub(super) fn leave_slot(&mut self, now: Moment) {
        if let Life::Ready { busy, .. } = &mut self.life {
            *busy = busy.saturating_sub(1);
        }
        self.last_used = now;
    }

    pub(super) fn ready(&mut self, slots: u32, now: Moment) {
        if let Life::Loading { placement, since } = &self.life {
            self.load = Some(now.saturating_sub(*since));
            self.doubted = false;
            self.last_used = now;
            let placement = placement.clone();
            self.life = Life::Ready { placement, since: now, slots: slots.max(1), busy: 0, draining: None };
        }
    }

    pub(super) fn failed(&mut self, retry: Option<Moment>) {
        self.doubted = true;
        self.unplace(retry.map_or(Life::Failed, |until| Life::BackingOff { until }));
    }

    pub(super) fn revive(&mut self) {
        if matches!(self.life, Life::Failed | Life::BackingOff { .. }) {
            self.doubted = false;
            self.life = Life::Absent;
        }
    }

    pub(super) fn gone(&mut self) {
        self.unplace(Life::Absent);
    }

    /// Bytes by device that were promised to it and are not yet seen in what is measured.
    pub(super) fn promised(&self) -> impl Iterator<Item = (&str, u64)> {
        let unseen = matches!(self.life, Life::Coming { .. } | Life::Loading { .. });
        self.given.iter().filter(move |_| unseen).map(|(device, bytes)| {
            let seen = self.seen.iter().find(|(held, _)| held == device).map_or(0, |(_, bytes)| *bytes);
            (device.as_str(), bytes.saturating_sub(seen))
        })
    }

    /// The part of what it was given that is measured already.
    pub(super) fn seen(&self) -> &[(String, u64)] {
        &self.seen
    }

    /// Bytes by device that come free with its end: what it is seen to hold, else what it was given.
    pub(super) fn tenant(&self) -> Tenant<'_> {
        let holds = if self.seen.is_empty() { &self.given } else { &self.seen };
        Tenant { model: &self.profile.name, holds }
    }

    pub(super) fn oldest(&self) -> Option<Moment> {
        self.waiting.front().map(|(_, since)| *since)
    }

    /// Its own priority, or the highest there is once somebody has waited for half of what is allowed.
    pub(super) fn urgency(&self, limits: &Limits, now: Moment) -> i32 {
        let waited = self.oldest().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if waited * 2 >= limits.max_wait { i32::MAX } else { self.profile.priority }
    }

    /// Whether it may be ended as far as its residency and its pin are concerned.
    pub(super) fn may_go(&self, limits: &Limits, now: Moment) -> bool {
        let stayed = |since: Moment| now.saturating_sub(since) >= limits.residency;
        !self.profile.pin && matches!(self.life, Life::Ready { since, draining: None, .. } if stayed(since))
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.life, Life::Ready { busy: 0, .. }) && self.waiting.is_empty()
    }

    /// Idle time for each second that it would take to bring it back; the largest goes first.
    pub(super) fn expendable(&self, now: Moment) -> f64 {
        let load = self.load.unwrap_or(UNKNOWN_LOAD).max(Duration::from_millis(1));
        now.saturating_sub(self.last_used).as_secs_f64() / load.as_secs_f64()
    }
}
