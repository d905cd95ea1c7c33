use proptest::prelude::*;

use super::*;

/// Feeds the pieces one after the other and collects the data of all events.
fn run(pieces: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, TooLarge> {
    let mut splitter = Splitter::new(limit);
    let (mut buffer, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(block) = splitter.next(&mut buffer)? {
            events.extend(block.data.map(|range| buffer[range].to_vec()));
            buffer.drain(..block.used);
        }
    }
    Ok(events)
}

/// What the standard says, written as plainly as possible.
fn model(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut data: Vec<&[u8]> = Vec::new();
    let mut lines: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    lines.pop();
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if !data.is_empty() {
                events.push(std::mem::take(&mut data).join(&b'\n'));
            }
        } else if line == b"data" {
            data.push(b"");
        } else if let Some(value) = line.strip_prefix(b"data:") {
            data.push(value.strip_prefix(b" ").unwrap_or(value));
        }
    }
    events
}

const REAL: &str = concat!(
    "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n",
    ":\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"caf\u{e9} \\n \u{1f600}\"}}]}\n\n",
    "event: error\r\ndata: {\"error\":\r\ndata:{\"code\":500}}\r\nid: 7\r\n\r\n",
    "\n\r\n: two\n: comments\n\ndata\n\ndata:\ndata: \n\n",
    "data: [DONE]\n\n",
);

#[test]
fn a_realistic_stream_is_the_same_cut_at_every_byte() {
    let whole = run(&[REAL.as_bytes()], 4096).unwrap();
    assert_eq!(whole.len(), 6);
    assert_eq!(whole[2], b"{\"error\":\n{\"code\":500}}");
    assert_eq!((whole[3].as_slice(), whole[4].as_slice()), (&b""[..], &b"\n"[..]));
    assert_eq!(whole[5], b"[DONE]");
    assert_eq!(whole, model(REAL.as_bytes()));
    for cut in 0..=REAL.len() {
        let (left, right) = REAL.as_bytes().split_at(cut);
        assert_eq!(run(&[left, right], 4096).unwrap(), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = REAL.as_bytes().chunks(1).collect();
    assert_eq!(run(&bytes, 4096).unwrap(), whole);
}

#[test]
fn an_event_up_to_the_limit_passes_and_one_byte_more_does_not() {
    let event = b"data: 0123456789\n\n";
    assert_eq!(run(&[event], event.len()).unwrap(), [b"0123456789"]);
    assert_eq!(run(&[event], event.len() - 1), Err(TooLarge { limit: event.len() - 1 }));
    let bytes: Vec<&[u8]> = event.chunks(1).collect();
    assert!(run(&bytes, event.len() - 1).is_err());
}

#[test]
fn a_line_without_end_is_refused_again_and_again() {
    let mut splitter = Splitter::new(8);
    let mut bytes = b"data: 0123456789".to_vec();
    for _ in 0..3 {
        assert_eq!(splitter.next(&mut bytes), Err(TooLarge { limit: 8 }));
    }
    bytes.extend_from_slice(b"\n\ndata: x\n\n");
    assert_eq!(splitter.next(&mut bytes), Err(TooLarge { limit: 8 }));
}

#[test]
fn a_buffer_that_shrank_against_the_rules_does_no_harm() {
    let mut splitter = Splitter::new(64);
    assert_eq!(splitter.next(&mut b"data: abc".to_vec()), Ok(None));
    assert_eq!(splitter.next(&mut []), Ok(None));
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"data: ".to_vec()),
        Just(b"data:".to_vec()),
        Just(b"data".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b":".to_vec()),
        Just(b"id: 1\n".to_vec()),
        Just(b"\r".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_cut_anywhere_agree_with_the_model(stream in stream(), sizes in proptest::collection::vec(1_usize..9, 1..40)) {
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut rest = stream.as_slice();
        for size in sizes {
            let (piece, left) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        pieces.push(rest);
        prop_assert_eq!(run(&pieces, 1 << 20).unwrap(), model(&stream));
    }
}
