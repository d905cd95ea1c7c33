//! The way out against a simple model: under any order of events each byte goes out once, in order.

use super::*;
use crate::send_queue::Frames;
use proptest::prelude::*;

/// A lane whose writer is the test.
struct Lane {
    outbox: Outbox,
    frames: Option<Frames>,
    /// Begun and not yet written, with the text of each.
    begun: Vec<(String, Option<Receipt>)>,
}

impl Lane {
    fn new() -> Self {
        let (outbox, frames) = Outbox::new();
        Self { outbox, frames: Some(frames), begun: Vec::new() }
    }

    /// Begins one queued frame, as the writer does.
    fn begin(&mut self) {
        while let Some(Frame::Text(text, receipt)) = self.frames.as_mut().and_then(Frames::try_next) {
            if receipt.as_ref().is_none_or(Receipt::begin) {
                self.begun.push((text.as_str().to_owned(), receipt));
                return;
            }
        }
    }

    /// The socket takes all that is begun; the router has read it.
    fn flush(&mut self, heard: &mut String) {
        for (text, receipt) in self.begun.drain(..) {
            heard.push_str(&text);
            receipt.into_iter().for_each(Receipt::sign);
        }
    }

    /// The connection ends after the socket has taken some of what is begun.
    fn cut(&mut self, taken: usize, heard: &mut String) {
        for (at, (text, receipt)) in self.begun.drain(..).enumerate() {
            if at < taken {
                heard.push_str(&text);
                receipt.into_iter().for_each(Receipt::sign);
            }
        }
        self.frames = None;
    }
}

#[derive(Debug, Clone)]
enum Op {
    Say(u8),
    Begin(usize),
    Flush(usize),
    Cut(usize, usize),
    /// The router asks again by this lane, or by a new one.
    Ask(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1_u8..20).prop_map(Op::Say),
        5 => (0_usize..3).prop_map(Op::Begin),
        4 => (0_usize..3).prop_map(Op::Flush),
        1 => ((0_usize..3), (0_usize..4)).prop_map(|(lane, taken)| Op::Cut(lane, taken)),
        2 => (0_usize..3).prop_map(Op::Ask),
    ];
    prop::collection::vec(op, 0..120)
}

/// Everything the exchange would do with what is there now, until it would have to wait.
async fn settle(outlet: &mut Outlet, text: &str) {
    loop {
        while outlet.sent() < text.len() {
            let Some(room) = outlet.room() else { break };
            let (from, upto) = (outlet.sent(), (outlet.sent() + 7).min(text.len()));
            outlet.send(room, text[from..upto].to_owned(), upto, upto == text.len());
        }
        let wants = if outlet.sent() < text.len() { Wants::Room } else { Wants::Written };
        tokio::select! {
            biased;
            _ = outlet.turn(wants) => {}
            () = std::future::ready(()) => return,
        }
    }
}

async fn carried_out(ops: Vec<Op>) -> (String, String) {
    let mut lanes: Vec<Lane> = (0..3).map(|_| Lane::new()).collect();
    let (tell, asks) = watch::channel(lanes[0].outbox.clone());
    let mut outlet = Outlet::new(asks, CancellationToken::new(), Duration::from_secs(3600));
    let (mut text, mut heard) = (String::new(), String::new());
    for op in ops {
        match op {
            Op::Say(count) => (0..count).for_each(|_| text.push(char::from(b'a' + (text.len() % 26) as u8))),
            Op::Begin(at) => lanes[at].begin(),
            Op::Flush(at) => lanes[at].flush(&mut heard),
            Op::Cut(at, taken) => {
                lanes[at].cut(taken, &mut heard);
                settle(&mut outlet, &text).await;
                lanes[at] = Lane::new();
            }
            Op::Ask(at) => _ = tell.send_replace(lanes[at].outbox.clone()),
        }
        settle(&mut outlet, &text).await;
    }
    // In the end the router asks once more and reads all.
    let mut last = Lane::new();
    tell.send_replace(last.outbox.clone());
    for _ in 0..text.len() + 9 {
        for lane in lanes.iter_mut().chain([&mut last]) {
            lane.begin();
            lane.flush(&mut heard);
        }
        settle(&mut outlet, &text).await;
    }
    (text, heard)
}

proptest! {
    #[test]
    fn each_byte_goes_out_once_and_in_order(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("built");
        let (text, heard) = runtime.block_on(carried_out(ops));
        prop_assert_eq!(text, heard);
    }
}

#[tokio::test]
async fn an_end_that_only_the_lane_that_was_left_has_is_said_again() {
    let (mut left, mut next) = (Lane::new(), Lane::new());
    let (tell, asks) = watch::channel(left.outbox.clone());
    let mut outlet = Outlet::new(asks, CancellationToken::new(), Duration::from_secs(3600));
    let room = outlet.room().expect("room");
    outlet.send(room, "end", 1, true);
    left.begin();
    tell.send_replace(next.outbox.clone());
    assert!(matches!(outlet.turn(Wants::Written).await, Turn::Settling));
    let mut heard = String::new();
    left.flush(&mut heard);
    assert!(matches!(outlet.turn(Wants::Written).await, Turn::Adopted));
    assert_eq!(outlet.written(), 1, "written, but not where it was asked for");
    outlet.rewind(0);
    assert_eq!((outlet.sent(), outlet.written()), (0, 0));
    let room = outlet.room().expect("room");
    outlet.send(room, "end", 1, true);
    next.begin();
    next.flush(&mut heard);
    assert_eq!((outlet.written(), heard.as_str()), (1, "endend"));
}

#[tokio::test]
async fn a_last_cry_goes_before_what_is_queued_and_instead_of_it() {
    let mut lane = Lane::new();
    let (_tell, asks) = watch::channel(lane.outbox.clone());
    let mut outlet = Outlet::new(asks, CancellationToken::new(), Duration::from_secs(3600));
    for upto in 1..=64 {
        let room = outlet.room().expect("room");
        outlet.send(room, "text", upto, false);
    }
    assert!(outlet.room().is_none(), "full");
    outlet.cry("broken".to_owned());
    let mut heard = String::new();
    for _ in 0..70 {
        lane.begin();
        lane.flush(&mut heard);
    }
    assert_eq!(heard, "broken");
}
