//! The filter over the library itself, however the bytes are cut.

use super::*;
use futures_util::StreamExt;
use proptest::prelude::*;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

const LIMIT: usize = 1000;
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n";

fn frame(code: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![code | if last { 0x80 } else { 0 }];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        long => {
            frame.push(126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

fn filtered(bytes: &[u8], pieces: usize) -> Vec<u8> {
    let mut inbound = FilteredStream::new((), LIMIT);
    let mut out = BytesMut::new();
    inbound.filter.feed(ANSWER, &mut out);
    assert_eq!(&*out, ANSWER, "the answer to the upgrade goes on as it is");
    out.clear();
    bytes.chunks(pieces.max(1)).for_each(|piece| inbound.filter.feed(piece, &mut out));
    out.to_vec()
}

/// What the library reads of the filtered bytes.
fn read(bytes: &[u8]) -> Vec<Message> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LIMIT + MARK_LENGTH))
            .max_frame_size(Some(LIMIT + MARK_LENGTH));
        let filtered = filtered(bytes, 7);
        let stream = tokio::io::join(&filtered[..], tokio::io::sink());
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
        socket
            .take_while(|message| std::future::ready(message.is_ok()))
            .filter_map(|m| async { m.ok() })
            .collect()
            .await
    })
}

#[test]
fn text_that_is_not_utf8_comes_as_bytes_and_what_follows_is_read() {
    let bytes = [frame(1, true, b"\xff\xfe"), frame(9, true, b"p"), frame(1, true, b"{}")].concat();
    let expected = [Message::binary(&b"\xff\xfe"[..]), Message::Ping("p".into()), Message::binary(&b"{}"[..])];
    assert_eq!(read(&bytes), expected);
}

#[test]
fn of_a_message_that_is_too_large_the_head_comes_with_its_size() {
    let large = [b"head".to_vec(), vec![b'x'; 60_000]].concat();
    let read = read(&[frame(1, true, &large), frame(1, true, b"next")].concat());
    let [Message::Binary(cut), Message::Binary(next)] = &read[..] else { panic!("{} messages", read.len()) };
    let (head, size) = cut_message(cut).expect("a mark");
    assert!(head.starts_with(b"headxxx") && head.len() == LIMIT);
    assert_eq!((size, &next[..]), (60_004, &b"next"[..]));
    assert_eq!(cut_message(next), None);
}

#[test]
fn fragments_are_counted_together_and_control_frames_between_them_go_on() {
    let piece = [b'x'; 400];
    let bytes = [
        frame(1, false, &piece),
        frame(0, false, &piece),
        frame(0, false, &piece),
        frame(9, true, b"p"),
        frame(0, false, &piece),
        frame(0, true, &piece),
        frame(1, true, b"next"),
    ]
    .concat();
    let read = read(&bytes);
    let [Message::Binary(cut), Message::Ping(_), Message::Binary(next)] = &read[..] else { panic!("{}", read.len()) };
    assert_eq!(cut_message(cut), Some((&[b'x'; 800][..], 1200)));
    assert_eq!(&next[..], b"next");
}

#[test]
fn a_length_that_cannot_be_is_only_a_large_message() {
    let endless = [&[0x81, 127][..], &u64::MAX.to_be_bytes(), &[b'x'; 5000]].concat();
    let read = read(&endless);
    let [Message::Binary(cut)] = &read[..] else { panic!("{} messages", read.len()) };
    assert_eq!(cut_message(cut).map(|(head, size)| (head.len(), size)), Some((LIMIT, u64::MAX)));
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_does_not_matter(
        frames in prop::collection::vec((prop::sample::select(vec![0_u8, 1, 2, 8, 9, 10]), any::<bool>(), 0..2000_usize), 0..12),
        pieces in 1..300_usize,
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(code, last, size)| frame(*code, *last, &vec![b'x'; *size])).collect();
        prop_assert_eq!(filtered(&bytes, pieces), filtered(&bytes, bytes.len()));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        filtered(&bytes, 5);
    }
}
