//! Lines are whole wherever the stream is cut, and bounded whatever the process prints.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

fn cut(limit: usize, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut lines = Lines::new(limit);
    let mut got = Vec::new();
    for piece in pieces {
        lines.feed(piece, |line| got.push(line.to_vec()));
    }
    lines.finish(|line| got.push(line.to_vec()));
    got
}

proptest! {
    #[test]
    fn the_place_of_a_cut_does_not_matter(text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300),
                                          at in 0usize..300, limit in 1usize..64) {
        let at = at.min(text.len());
        let (left, right) = text.split_at(at);
        prop_assert_eq!(cut(limit, &[left, right]), cut(limit, &[&text]));
        prop_assert!(cut(limit, &[left, right]).iter().all(|line| line.len() <= limit));
    }
}

#[test]
fn a_line_of_any_length_is_truncated_and_the_next_one_is_whole() {
    let long = vec![b'x'; 3 << 20];
    let got = cut(100, &[&long, &long, b"tail\nnext\r\nlast"]);
    assert_eq!(got.len(), 3);
    assert_eq!(got[0], vec![b'x'; 100]);
    assert_eq!(&got[1..], &[b"next".to_vec(), b"last".to_vec()]);
}

fn sink(printed: &Arc<Printed>, sender: Option<watch::Sender<ReportedState>>) -> Sink {
    Sink { model: "m".into(), run: RunId(1), printed: Arc::clone(printed), sender }
}

#[tokio::test]
async fn many_megabytes_on_one_line_do_not_stop_the_reader() {
    let printed = Arc::new(Printed::new(Arc::default()));
    let (mut child, pipe) = tokio::io::duplex(4096);
    let writing = async move {
        child.write_all(&vec![b'y'; 5 << 20]).await.unwrap();
        child.write_all("\nafter\nz\u{00e4}".as_bytes()).await.unwrap();
    };
    tokio::join!(writing, read_lines(pipe, sink(&printed, None)));
    let lines = printed.tail(10);
    assert_eq!((lines[0].len(), lines[1].as_str(), lines[2].as_str()), (1024, "after", "z\u{00e4}"));
    assert!(printed.bytes() > 5 << 20);
}

#[tokio::test]
async fn state_lines_are_reported_and_kept_out_of_the_log() {
    let printed = Arc::new(Printed::new(Arc::default()));
    let (sender, reported) = watch::channel(ReportedState::default());
    let text = concat!(
        "hello\n",
        r#"cmd_child_to_router:state:{"state":"loading","payload":{"stages":["t"],"current":"t","value":0.5}}"#,
        "\n",
        r#"cmd_child_to_router:state:{"state":"ready","payload":null}"#,
        "\n"
    );
    read_lines(text.as_bytes(), sink(&printed, Some(sender))).await;
    assert_eq!(*reported.borrow(), ReportedState { reports: true, fraction: Some(0.5), ready: true });
    assert_eq!(printed.tail(10), ["hello"]);
}
