//! The five answers, and which models are evicted, one by one. What holds for any traffic is in the suite
//! `scheduler_sim`.

use std::sync::Arc;

use auxot_catalog::{Layer, MemoryRequirements};
use auxot_gpu::Kind;

use super::*;
use auxot_placement::{DeviceCapacity, Remembered, Subject};

const GIB: u64 = 1 << 30;
/// Every engine has one run here.
const RUN: Run = 1;

/// A model that takes `gib` and a half, driver included.
fn profile(name: &str, gib: u64) -> Profile {
    let layer = Layer { weights: GIB / 4, experts: 0, cache: 0 };
    let requirements = MemoryRequirements {
        layers: vec![layer; 4 * gib as usize],
        output: 0,
        embedding: 0,
        weights: gib * GIB,
        compute: 0,
        inputs: 0,
        logits: 0,
        ..MemoryRequirements::default()
    };
    Profile::new(name, Arc::new(requirements))
}

fn seconds(seconds: u64) -> Moment {
    Moment::from_secs(seconds)
}

fn capacity(gib: u64) -> Capacity {
    let room = DeviceCapacity::new("GPU-0", Kind::Nvidia, Some(gib * GIB + GIB / 2));
    Capacity { devices: vec![room], host: Some(64 * GIB), ..Capacity::default() }
}

/// One empty card.
fn scheduler(gib: u64, models: Vec<Profile>) -> Scheduler {
    let mut scheduler = Scheduler::new(Limits::default(), Rules::default(), models);
    scheduler.measured(capacity(gib));
    scheduler
}

/// A job for a model, which gets a place for it: the models that go for that, and the actions.
fn start(scheduler: &mut Scheduler, ticket: Ticket, model: ModelId, at: u64) -> (Vec<ModelId>, Vec<Action>) {
    let (decision, actions) = scheduler.job_arrived(ticket, model, seconds(at));
    let evicted = match scheduler.state(model) {
        ModelState::Reserved { evicted, .. } => evicted.clone(),
        ModelState::Loading { .. } => Vec::new(),
        other => panic!("{decision:?} {other:?}"),
    };
    (evicted, actions)
}

/// The place of a load.
fn place(scheduler: &Scheduler, model: ModelId) -> Box<Placement> {
    let ModelState::Loading { place, .. } = scheduler.state(model) else { panic!("{:?}", scheduler.state(model)) };
    place.placement.clone()
}

/// A job for a model, which is then loaded at that second; the job has ended when this returns.
fn load(scheduler: &mut Scheduler, model: ModelId, at: u64, free_after: u64) {
    let (decision, actions) = scheduler.job_arrived(1000 + model as u64, model, seconds(at));
    assert_eq!(decision, Decision::Wait);
    assert!(matches!(actions[..], [Action::Load { .. }]), "{actions:?}");
    scheduler.measured(capacity(free_after));
    let actions = scheduler.engine_ready(model, RUN, 1, seconds(at + 2));
    scheduler.memory_shown(model);
    assert_eq!(actions, [Action::Admit { ticket: 1000 + model as u64, model }]);
    assert_eq!(scheduler.job_ended(model, RUN, seconds(at + 3)), []);
}

#[test]
fn the_three_answers() {
    let mut scheduler = scheduler(10, vec![profile("a", 4), profile("b", 30)]);
    let (wait, actions) = scheduler.job_arrived(1, 0, seconds(1));
    let reserve = place(&scheduler, 0);
    assert_eq!((wait, reserve.shares[0].bytes), (Decision::Wait, 4 * GIB + GIB / 2));
    assert_eq!(actions, [Action::Load { model: 0, placement: reserve }]);
    assert_eq!(scheduler.job_arrived(2, 0, seconds(2)), (Decision::Wait, vec![]), "one load for both");
    assert_eq!(scheduler.engine_ready(0, RUN, 1, seconds(3)), [Action::Admit { ticket: 1, model: 0 }]);
    scheduler.memory_shown(0);
    assert_eq!(scheduler.job_arrived(3, 0, seconds(3)), (Decision::Wait, vec![]));
    assert_eq!(scheduler.job_ended(0, RUN, seconds(4)), [Action::Admit { ticket: 2, model: 0 }]);
    assert_eq!(scheduler.job_cancelled(3, seconds(4)), []);
    assert_eq!(scheduler.job_ended(0, RUN, seconds(5)), []);
    assert_eq!(scheduler.job_arrived(4, 0, seconds(6)), (Decision::Admit, vec![]));
    let (refused, _) = scheduler.job_arrived(5, 1, seconds(6));
    let Decision::Refuse(reason) = refused else { panic!("{refused:?}") };
    assert_eq!(reason.to_string(), "cannot place it: needs 30.5 GiB, free 10.0 GiB on 1 device");
}

#[test]
fn a_full_queue_and_too_long_a_wait_are_refused() {
    let limits = Limits { max_waiting: 2, ..Limits::default() };
    let mut scheduler = Scheduler::new(limits, Rules::default(), vec![profile("a", 4)]);
    scheduler.measured(capacity(10));
    scheduler.job_arrived(1, 0, seconds(0));
    scheduler.job_arrived(2, 0, seconds(5));
    assert_eq!(scheduler.job_arrived(3, 0, seconds(5)).0, Decision::Refuse(Reason::QueueFull { waiting: 2 }));
    assert_eq!(scheduler.wake_at(seconds(5)), Some(seconds(600)));
    let late = Action::Refuse { ticket: 1, reason: Reason::WaitTimeout { waited: seconds(600) } };
    assert_eq!(scheduler.tick(seconds(600)), [late]);
    assert_eq!(scheduler.waiting(0), 1);
}

#[test]
fn the_idle_longest_and_cheapest_goes_after_its_minimum_loaded_time() {
    let mut scheduler = scheduler(10, vec![profile("a", 4), profile("b", 4), profile("c", 4)]);
    load(&mut scheduler, 0, 0, 6);
    load(&mut scheduler, 1, 10, 1);
    let (wait, actions) = scheduler.job_arrived(1, 2, seconds(15));
    assert_eq!((wait, actions), (Decision::Wait, vec![]), "both are new");
    assert_eq!(scheduler.wake_at(seconds(15)), Some(seconds(22)));
    let actions = scheduler.tick(seconds(22));
    assert_eq!(actions, [Action::Stop { model: 0 }]);
    assert!(matches!(scheduler.state(2), ModelState::Reserved { evicted, .. } if *evicted == [0]));
    scheduler.measured(capacity(5));
    let actions = scheduler.memory_freed(0, seconds(23));
    assert!(matches!(actions[..], [Action::Load { model: 2, .. }]), "{actions:?}");
}

#[test]
fn a_busy_one_goes_only_for_a_job_that_may_preempt_and_after_its_drain() {
    let mut scheduler = scheduler(6, vec![profile("a", 4), profile("b", 4)]);
    load(&mut scheduler, 0, 0, 1);
    assert_eq!(scheduler.job_arrived(1, 0, seconds(100)).0, Decision::Admit);
    assert_eq!(scheduler.job_arrived(2, 1, seconds(101)).0, Decision::Wait);
    assert_eq!(scheduler.tick(seconds(115)), []);
    let drain = Action::Drain { model: 0, until: seconds(146), to_make_room_for: Some(1) };
    assert_eq!(scheduler.tick(seconds(116)), [drain], "it drains, and has its time");
    assert!(matches!(scheduler.state(0), ModelState::Draining { until, .. } if *until == seconds(146)));
    assert_eq!(scheduler.job_arrived(3, 0, seconds(120)).0, Decision::Wait, "no new jobs");
    assert_eq!(scheduler.tick(seconds(145)), []);
    assert_eq!(scheduler.tick(seconds(146)), [Action::Stop { model: 0 }]);
}

#[test]
fn a_draining_model_stays_when_its_room_is_not_needed_any_more() {
    let mut scheduler = scheduler(6, vec![profile("a", 4), profile("b", 4)]);
    scheduler.job_arrived(0, 0, seconds(0));
    scheduler.measured(capacity(1));
    scheduler.engine_ready(0, RUN, 2, seconds(2));
    scheduler.memory_shown(0);
    scheduler.job_arrived(2, 1, seconds(101));
    scheduler.tick(seconds(116));
    assert_eq!(scheduler.job_arrived(3, 0, seconds(117)).0, Decision::Wait);
    assert_eq!(scheduler.job_cancelled(2, seconds(118)), [Action::Admit { ticket: 3, model: 0 }]);
    assert!(matches!(scheduler.state(0), ModelState::Ready(_)));
    assert_eq!(scheduler.state(1), &ModelState::OnDisk);
}

#[test]
fn a_pinned_one_stays_and_a_higher_priority_goes_last() {
    let pinned = Profile { pin: true, ..profile("a", 4) };
    let high = Profile { priority: 5, ..profile("b", 4) };
    let mut scheduler = scheduler(15, vec![pinned, high, profile("c", 4), profile("d", 4), profile("e", 12)]);
    load(&mut scheduler, 0, 0, 10);
    load(&mut scheduler, 1, 10, 6);
    load(&mut scheduler, 2, 20, 1);
    assert_eq!(start(&mut scheduler, 1, 3, 100), (vec![2], vec![Action::Stop { model: 2 }]));
    let (refused, _) = scheduler.job_arrived(2, 4, seconds(101));
    assert!(matches!(refused, Decision::Refuse(Reason::DoesNotFit(_))), "{refused:?}");
}

#[test]
fn a_model_whose_load_failed_evicts_no_other() {
    let mut scheduler = scheduler(6, vec![profile("a", 4), profile("b", 4)]);
    load(&mut scheduler, 0, 0, 1);
    assert_eq!(start(&mut scheduler, 1, 1, 100).0, [0]);
    scheduler.measured(capacity(6));
    assert!(matches!(scheduler.memory_freed(0, seconds(101))[..], [Action::Load { model: 1, .. }]));
    assert_eq!(scheduler.job_arrived(2, 0, seconds(102)).0, Decision::Wait);
    let actions = scheduler.load_failed(1, seconds(105));
    assert!(matches!(actions[..], [Action::Load { model: 0, .. }]), "the healthy one comes back: {actions:?}");
    scheduler.measured(capacity(1));
    scheduler.set_measured(0, vec![("GPU-0".into(), 4 * GIB + GIB / 2)]);
    assert_eq!(scheduler.engine_ready(0, RUN, 1, seconds(107)), [Action::Admit { ticket: 2, model: 0 }]);
    scheduler.memory_shown(0);
    assert_eq!(scheduler.job_ended(0, RUN, seconds(108)), []);
    assert_eq!(scheduler.tick(seconds(200)), [], "and stays");
    let actions = scheduler.engine_failed(1, seconds(201));
    assert_eq!(actions, [Action::Refuse { ticket: 1, reason: Reason::Failed }]);
    assert_eq!(scheduler.job_arrived(3, 1, seconds(202)).0, Decision::Refuse(Reason::Failed));
    scheduler.reset(1, seconds(203));
    assert_eq!(start(&mut scheduler, 4, 1, 204).0, [0]);
}

/// Between two restarts by its supervisor a model is loading: other models use what is free beside it, and it is not
/// evicted for them.
#[test]
fn a_model_that_crashes_keeps_its_place_until_it_is_given_up() {
    let mut scheduler = scheduler(10, vec![profile("a", 6), profile("b", 6), profile("c", 2)]);
    load(&mut scheduler, 0, 0, 3);
    assert_eq!(scheduler.engine_lost(0, false, seconds(50)), []);
    scheduler.measured(capacity(10));
    assert_eq!(scheduler.job_arrived(1, 1, seconds(51)), (Decision::Wait, vec![]));
    assert!(start(&mut scheduler, 2, 2, 52).0.is_empty(), "there is room beside both");
    assert_eq!(scheduler.tick(seconds(100)), [], "b may preempt, and a has lost its engine again");
    assert_eq!(scheduler.engine_lost(0, false, seconds(101)), []);
    let actions = scheduler.engine_failed(0, seconds(102));
    assert!(matches!(actions[..], [Action::Load { model: 1, .. }]), "{actions:?}");
}

#[test]
fn a_second_unload_shortens_the_drain_and_never_lengthens_it() {
    let mut scheduler = scheduler(10, vec![profile("a", 4)]);
    load(&mut scheduler, 0, 0, 6);
    assert_eq!(scheduler.job_arrived(1, 0, seconds(10)).0, Decision::Admit);
    let until = seconds(40);
    let drain = Action::Drain { model: 0, until, to_make_room_for: None };
    assert_eq!(scheduler.unload(0, until, seconds(11)), [drain]);
    assert_eq!(scheduler.unload(0, seconds(80), seconds(12)), []);
    assert!(matches!(scheduler.state(0), ModelState::Draining { until: at, .. } if *at == until));
    assert_eq!(scheduler.unload(0, seconds(20), seconds(13)), []);
    assert_eq!(scheduler.tick(seconds(19)), []);
    assert_eq!(scheduler.tick(seconds(20)), [Action::Stop { model: 0 }]);
}

#[test]
fn an_unused_one_is_ended_after_its_time() {
    let mut scheduler = scheduler(10, vec![Profile { ttl: Some(seconds(60)), ..profile("a", 4) }]);
    load(&mut scheduler, 0, 0, 6);
    assert_eq!(scheduler.wake_at(seconds(30)), Some(seconds(63)));
    assert_eq!(scheduler.tick(seconds(62)), []);
    assert_eq!(scheduler.tick(seconds(63)), [Action::Stop { model: 0 }]);
}

#[test]
fn what_is_promised_is_not_promised_again() {
    let mut scheduler = scheduler(10, vec![profile("a", 6), profile("b", 6)]);
    scheduler.job_arrived(1, 0, seconds(0));
    let (wait, _) = scheduler.job_arrived(2, 1, seconds(1));
    assert_eq!(wait, Decision::Wait, "the first one's memory is not seen yet, and is not free");
    scheduler.measured(capacity(4));
    scheduler.set_measured(0, vec![("GPU-0".into(), 6 * GIB)]);
    assert_eq!(scheduler.tick(seconds(2)), []);
}

#[test]
fn memory_that_cannot_be_read_delays_only_models_that_need_it() {
    let mut models: Vec<Profile> = (0..9).map(|_| profile("large", 20)).collect();
    models.push(profile("small", 4));
    let mut scheduler = Scheduler::new(Limits::default(), Rules::default(), models);
    let two = |gib: Option<u64>| {
        let mut two = capacity(5);
        two.devices.push(DeviceCapacity::new("GPU-1", Kind::Nvidia, gib.map(|gib| gib * GIB)));
        two
    };
    scheduler.measured(two(None));
    for large in 0..9 {
        assert_eq!(scheduler.job_arrived(large as Ticket, large, seconds(0)).0, Decision::Wait);
    }
    assert!(start(&mut scheduler, 100, 9, 100).0.is_empty());
    scheduler.measured(two(Some(24)));
    let actions = scheduler.tick(seconds(101));
    assert!(matches!(actions[..], [Action::Load { model: 0, .. }]), "{actions:?}");
}

#[test]
fn what_a_model_took_before_decides_where_it_goes_now() {
    let identity = auxot_catalog::Identity { bytes: 1, modified: (2, 3), inode: 4 };
    let subject = Subject {
        file: "/m/a.gguf".into(),
        identity,
        parameters: auxot_catalog::RunParameters::new(1, 4096),
        arguments: vec!["--ubatch-size".into(), "1024".into()],
        build: "b1".into(),
    };
    let key = move |placement: &Placement| subject.at(placement);
    let mut history = auxot_catalog::MeasurementHistory::default();
    let placed = |gib, profile| {
        let mut scheduler = scheduler(gib, vec![profile]);
        start(&mut scheduler, 1, 0, 0);
        place(&scheduler, 0)
    };
    let seen = key(&placed(10, profile("a", 4)));
    let asked =
        "1 x 4096 tokens, keys f16, values f16, batch 512, 8 checkpoints, 17 of 17 layers: 17, --ubatch-size 1024";
    assert_eq!(seen.asked, asked);
    history.learn(seen, vec![3 * GIB], std::time::SystemTime::UNIX_EPOCH);
    let remembered = Remembered::new(move |placement| history.recall(&key(placement)).map(<[u64]>::to_vec));
    let wiser = Profile { remembered: Some(remembered), ..profile("a", 4) };
    assert_eq!(placed(4, wiser).shares[0].bytes, 3 * GIB, "it fits, as is known");
    assert!(matches!(scheduler(4, vec![profile("a", 4)]).job_arrived(1, 0, seconds(0)).0, Decision::Refuse(_)));
}

mod host_limit;
mod turns;
