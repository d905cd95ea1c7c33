//! The table against a simple model, under any order of events.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::outbox::Frames;
use auxot_protocol::ToWorker;
use proptest::prelude::*;

const WINDOW: Duration = Duration::from_secs(3600);
const LANES: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    /// The router asks for a job, with one of its conversations, by a lane.
    Ask(u8, u8, usize),
    Cancel(u8),
    /// A round that began some time ago ends, with its last words in its lane's socket or without.
    End(usize, bool),
    /// A lane is lost and another takes its place.
    Lose(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (0_u8..4, 0_u8..2, 0..LANES).prop_map(|(id, conversation, lane)| Op::Ask(id, conversation, lane)),
        1 => (0_u8..4).prop_map(Op::Cancel),
        3 => (0_usize..8, any::<bool>()).prop_map(|(round, said)| Op::End(round, said)),
        1 => (0..LANES).prop_map(Op::Lose),
    ];
    prop::collection::vec(op, 0..150)
}

fn order(id: u8, conversation: u8) -> Order {
    let frame = serde_json::json!({"type": "job", "job_id": id.to_string(), "messages": [conversation]}).to_string();
    match ToWorker::parse(&frame) {
        Ok(ToWorker::Job(job)) => Order::new(*job),
        other => panic!("no job: {other:?}"),
    }
}

/// One round as the model sees it; lanes are named by number, so that a lost one is told from its successor.
#[derive(Debug, Clone)]
struct Running {
    round: Round,
    id: u8,
    conversation: u8,
    lane: usize,
    cancelled: bool,
    /// Whether the table must still have it.
    current: bool,
    cancel: CancellationToken,
    moves: watch::Receiver<Outbox>,
}

/// Lanes ever opened; those that are lost have no frames.
struct Lanes(Vec<(Outbox, Option<Frames>)>, [usize; LANES]);

impl Lanes {
    fn new() -> Self {
        let mut lanes = Self(Vec::new(), [0; LANES]);
        (0..LANES).for_each(|at| lanes.open(at));
        lanes
    }

    fn open(&mut self, at: usize) {
        let (outbox, frames) = Outbox::new();
        self.0.push((outbox, Some(frames)));
        self.1[at] = self.0.len() - 1;
    }

    fn lose(&mut self, at: usize) {
        self.0[self.1[at]].1 = None;
        self.open(at);
    }
}

proptest! {
    #[test]
    fn the_guarantees_hold_under_any_order(ops in ops()) {
        let (mut table, mut lanes) = (Table::default(), Lanes::new());
        let mut running: Vec<Running> = Vec::new();
        // The last ending of each id that a lane has: its conversation and that lane.
        let mut ended: BTreeMap<u8, (u8, usize)> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Ask(id, conversation, at) => {
                    let (order, lane) = (order(id, conversation), lanes.1[at]);
                    let outbox = lanes.0[lane].0.clone();
                    let known = table.ask(&order, &outbox);
                    let repeats = ended.get(&id).filter(|(of, by)| *of == conversation && *by != lane);
                    let here = running.iter_mut().find(|run| run.id == id && run.current && !run.cancelled && run.conversation == conversation);
                    match (repeats.is_some(), here) {
                        (true, _) => {
                            prop_assert_eq!(known, Some(Known::Ended("words".into())));
                            ended.insert(id, (conversation, lane));
                        }
                        (false, Some(run)) => {
                            prop_assert_eq!(known, Some(if run.lane == lane { Known::Here } else { Known::Moved }));
                            run.lane = lane;
                        }
                        (false, None) => {
                            prop_assert_eq!(known, None);
                            let (cancel, (mover, moves)) = (CancellationToken::new(), watch::channel(outbox));
                            let (round, replaced) = table.begin(&id.to_string(), order.fingerprint, cancel.clone(), mover);
                            prop_assert_eq!(replaced, running.iter().any(|run| run.id == id && run.current));
                            for run in running.iter_mut().filter(|run| run.id == id && run.current) {
                                (run.cancelled, run.current) = (true, false);
                            }
                            ended.remove(&id);
                            running.push(Running { round, id, conversation, lane, cancelled: false, current: true, cancel, moves });
                        }
                    }
                }
                Op::Cancel(id) => {
                    prop_assert_eq!(table.cancel(&id.to_string()), running.iter().any(|run| run.id == id && run.current));
                    running.iter_mut().filter(|run| run.id == id && run.current).for_each(|run| run.cancelled = true);
                }
                Op::End(at, said) if !running.is_empty() => {
                    let run = running.swap_remove(at % running.len());
                    if said && !run.cancelled {
                        let lane = lanes.0[run.lane].0.clone();
                        table.ended.keep(&order(run.id, run.conversation), "words".into(), lane, WINDOW);
                        ended.insert(run.id, (run.conversation, run.lane));
                    }
                    table.leave(&run.id.to_string(), run.round);
                }
                Op::End(..) => {}
                Op::Lose(at) => lanes.lose(at),
            }
            prop_assert_eq!(table.len(), running.iter().filter(|run| run.current).count());
            for run in &running {
                prop_assert_eq!(run.cancel.is_cancelled(), run.cancelled);
                if run.current {
                    prop_assert!(run.moves.borrow().is_same_lane(&lanes.0[run.lane].0), "it belongs to who asked last");
                }
            }
            for at in 0..LANES {
                let busy = running.iter().any(|run| run.current && run.lane == lanes.1[at]);
                prop_assert_eq!(table.is_busy(&lanes.0[lanes.1[at]].0), busy);
            }
        }
    }
}
