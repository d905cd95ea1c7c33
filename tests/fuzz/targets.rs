//! Every parser, and its properties besides not panicking.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use auxot_catalog::Gguf;
use auxot_llama::{
    Assembler, Build, ChatRequest, Chunk, EngineError, Flags, Markers, Peek, StateLine, has_images, reduce_tools, sse,
};
use auxot_protocol::{ToRouter, ToWorker};
use auxot_relay::RouterUrl;
use auxot_settings::{Settings, Sources};
use auxot_tests::processes;
use serde_json::value::RawValue;

use crate::mutator::Mutator;
use crate::seeds;

/// Memory that one parser's inputs, 4 KiB each, may cost the process at any time.
const MEMORY: u64 = 256 << 20;

/// Feeds a parser with mutations of the seeds, the seeds themselves first.
fn feed(seeds: &[Vec<u8>], divide: usize, parse: impl Fn(&[u8], &mut Mutator)) {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let inputs = number("INPUTS", 20_000) / divide;
    let mut mutator = Mutator::new(number("SEED", 0x9e37_79b9) as u64);
    let before = processes::resident_bytes(std::process::id()).unwrap_or_default();
    let mut input = Vec::new();
    for count in 0..inputs.max(seeds.len()) {
        match seeds.get(count) {
            Some(seed) => input.clone_from(seed),
            None => mutator.next(seeds, &mut input),
        }
        if catch_unwind(AssertUnwindSafe(|| parse(&input, &mut mutator))).is_err() {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("input {count} made the parser panic: {hex}");
        }
    }
    let after = processes::resident_bytes(std::process::id()).unwrap_or_default();
    assert!(after.saturating_sub(before) < MEMORY, "grew from {before} to {after} bytes");
}

fn raw(input: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(input).ok()
}

#[test]
fn messages_of_the_router() {
    feed(&seeds::router_frames(), 1, |input, _| {
        let _ = ToWorker::parse(&String::from_utf8_lossy(input));
    });
}

#[test]
fn messages_of_a_worker() {
    feed(&seeds::worker_frames(), 1, |input, _| {
        let _ = ToRouter::parse(&String::from_utf8_lossy(input));
    });
}

#[test]
fn chunks_of_an_answer() {
    feed(&seeds::chunks(), 1, |input, _| {
        let Ok(chunk) = Chunk::parse(input) else { return };
        let mut calls = Assembler::new();
        for delta in &chunk.tool_calls {
            calls.push(delta);
        }
        for call in calls.finish().into_iter().flatten() {
            let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
            assert!(arguments.is_object() && !call.id.is_empty());
        }
    });
}

#[test]
fn events_of_a_stream_are_the_same_however_it_is_cut() {
    let events = |bytes: &[u8], cut: usize| {
        let (mut splitter, mut buffer, mut events) = (sse::Splitter::new(1 << 16), Vec::new(), Vec::new());
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        for part in [head, tail] {
            buffer.extend_from_slice(part);
            while let Ok(Some(block)) = splitter.next(&mut buffer) {
                events.extend(block.data.map(|range| buffer[range].to_vec()));
                buffer.drain(..block.used);
            }
        }
        events
    };
    feed(&seeds::streams(), 1, |input, mutator| {
        let cut = mutator.below(input.len() + 1);
        assert_eq!(events(input, input.len()), events(input, cut));
    });
}

#[test]
fn refusals_of_the_engine() {
    feed(&seeds::chunks(), 1, |input, _| {
        let error = EngineError::from_body(500, input);
        let _ = (error.is_template_fault(), error.is_context_exceeded());
    });
}

#[test]
fn conversations_become_requests_that_are_json() {
    feed(&seeds::conversations(), 1, |input, _| {
        let Some(messages) = raw(input) else { return };
        let _ = (has_images(&messages), reduce_tools(&messages));
        let request = ChatRequest { model: "m", messages: Some(&messages), ..ChatRequest::default() };
        let Ok(body) = request.to_body() else { return };
        // As text, because `1e999` is JSON and no number of ours.
        let body: std::collections::HashMap<String, Box<RawValue>> = serde_json::from_slice(&body).unwrap();
        let kept = messages.get().starts_with('[') == body["messages"].get().starts_with('[');
        assert!(kept || messages.get() == "null");
    });
}

#[test]
fn markers_lose_no_text_and_are_the_same_however_it_is_cut() {
    let pieces = |text: &str, cut: usize| {
        let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let mut markers = Markers::new(None);
        let mut all = markers.feed(&text[..cut]);
        all.extend(markers.feed(&text[cut..]));
        all.extend(markers.finish());
        let mut joined = (String::new(), String::new(), 0);
        for piece in all {
            match piece {
                auxot_llama::Piece::Visible(text) => joined.0.push_str(&text),
                auxot_llama::Piece::Reasoning(text) => joined.1.push_str(&text),
                auxot_llama::Piece::Call(_) => joined.2 += 1,
            }
        }
        joined
    };
    feed(&seeds::marked_texts(), 1, |input, mutator| {
        let text = String::from_utf8_lossy(input);
        assert_eq!(pieces(&text, text.len()), pieces(&text, mutator.below(text.len() + 1)));
    });
}

#[test]
fn models_of_bodies() {
    feed(&seeds::bodies(), 1, |input, _| {
        let Ok(Peek { model: Some(model), has_other_models: false, .. }) = Peek::into(input) else { return };
        // What is JSON to others, too, means the same to them.
        if let Ok(body) = serde_json::from_slice::<serde_json::Value>(input) {
            assert_eq!(body["model"], model.name.as_str());
        }
        assert!(input.get(model.place).is_some_and(|text| text.starts_with(b"\"") && text.ends_with(b"\"")));
    });
    feed(&seeds::forms(), 1, |input, _| {
        let Ok(Peek { model: Some(model), .. }) = Peek::into_form("multipart/form-data; boundary=xyz", input) else {
            return;
        };
        assert_eq!(&input[model.place], model.name.as_bytes());
    });
}

#[test]
fn what_an_engine_prints() {
    feed(&seeds::engine_texts(), 1, |input, _| {
        let text = String::from_utf8_lossy(input);
        let _ = (StateLine::parse(&text), Build::parse(&text), Flags::parse(&text).has("--no-kv-unified"));
    });
}

#[test]
fn headers_of_model_files() {
    feed(&seeds::model_files(), 1, |input, _| {
        // The file claims any length: its own, none, or a terabyte.
        for length in [input.len() as u64, 0, 1 << 40] {
            let _ = Gguf::parse(Cursor::new(input), length);
        }
    });
}

#[test]
fn addresses_of_routers() {
    feed(&seeds::addresses(), 1, |input, _| {
        let text = String::from_utf8_lossy(input);
        if let Ok(url) = RouterUrl::parse(&text) {
            assert_eq!(RouterUrl::parse(&url.websocket()).unwrap(), url, "{text}");
        }
    });
}

#[test]
fn configuration_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auxot-worker.toml");
    // A file for each input: a hundredth of the inputs take as long as the other parsers' all.
    feed(&seeds::configurations(), 100, |input, _| {
        std::fs::write(&file, input).unwrap();
        let mut sources = Sources::new([]);
        sources.config = Some(file.clone());
        if let Err(faults) = Settings::load(&sources) {
            assert!(!faults.to_string().is_empty());
        }
    });
}
