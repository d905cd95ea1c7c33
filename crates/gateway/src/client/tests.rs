//! A client whose socket takes little, leaves, or sends its next request early.

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio_util::either::Either;

use super::*;

const TERMS: Terms = Terms { version: Version::HTTP_11, keeps: true, head_only: false };
const LINES: &[u8] = b"200 OK\r\nServer: llama.cpp\r\n";

fn pair() -> (Client, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Client::new(Either::Right(Either::Left(ours))), theirs)
}

async fn send(client: &mut Client, text: &[u8], is_last: bool) -> Result<(), Unwritten> {
    let mut send = |context: &mut Context<'_>, part: &mut Part| {
        part.space()[..text.len()].copy_from_slice(text);
        client.send(context, part, text.len(), is_last)
    };
    poll_fn(|context| Poll::Ready(Part::lend(|part| send(context, part)))).await
}

async fn shown(mut client: Client, mut theirs: UnixStream) -> String {
    client.flush(Duration::from_secs(1)).await.unwrap();
    drop(client);
    let mut seen = String::new();
    theirs.read_to_string(&mut seen).await.unwrap();
    seen
}

#[tokio::test]
async fn an_answer_is_framed_as_the_client_can_read_it() {
    let head = "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\n";
    let old = Terms { version: Version::HTTP_10, keeps: false, ..TERMS };
    let only_head = Terms { head_only: true, ..TERMS };
    for (terms, length, want) in [
        (TERMS, None, "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\nyou\r\n0\r\n\r\n"),
        (TERMS, Some(5), "Content-Length: 5\r\n\r\nhiyou"),
        (old, None, "Connection: close\r\n\r\nhiyou"),
        (only_head, Some(5), "Content-Length: 5\r\n\r\n"),
    ] {
        let (mut client, theirs) = pair();
        client.begin(terms, LINES, length, &HeaderMap::new());
        send(&mut client, b"hi", false).await.unwrap();
        send(&mut client, b"you", true).await.unwrap();
        assert_eq!(shown(client, theirs).await, format!("{head}{want}"));
    }
}

#[tokio::test]
async fn text_of_the_gateway_has_a_length_and_an_event_ends_a_stream() {
    let (mut client, theirs) = pair();
    let fields = HeaderMap::from_iter([(http::header::VARY, "origin".parse().unwrap())]);
    client.answer(TERMS, &Response::new(Bytes::from_static(b"{}")), &fields);
    assert_eq!(shown(client, theirs).await, "HTTP/1.1 200 OK\r\nvary: origin\r\nContent-Length: 2\r\n\r\n{}");
    let (mut client, theirs) = pair();
    client.begin(TERMS, LINES, None, &HeaderMap::new());
    client.push(b"data: x\n\n");
    client.end();
    client.end();
    assert!(shown(client, theirs).await.ends_with("\r\n\r\n9\r\ndata: x\n\n\r\n0\r\n\r\n"));
}

#[tokio::test(start_paused = true)]
async fn what_the_socket_does_not_take_waits_for_the_client_and_no_longer_than_allowed() {
    let (mut client, mut theirs) = pair();
    client.begin(TERMS, LINES, None, &HeaderMap::new());
    client.flush(Duration::from_secs(1)).await.unwrap();
    let mut sent = 0;
    while !client.has_unsent() || client.unsent.is_empty() {
        send(&mut client, &[b'x'; 8 << 10], false).await.unwrap();
        sent += 8 << 10;
    }
    assert!(client.unsent.len() <= 9 << 10, "{}", client.unsent.len());
    assert_eq!(client.flush(Duration::from_secs(5)).await, Err(Unwritten::TooSlow));
    client.end();
    let reading = async {
        let mut seen = Vec::new();
        theirs.read_to_end(&mut seen).await.unwrap();
        seen.iter().filter(|byte| **byte == b'x').count()
    };
    let writing = async {
        client.flush(Duration::from_secs(5)).await.unwrap();
        client.close().await;
    };
    let (seen, ()) = tokio::join!(reading, writing);
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn a_request_that_comes_early_is_kept_and_a_client_that_leaves_is_noticed() {
    use tokio::io::AsyncWriteExt;
    let (mut client, mut theirs) = pair();
    client.put_back(b"GET /a");
    theirs.write_all(b" HTTP/1.1\r\n\r\n").await.unwrap();
    drop(theirs);
    client.gone().await;
    let mut seen = String::new();
    let mut part = [0; 7];
    while let Ok(read @ 1..) = client.read(&mut part).await {
        seen.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    assert_eq!(seen, "GET /a HTTP/1.1\r\n\r\n");
    assert_eq!(client.flush(Duration::from_secs(1)).await, Ok(()), "nothing is left to send");
    client.begin(TERMS, LINES, None, &HeaderMap::new());
    assert_eq!(client.flush(Duration::from_secs(1)).await, Err(Unwritten::Left));
}

/// An answer that the sockets do not hold.
async fn written(theirs_reads: impl AsyncFnOnce(UnixStream)) -> Result<(), Unwritten> {
    let (mut client, theirs) = pair();
    client.begin(TERMS, LINES, None, &HeaderMap::new());
    client.push(&vec![b'x'; 4 << 20]);
    let (flushed, ()) = tokio::join!(client.flush(Duration::from_secs(60)), theirs_reads(theirs));
    flushed
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_moves_may_take_longer_than_the_limit() {
    let slowly = async |mut theirs: UnixStream| {
        let (mut part, mut read) = (vec![0; 256 << 10], 0);
        while read < 4 << 20 {
            sleep(Duration::from_secs(40)).await;
            match theirs.read(&mut part).await.unwrap() {
                0 => return,
                more => read += more,
            }
        }
    };
    assert_eq!(written(slowly).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_too_slow() {
    let never = async |theirs: UnixStream| {
        sleep(Duration::from_secs(600)).await;
        drop(theirs);
    };
    assert_eq!(written(never).await, Err(Unwritten::TooSlow));
}
