//! The sink against a simple model: under any order of events each byte is sent once, in order.

use super::*;
use crate::send_queue::Frames;
use proptest::prelude::*;

/// A connection whose writer is the test.
struct TestConnection {
    queue: SendQueue,
    frames: Option<Frames>,
    /// Messages that are begun and not written.
    begun: Vec<(String, Option<Ack>)>,
}

impl TestConnection {
    fn new() -> Self {
        let (queue, frames) = SendQueue::new();
        Self { queue, frames: Some(frames), begun: Vec::new() }
    }

    /// Begins one queued frame, as the writer does.
    fn begin(&mut self) {
        while let Some(Frame::Text(text, ack)) = self.frames.as_mut().and_then(Frames::try_next) {
            if ack.as_ref().is_none_or(Ack::begin) {
                self.begun.push((text.as_str().to_owned(), ack));
                return;
            }
        }
    }

    /// The socket takes all begun messages, and the router reads them.
    fn flush(&mut self, received: &mut String) {
        for (text, ack) in self.begun.drain(..) {
            received.push_str(&text);
            ack.into_iter().for_each(Ack::mark_written);
        }
    }

    /// The connection ends after the socket has taken some of the begun messages.
    fn cut(&mut self, taken: usize, received: &mut String) {
        for (at, (text, ack)) in self.begun.drain(..).enumerate() {
            if at < taken {
                received.push_str(&text);
                ack.into_iter().for_each(Ack::mark_written);
            }
        }
        self.frames = None;
    }
}

#[derive(Debug, Clone)]
enum Op {
    Generate(u8),
    Begin(usize),
    Flush(usize),
    Cut(usize, usize),
    /// The router sends the job again by this connection, or by a new one.
    Receive(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1_u8..20).prop_map(Op::Generate),
        5 => (0_usize..3).prop_map(Op::Begin),
        4 => (0_usize..3).prop_map(Op::Flush),
        1 => ((0_usize..3), (0_usize..4)).prop_map(|(connection, taken)| Op::Cut(connection, taken)),
        2 => (0_usize..3).prop_map(Op::Receive),
    ];
    prop::collection::vec(op, 0..120)
}

/// All that the job does until it has to wait.
async fn settle(sink: &mut JobSink, text: &str) {
    loop {
        while sink.sent() < text.len() {
            let Some(permit) = sink.permit() else { break };
            let (from, upto) = (sink.sent(), (sink.sent() + 7).min(text.len()));
            sink.send(permit, JobMessage::Text(text[from..upto].to_owned().into()), upto, upto == text.len());
        }
        let wait_for = if sink.sent() < text.len() { WaitFor::Permit } else { WaitFor::Written };
        tokio::select! {
            biased;
            _ = sink.next_event(wait_for) => {}
            () = std::future::ready(()) => return,
        }
    }
}

async fn carried_out(ops: Vec<Op>) -> (String, String) {
    let mut connections: Vec<TestConnection> = (0..3).map(|_| TestConnection::new()).collect();
    let (move_to, moves) = watch::channel(connections[0].queue.clone());
    let mut sink = JobSink::new(moves, CancellationToken::new(), Duration::from_secs(3600));
    let (mut text, mut received) = (String::new(), String::new());
    for op in ops {
        match op {
            Op::Generate(count) => (0..count).for_each(|_| text.push(char::from(b'a' + (text.len() % 26) as u8))),
            Op::Begin(at) => connections[at].begin(),
            Op::Flush(at) => connections[at].flush(&mut received),
            Op::Cut(at, taken) => {
                connections[at].cut(taken, &mut received);
                settle(&mut sink, &text).await;
                connections[at] = TestConnection::new();
            }
            Op::Receive(at) => _ = move_to.send_replace(connections[at].queue.clone()),
        }
        settle(&mut sink, &text).await;
    }
    // In the end the router sends the job once more and reads all.
    let mut last = TestConnection::new();
    move_to.send_replace(last.queue.clone());
    for _ in 0..text.len() + 9 {
        for connection in connections.iter_mut().chain([&mut last]) {
            connection.begin();
            connection.flush(&mut received);
        }
        settle(&mut sink, &text).await;
    }
    (text, received)
}

proptest! {
    #[test]
    fn each_byte_is_sent_once_and_in_order(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("built");
        let (text, received) = runtime.block_on(carried_out(ops));
        prop_assert_eq!(text, received);
    }
}

#[tokio::test]
async fn a_terminal_message_that_only_the_previous_connection_has_is_sent_again() {
    let (mut left, mut next) = (TestConnection::new(), TestConnection::new());
    let (move_to, moves) = watch::channel(left.queue.clone());
    let mut sink = JobSink::new(moves, CancellationToken::new(), Duration::from_secs(3600));
    let permit = sink.permit().expect("room");
    sink.send(permit, JobMessage::Text("end".into()), 1, true);
    left.begin();
    move_to.send_replace(next.queue.clone());
    assert!(matches!(sink.next_event(WaitFor::Written).await, SinkEvent::Settling));
    let mut received = String::new();
    left.flush(&mut received);
    assert!(matches!(sink.next_event(WaitFor::Written).await, SinkEvent::Adopted));
    assert_eq!(sink.written(), 1, "written, but not to the new connection");
    sink.rewind(0);
    assert_eq!((sink.sent(), sink.written()), (0, 0));
    let permit = sink.permit().expect("room");
    sink.send(permit, JobMessage::Text("end".into()), 1, true);
    next.begin();
    next.flush(&mut received);
    assert_eq!((sink.written(), received.as_str()), (1, "endend"));
}

#[tokio::test]
async fn a_final_message_replaces_what_is_queued() {
    let mut connection = TestConnection::new();
    let (_tell, moves) = watch::channel(connection.queue.clone());
    let mut sink = JobSink::new(moves, CancellationToken::new(), Duration::from_secs(3600));
    for upto in 1..=64 {
        let permit = sink.permit().expect("room");
        sink.send(permit, JobMessage::Text("text".into()), upto, false);
    }
    assert!(sink.permit().is_none(), "full");
    sink.send_final("broken".to_owned());
    let mut received = String::new();
    for _ in 0..70 {
        connection.begin();
        connection.flush(&mut received);
    }
    assert_eq!(received, "broken");
}
