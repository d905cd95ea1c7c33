//! Headers that are right, wrong, cut, and lying.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::fixture::Tiny;

fn parse(bytes: &[u8]) -> Result<Gguf, GgufError> {
    Gguf::parse(Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn both_versions_are_read() {
    for version in [2, 3] {
        let header = parse(&Tiny::llama().version(version).bytes()).unwrap();
        assert_eq!(header.version(), version);
        assert_eq!(header.arch(), Some("llama"));
        assert_eq!(header.arch_uint("context_length"), Some(4096));
    }
}

#[test]
fn other_versions_and_other_files_are_distinguished() {
    assert_eq!(parse(&Tiny::llama().version(1).bytes()), Err(GgufError::Version(1)));
    assert_eq!(parse(&Tiny::llama().version(3u32.swap_bytes()).bytes()), Err(GgufError::BigEndian));
    assert_eq!(parse(b"GGML and more"), Err(GgufError::NotGguf));
    assert_eq!(parse(b""), Err(GgufError::NotGguf));
}

#[test]
fn values_keep_their_kind_and_long_ones_are_only_measured() {
    let header = parse(
        &Tiny::llama()
            .text("general.name", "Tiny")
            .text("tokenizer.chat_template", &"x".repeat(200_000))
            .i32s("llama.attention.head_count_kv", &[4, 0, -1])
            .i32s("tokenizer.ggml.token_type", &vec![1; 5000])
            .raw("a.float", 6, &1.5f32.to_le_bytes())
            .raw("a.flag", 7, &[1])
            .raw("a.negative", 11, &(-7i64).to_le_bytes())
            .bytes(),
    )
    .unwrap();
    assert_eq!(header.text("general.name"), Some("Tiny"));
    assert_eq!(header.get("tokenizer.chat_template"), Some(&Value::LongText(200_000)));
    assert_eq!(header.arch_get("attention.head_count_kv"), Some(&Value::Ints([4, 0, -1].into())));
    assert_eq!(header.get("tokenizer.ggml.token_type"), Some(&Value::List(5000)));
    assert_eq!(header.get("tokenizer.ggml.tokens"), Some(&Value::Texts { count: 3, longest: 3 }));
    assert_eq!(header.get("a.float"), Some(&Value::Float(1.5)));
    assert_eq!(header.get("a.flag"), Some(&Value::Bool(true)));
    assert_eq!(header.get("a.negative"), Some(&Value::Int(-7)));
    assert_eq!(header.uint("a.negative"), None);
    assert_eq!(header.get("absent"), None);
    assert!(header.keys().map(|(key, _)| key).is_sorted());
}

#[test]
fn a_vocabulary_is_walked_across_buffers() {
    let words: Vec<String> = (0..40_000).map(|i| "w".repeat(i % 90)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let header = parse(&Tiny::llama().texts("vocab", &words).u32("zz", 9).bytes()).unwrap();
    assert_eq!(header.get("vocab"), Some(&Value::Texts { count: 40_000, longest: 89 }));
    assert_eq!(header.uint("zz"), Some(9));
}

#[test]
fn tensors_are_weighed_by_place() {
    let header = parse(&Tiny::llama().tensor("rope_freqs.weight", &[4], 0).bytes()).unwrap();
    let weights = header.weights();
    assert_eq!(weights.token_embd, 96);
    assert_eq!(weights.output, 96);
    assert_eq!(weights.other, 16);
    assert_eq!(weights.blocks, [Block { bytes: 256, experts: 0 }, Block { bytes: 256, experts: 256 }]);
    assert_eq!(weights.total, 96 + 96 + 16 + 512);
    assert_eq!((weights.tensors, weights.parameters), (5, 24 + 24 + 4 + 128));
    assert!(!weights.tied);
}

#[test]
fn a_type_from_the_future_weighs_the_gap_to_the_next_tensor() {
    let tiny = Tiny::new().text("general.architecture", "x");
    let header = parse(&tiny.tensor("blk.0.a", &[8], 999).tensor("blk.1.a", &[8], 999).bytes()).unwrap();
    assert_eq!(header.weights().blocks, [Block { bytes: 64, experts: 0 }; 2]);
    assert!(header.weights().tied);
}

#[test]
fn a_file_without_its_end_is_cut() {
    let bytes = Tiny::llama().bytes();
    assert!(parse(&bytes).is_ok());
    let has = bytes.len() as u64 - 1;
    assert_eq!(parse(&bytes[..bytes.len() - 1]), Err(GgufError::TensorsCut { needs: has + 1, has }));
    for len in 4..bytes.len() {
        assert!(parse(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_quantised_row_must_be_whole_blocks() {
    let tiny = Tiny::llama().tensor("blk.0.bad", &[100, 4], 12);
    assert_eq!(parse(&tiny.bytes()), Err(GgufError::TensorShape("blk.0.bad".into())));
    let huge = Tiny::llama().tensor("blk.0.huge", &[u64::MAX, 2], 999);
    assert_eq!(parse(&huge.bytes()), Err(GgufError::TensorShape("blk.0.huge".into())));
}

#[test]
fn wrong_numbers_are_refused() {
    let twice = Tiny::llama().u32("k", 1).u32("k", 2);
    assert_eq!(parse(&twice.bytes()), Err(GgufError::DuplicateKey("k".into())));
    assert_eq!(parse(&Tiny::llama().u32("general.alignment", 24).bytes()), Err(GgufError::Alignment));
    let unknown = Tiny::new().raw("k", 77, &[]).bytes();
    assert!(matches!(parse(&unknown), Err(GgufError::ValueType { kind: 77, .. })));
    let nested = Tiny::new().raw("k", 9, &9u32.to_le_bytes()).bytes();
    assert!(matches!(parse(&nested), Err(GgufError::ValueType { kind: 9, .. })));
    let mut tensors = Tiny::new().bytes();
    tensors[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(parse(&tensors), Err(GgufError::LimitReached { what: "tensors", .. })));
    let mut keys = Tiny::new().bytes();
    keys[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(parse(&keys), Err(GgufError::LimitReached { what: "keys", .. })));
}

#[test]
fn a_length_is_checked_against_the_file_before_memory_is_taken() {
    for kind in [8u32, 9] {
        let mut value = if kind == 9 { 8u32.to_le_bytes().to_vec() } else { Vec::new() };
        value.extend((u64::MAX / 2).to_le_bytes());
        let bytes = Tiny::new().raw("k", kind, &value).bytes();
        assert!(matches!(parse(&bytes), Err(GgufError::Cut { .. })));
    }
}

/// A sparse file costs its author nothing, so the length of the file alone must not be trusted either.
#[test]
fn a_terabyte_of_zeros_does_not_keep_us_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.gguf");
    let mut value = 8u32.to_le_bytes().to_vec();
    value.extend((1u64 << 36).to_le_bytes());
    let vocabulary = Tiny::new().raw("k", 9, &value);
    let mut many_keys = Tiny::new().bytes();
    many_keys[16..24].copy_from_slice(&60_000u64.to_le_bytes());
    for bytes in [vocabulary.bytes(), many_keys] {
        std::fs::write(&path, bytes).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(Gguf::read(&path).is_err());
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let mut tiny = Tiny::new();
    for i in 0..3_000 {
        tiny = tiny.text(&format!("key.{i}"), &"v".repeat(500));
    }
    assert!(matches!(parse(&tiny.bytes()), Err(GgufError::LimitReached { what: "bytes of keys", .. })));
}

#[test]
fn a_missing_file_and_a_folder_are_errors() {
    assert!(matches!(Gguf::read(Path::new("/nonexistent/x.gguf")), Err(GgufError::Io { .. })));
    assert!(Gguf::read(Path::new("/")).is_err());
}

/// Bytes that the header holds in memory.
fn kept(header: &Gguf) -> usize {
    let keys: usize = header.keys().map(|(key, value)| key.len() + value.heap() + 48).sum();
    keys + header.weights().blocks.len() * size_of::<Block>()
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = Tiny::llama().i32s("llama.attention.head_count_kv", &[1, 2]).split(0, 1).bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(header) = parse(&bytes) {
            prop_assert!(kept(&header) <= 2 * MAX_KEPT);
            prop_assert!(header.weights().total <= bytes.len() as u64 * header.weights().tensors);
        }
    }

    #[test]
    fn changed_lengths_never_panic(at in any::<prop::sample::Index>(), lie in any::<u64>(), shift in 0u32..64, file_len in any::<u64>()) {
        let mut bytes = Tiny::llama().bytes();
        let at = at.index(bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&(lie >> shift).to_le_bytes());
        // The caller's idea of the length may be wrong too: a file can change while it is read.
        let _ = Gguf::parse(Cursor::new(&bytes), file_len);
        let _ = parse(&bytes);
    }

    #[test]
    fn noise_after_the_magic_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&[b"GGUF\x03\0\0\0".as_slice(), &noise].concat());
    }
}

#[test]
fn a_tensor_out_of_its_place_is_reported_as_by_the_engine() {
    let whole = Tiny::llama().bytes();
    let read = |bytes: &[u8]| Gguf::parse(Cursor::new(bytes), bytes.len() as u64);
    assert_eq!(read(&whole).unwrap().weights().trailing, 0);
    // The offset of the last tensor is the last number of its header: `output.weight`, two dimensions, a type.
    let name = whole.windows(13).position(|part| part == b"output.weight").unwrap();
    let at = name + 13 + 4 + 16 + 4;
    for shift in [32, -32_i64] {
        let mut moved = whole.clone();
        let offset = u64::from_le_bytes(moved[at..at + 8].try_into().unwrap());
        moved[at..at + 8].copy_from_slice(&offset.wrapping_add_signed(shift).to_le_bytes());
        moved.extend([0; 64]);
        let expected = GgufError::TensorPlace {
            name: "output.weight".into(),
            offset: offset.wrapping_add_signed(shift),
            expected: offset,
        };
        assert_eq!(read(&moved).unwrap_err(), expected);
    }
    let mut longer = whole;
    longer.extend([0; 100]);
    assert_eq!(read(&longer).unwrap().weights().trailing, 100);
}

#[test]
fn a_tensor_that_is_there_twice_is_refused() {
    let twice = Tiny::llama().tensor("output.weight", &[8, 3], 0).bytes();
    let error = Gguf::parse(Cursor::new(&twice), twice.len() as u64).unwrap_err();
    assert_eq!(error, GgufError::TensorTwice("output.weight".into()));
}

#[test]
fn the_longest_token_is_known_where_no_token_stands_for_more_than_itself() {
    let longest = |tokenizer: Option<&str>, words: &[&str]| {
        let file = Tiny::new().text("general.architecture", "llama").texts("tokenizer.ggml.tokens", words);
        let file = tokenizer.into_iter().fold(file, |file, name| file.text("tokenizer.ggml.model", name));
        parse(&file.bytes()).unwrap().longest_token()
    };
    assert_eq!(longest(Some("gpt2"), &["a", "abcdef", "ab"]), Some(6));
    assert_eq!(longest(Some("llama"), &["\u{2581}a"]), Some(4));
    assert_eq!(longest(Some("rwkv"), &["a", "\\x00\\x01"]), Some(8));
    for boundless in ["bert", "t5", "plamo2", "none"] {
        assert_eq!(longest(Some(boundless), &["a"]), None, "{boundless} makes one token of what it does not know");
    }
    assert_eq!(longest(None, &["a"]), None);
    assert_eq!(longest(Some("gpt2"), &[]), None);
}
