//! The slots of one model and who waits for them: pure, first come first served, bounded.
//!
//! Guarantees, each a property test: never more jobs than slots, never more waiters than the bound,
//! a waiter is overtaken by nobody, and a slot freed in an earlier life of the engine frees nothing
//! in the present one.

use std::collections::VecDeque;

/// Names one waiting request.
pub(crate) type Ticket = u64;
/// Names one life of the engine.
pub(crate) type Run = u64;

/// The slots of one model.
#[derive(Debug)]
pub(crate) struct Queue {
    engine: Engine,
    waiting: VecDeque<Ticket>,
    bound: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// No engine takes jobs.
    Closed,
    /// This life of the engine does, in so many slots.
    Open { run: Run, slots: u32, busy: u32 },
}

/// The answer to a request for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Yours, in this life of the engine.
    Granted,
    /// You wait.
    Waiting,
    /// So many wait already.
    Full { waiting: usize },
}

impl Queue {
    pub(crate) fn new(bound: usize) -> Self {
        Self { engine: Engine::Closed, waiting: VecDeque::new(), bound }
    }

    /// Asks for a slot. Nobody overtakes a waiter, so a free slot is only given when nobody waits.
    pub(crate) fn ask(&mut self, ticket: Ticket) -> Asked {
        if let Engine::Open { slots, busy, .. } = &mut self.engine
            && self.waiting.is_empty()
            && *busy < *slots
        {
            *busy += 1;
            return Asked::Granted;
        }
        if self.waiting.len() >= self.bound {
            return Asked::Full { waiting: self.waiting.len() };
        }
        self.waiting.push_back(ticket);
        Asked::Waiting
    }

    /// The engine takes jobs: returns who gets its slots.
    pub(crate) fn open(&mut self, run: Run, slots: u32) -> Vec<Ticket> {
        match &mut self.engine {
            // The same life said it again: its busy slots are still busy.
            Engine::Open { run: present, slots: known, .. } if *present == run => *known = slots,
            engine => *engine = Engine::Open { run, slots, busy: 0 },
        }
        self.grant()
    }

    /// The engine takes no more jobs; waiters go on waiting for the next one.
    pub(crate) fn close(&mut self) {
        self.engine = Engine::Closed;
    }

    /// A job of that life has left its slot: returns who gets it.
    pub(crate) fn release(&mut self, of: Run) -> Vec<Ticket> {
        match &mut self.engine {
            Engine::Open { run, busy, .. } if *run == of => *busy = busy.saturating_sub(1),
            _ => return Vec::new(),
        }
        self.grant()
    }

    /// A waiter has left; whether it was still waiting.
    pub(crate) fn withdraw(&mut self, ticket: Ticket) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| *waiting != ticket);
        self.waiting.len() < before
    }

    /// Sends everybody away.
    pub(crate) fn dismiss(&mut self) -> Vec<Ticket> {
        self.waiting.drain(..).collect()
    }

    /// Whether an engine takes jobs.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.engine, Engine::Open { .. })
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn busy(&self) -> u32 {
        match self.engine {
            Engine::Open { busy, .. } => busy,
            Engine::Closed => 0,
        }
    }

    /// Slots of the engine that takes jobs now.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> Option<u32> {
        match self.engine {
            Engine::Open { slots, .. } => Some(slots),
            Engine::Closed => None,
        }
    }

    fn grant(&mut self) -> Vec<Ticket> {
        let Engine::Open { slots, busy, .. } = &mut self.engine else { return Vec::new() };
        let free = (*slots).saturating_sub(*busy) as usize;
        let granted: Vec<Ticket> = self.waiting.drain(..free.min(self.waiting.len())).collect();
        *busy += u32::try_from(granted.len()).unwrap_or(u32::MAX);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waiters_are_served_in_order_when_the_engine_opens() {
        let mut queue = Queue::new(3);
        assert_eq!((queue.ask(1), queue.ask(2), queue.ask(3)), (Asked::Waiting, Asked::Waiting, Asked::Waiting));
        assert_eq!(queue.ask(4), Asked::Full { waiting: 3 });
        assert!(queue.withdraw(2) && !queue.withdraw(2));
        assert_eq!(queue.open(1, 1), [1]);
        assert_eq!(queue.release(1), [3]);
        assert!(queue.release(1).is_empty());
        assert_eq!(queue.ask(5), Asked::Granted);
    }

    #[test]
    fn a_slot_of_an_earlier_life_frees_nothing() {
        let mut queue = Queue::new(9);
        queue.open(1, 1);
        assert_eq!(queue.ask(1), Asked::Granted);
        queue.close();
        assert_eq!(queue.ask(2), Asked::Waiting);
        assert_eq!(queue.open(2, 1), [2]);
        assert!(queue.release(1).is_empty());
        assert_eq!(queue.busy(), 1);
        assert!(queue.open(2, 2).is_empty(), "the same life keeps its busy slots");
        assert_eq!((queue.busy(), queue.slots()), (1, Some(2)));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Ask,
        Release(usize),
        Withdraw(usize),
        Open(u32),
        Close,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            4 => Just(Op::Ask),
            3 => (0_usize..8).prop_map(Op::Release),
            1 => (0_usize..8).prop_map(Op::Withdraw),
            1 => (1_u32..5).prop_map(Op::Open),
            1 => Just(Op::Close),
        ];
        prop::collection::vec(op, 0..200)
    }

    proptest! {
        #[test]
        fn the_guarantees_hold_under_any_order(ops in ops()) {
            let (mut queue, mut held, mut order) = (Queue::new(4), Vec::<Run>::new(), VecDeque::<Ticket>::new());
            let (mut run, mut ticket) = (0, 0);
            for op in ops {
                let granted = match op {
                    Op::Ask => {
                        ticket += 1;
                        match queue.ask(ticket) {
                            Asked::Granted => { prop_assert!(order.is_empty(), "a waiter was overtaken"); held.push(run); }
                            Asked::Waiting => order.push_back(ticket),
                            Asked::Full { waiting } => prop_assert_eq!(waiting, 4),
                        }
                        Vec::new()
                    }
                    Op::Release(at) if !held.is_empty() => queue.release(held.swap_remove(at % held.len())),
                    Op::Withdraw(at) if !order.is_empty() => {
                        let gone = order.remove(at % order.len()).expect("in range");
                        prop_assert!(queue.withdraw(gone));
                        Vec::new()
                    }
                    Op::Open(slots) => { run += 1; queue.open(run, slots) }
                    Op::Close => { queue.close(); Vec::new() }
                    Op::Release(_) | Op::Withdraw(_) => Vec::new(),
                };
                for ticket in granted {
                    prop_assert_eq!(order.pop_front(), Some(ticket), "first come, first served");
                    held.push(run);
                }
                prop_assert!(queue.waiting() <= 4);
                prop_assert_eq!(queue.waiting(), order.len());
                if let Some(slots) = queue.slots() {
                    prop_assert!(queue.busy() <= slots);
                    prop_assert_eq!(queue.busy() as usize, held.iter().filter(|of| **of == run).count());
                    prop_assert!(order.is_empty() || queue.busy() == slots, "a waiter beside a free slot");
                }
            }
        }
    }
}
