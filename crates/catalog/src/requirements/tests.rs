//! Needs against what the engine said of models of the same header, and against formulas written by hand.

use proptest::prelude::*;

use super::*;
use crate::fixture::Tiny;

const MIB: f64 = (1 << 20) as f64;

/// A dense model as the engine was shown it: width, feed-forward, queries, keys, all in numbers.
fn header(arch: &str, layers: u32, (embedding, ff, head, heads, kv_heads): (u32, u32, u32, u32, u32)) -> Tiny {
    let words: Vec<String> = (0..2000).map(|n| format!("w{n}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let tiny = Tiny::new()
        .text("general.architecture", arch)
        .u32(&format!("{arch}.block_count"), layers)
        .u32(&format!("{arch}.embedding_length"), embedding)
        .u32(&format!("{arch}.feed_forward_length"), ff)
        .u32(&format!("{arch}.attention.head_count"), heads)
        .u32(&format!("{arch}.attention.head_count_kv"), kv_heads)
        .u32(&format!("{arch}.attention.key_length"), head)
        .u32(&format!("{arch}.attention.value_length"), head)
        .texts("tokenizer.ggml.tokens", &words);
    (0..layers).fold(tiny, |tiny, layer| tiny.tensor(&format!("blk.{layer}.x"), &[8], 0))
}

fn requirements(tiny: &Tiny, parameters: &RunParameters) -> MemoryRequirements {
    let bytes = tiny.bytes();
    let header = Gguf::parse(std::io::Cursor::new(&bytes), bytes.len() as u64).unwrap();
    MemoryRequirements::of(&header, None, parameters).unwrap()
}

#[test]
fn compute_buffers_are_the_engine_s_own() {
    for (sizes, reported) in [
        ((256, 768, 64, 4, 2), 10.51),
        ((512, 1024, 64, 8, 2), 13.01),
        ((512, 1536, 128, 8, 2), 17.01),
        ((256, 1024, 128, 4, 1), 12.51),
        ((640, 2048, 256, 4, 1), 21.76),
    ] {
        let mib = requirements(&header("llama", 4, sizes), &RunParameters::new(1, 4096)).compute as f64 / MIB;
        assert!((mib - reported).abs() < 0.02, "{sizes:?}: computed {mib:.2}, the engine reported {reported}");
    }
}

#[test]
fn the_only_layer_passes_few_tokens_on() {
    let mib = requirements(&header("llama", 1, (64, 64, 32, 2, 1)), &RunParameters::new(1, 4096)).compute as f64 / MIB;
    assert!((mib - 4.64).abs() < 0.02, "computed {mib:.2}, the engine reported 4.64");
}

#[test]
fn experts_compute_side_by_side_and_are_added_up() {
    for (arch, sizes, used, reported) in [
        ("llama", (256, 512, 64, 4, 2), 2, 12.01),
        ("llama", (256, 512, 64, 4, 2), 4, 18.01),
        ("llama", (512, 256, 64, 4, 2), 4, 13.51),
        ("qwen3moe", (512, 384, 64, 8, 2), 8, 26.01),
    ] {
        let experts = |tiny: Tiny, layer| tiny.tensor(&format!("blk.{layer}.ffn_up_exps.weight"), &[8], 0);
        let tiny = (0..4).fold(header(arch, 4, sizes), experts);
        let tiny = tiny.u32(&format!("{arch}.expert_used_count"), used);
        let tiny = if arch == "llama" { tiny } else { tiny.u32("qwen3moe.expert_feed_forward_length", sizes.1) };
        let mib = requirements(&tiny, &RunParameters::new(1, 4096)).compute as f64 / MIB;
        assert!((mib - reported).abs() < 0.02, "{sizes:?} x {used}: computed {mib:.2}, the engine reported {reported}");
    }
}

#[test]
fn a_recurrent_model_computes_in_the_width_of_its_inside() {
    for (embedding, inner, state, slots, reported) in
        [(256, 512, 16, 1, 6.54), (256, 512, 16, 2, 6.59), (256, 512, 64, 2, 6.78), (512, 1024, 16, 1, 13.09)]
    {
        let tiny = Tiny::new().text("general.architecture", "mamba").u32("mamba.block_count", 4);
        let tiny = tiny.u32("mamba.embedding_length", embedding).u32("mamba.ssm.inner_size", inner);
        let tiny = tiny.u32("mamba.ssm.state_size", state).u32("mamba.ssm.conv_kernel", 4);
        let tiny = (0..4).fold(tiny, |tiny, layer| tiny.tensor(&format!("blk.{layer}.x"), &[8], 0));
        let mib = requirements(&tiny, &RunParameters::new(slots, 4096)).compute as f64 / MIB;
        assert!((mib / reported - 1.0).abs() < 0.05, "{inner}: computed {mib:.2}, the engine reported {reported}");
    }
}

#[test]
fn a_cache_is_cells_times_slots_times_heads() {
    let tiny = header("llama", 3, (256, 768, 64, 4, 2));
    let f16 = requirements(&tiny, &RunParameters::new(4, 4096));
    assert_eq!(f16.cache(), 3 * 4096 * 4 * 2 * (64 + 64) * 2);
    let q8 =
        requirements(&tiny, &RunParameters { keys: KvType::Q8_0, values: KvType::Q4_0, ..RunParameters::new(4, 4096) });
    assert_eq!(q8.cache(), 3 * 4096 * 4 * 2 * (64 * 34 + 64 * 18) / 32);
    assert_eq!(
        requirements(&tiny, &RunParameters::new(3, 1000)).cache(),
        3 * 1024 * 3 * 2 * 128 * 2,
        "rounded up to 256 cells"
    );
    assert_eq!(f16.logits, 2000 * 4 * 4);
}

#[test]
fn windows_hold_a_window_and_a_batch() {
    let tiny = header("gemma3", 12, (640, 2048, 256, 4, 1)).u32("gemma3.attention.sliding_window", 512);
    let requirements = requirements(&tiny, &RunParameters::new(2, 2048));
    let caches: Vec<u64> = requirements.layers.iter().map(|layer| layer.cache).collect();
    let (window, context) = (1024 * 2 * 256 * 2 * 2, 2048 * 2 * 256 * 2 * 2);
    let six = [window, window, window, window, window, context];
    assert_eq!(caches, [six, six].concat());
    let unknown = header("newarch", 2, (640, 2048, 256, 4, 1)).u32("newarch.attention.sliding_window", 512);
    assert_eq!(
        super::tests::requirements(&unknown, &RunParameters::new(2, 2048)).layers[0].cache,
        context,
        "the larger need"
    );
    let listed = unknown.i32s("newarch.attention.sliding_window_pattern", &[0, 1]);
    let listed = super::tests::requirements(&listed, &RunParameters::new(2, 2048));
    assert_eq!((listed.layers[0].cache, listed.layers[1].cache), (context, window));
}

#[test]
fn recurrent_layers_keep_a_state_whatever_the_context() {
    let state = |tiny: Tiny, arch: &str| {
        tiny.u32(&format!("{arch}.ssm.inner_size"), 4096)
            .u32(&format!("{arch}.ssm.state_size"), 128)
            .u32(&format!("{arch}.ssm.group_count"), 16)
            .u32(&format!("{arch}.ssm.conv_kernel"), 4)
    };
    let expected = 2 * 4 * (3 * (4096 + 2 * 16 * 128) + 128 * 4096);
    let hybrid = state(header("qwen3next", 8, (256, 768, 64, 4, 2)), "qwen3next");
    let hybrid = requirements(&hybrid.u32("qwen3next.full_attention_interval", 4), &RunParameters::new(2, 4096));
    let attends = 4096 * 2 * 2 * 128 * 2;
    let four = [expected, expected, expected, attends];
    assert_eq!(hybrid.layers.iter().map(|layer| layer.cache).collect::<Vec<_>>(), [four, four].concat());
    let mamba = Tiny::new().text("general.architecture", "mamba").u32("mamba.block_count", 1);
    let mamba = state(mamba.u32("mamba.embedding_length", 64).tensor("blk.0.x", &[8], 0), "mamba");
    assert_eq!(requirements(&mamba, &RunParameters::new(2, 100_000)).cache(), expected);
}

#[test]
fn layers_without_keys_of_their_own_and_latent_ones_keep_less() {
    let shared = header("gemma3n", 6, (256, 768, 64, 4, 2)).u32("gemma3n.attention.shared_kv_layers", 2);
    let shared = requirements(&shared, &RunParameters::new(1, 4096));
    assert_eq!((shared.layers[3].cache > 0, shared.layers[4].cache, shared.layers[5].cache), (true, 0, 0));
    let latent = header("deepseek2", 1, (256, 768, 576, 4, 1)).u32("deepseek2.attention.key_length_mla", 192);
    assert_eq!(requirements(&latent, &RunParameters::new(1, 4096)).cache(), 4096 * 576 * 2);
    let lists = Tiny::new().text("general.architecture", "x").u32("x.block_count", 2).u32("x.embedding_length", 64);
    let lists = lists.i32s("x.attention.head_count", &[2, 4]).i32s("x.attention.head_count_kv", &[0, 4]);
    let lists = requirements(&lists.tensor("blk.0.x", &[8], 0).tensor("blk.1.x", &[8], 0), &RunParameters::new(1, 256));
    assert_eq!((lists.layers[0].cache, lists.layers[1].cache), (0, 256 * 4 * 16 * 2 * 2));
}

#[test]
fn what_a_header_leaves_out_is_unknown_and_not_small() {
    let bytes = Tiny::llama().bytes();
    let header = Gguf::parse(std::io::Cursor::new(&bytes), bytes.len() as u64).unwrap();
    let error = MemoryRequirements::of(&header, None, &RunParameters::new(1, 4096)).unwrap_err();
    assert_eq!(error.to_string(), "cannot tell how much memory llama needs: its header says nothing of its heads");
}

#[test]
fn parts_lie_where_the_engine_puts_them() {
    let tiny = Tiny::llama().u32("llama.attention.head_count", 2).tensor("rope_freqs.weight", &[4], 0);
    let requirements = requirements(&tiny, &RunParameters::new(1, 256));
    let (cache, own) = (256 * 8 * 2 * 2, requirements.process + requirements.slots);
    assert_eq!((requirements.output, requirements.embedding, requirements.weights), (96, 96 + 16, 720));
    assert_eq!(requirements.of_layers(0..1), 256 + cache);
    assert_eq!(requirements.of_layers(1..3), 256 + cache + 96);
    assert_eq!(requirements.on_one_device(), 512 + 2 * cache + 96 + requirements.compute);
    assert_eq!(requirements.on_host(0), 720 + 2 * cache + requirements.compute + requirements.logits + own);
    assert_eq!(requirements.on_host(2), 112 + 256 + cache + requirements.compute + requirements.logits + own);
    assert_eq!(requirements.on_host(3), 112 + requirements.inputs + requirements.logits + own);
    let tied = super::tests::requirements(
        &header("llama", 1, (64, 64, 32, 2, 1)).tensor("token_embd.weight", &[8], 0),
        &RunParameters::new(1, 256),
    );
    assert_eq!((tied.output, tied.embedding), (32, 32), "one copy for each side");
}

#[test]
fn a_process_has_a_vocabulary_and_slots_have_copies_of_windows() {
    let tiny = header("gemma3", 6, (640, 2048, 256, 4, 1)).u32("gemma3.attention.sliding_window", 512);
    let two = requirements(&tiny, &RunParameters::new(2, 2048));
    assert_eq!(two.process, (28_900 << 10) + 2000 * 170);
    assert_eq!(two.slots, 2 * ((100 << 10) + 2048 * 130 + 4 * 5 * 512 * 256 * 2 * 2));
    assert_eq!(two.at_work(), two.compute + two.slots);
    let merged = requirements(&tiny.texts("tokenizer.ggml.merges", &["a b", "b c"]), &RunParameters::new(2, 2048));
    assert_eq!(merged.process, two.process + 2 * 107);
    let plain = requirements(&header("llama", 6, (640, 2048, 256, 4, 1)), &RunParameters::new(3, 2048));
    assert_eq!(plain.slots, 3 * ((100 << 10) + 2048 * 130));
}

#[test]
fn a_longer_context_has_room_for_more_copies_up_to_the_engine_s_limit() {
    let tiny = header("gemma3", 6, (640, 2048, 256, 4, 1)).u32("gemma3.attention.sliding_window", 512);
    let copies = |ctx, checkpoints| {
        let slots = requirements(&tiny, &RunParameters { checkpoints, ..RunParameters::new(1, ctx) }).slots;
        (slots - (100 << 10) - u64::from(ctx) * 130) / (5 * 512 * 256 * 2 * 2)
    };
    let by_ctx = [1024, 8193, 8194, 32_768, 131_072].map(|ctx| copies(ctx, 32));
    assert_eq!(by_ctx, [4, 4, 5, 7, 19]);
    assert_eq!([0, 1, 8].map(|reported| copies(131_072, reported)), [0, 1, 8]);
}

proptest! {
    #[test]
    fn a_wrong_header_gives_a_number_or_an_error(
        arch in prop_oneof![Just("llama"), Just("gemma3"), Just("qwen3next"), Just("deepseek2")],
        lies in prop::collection::vec((0usize..KEYS.len(), any::<u32>(), 0u32..32), 0..12),
        slots in any::<u32>(),
        ctx in any::<u32>(),
        embedding in any::<bool>(),
        flash in any::<bool>(),
        checkpoints in any::<u32>(),
    ) {
        let mut tiny = Tiny::new().text("general.architecture", arch);
        let mut reported = std::collections::BTreeSet::new();
        let base = [("block_count", 3), ("embedding_length", 64), ("attention.head_count", 2)];
        let lies = lies.into_iter().map(|(key, lie, shift)| (KEYS[key], lie >> shift));
        for (key, number) in lies.chain(base).filter(|(key, _)| reported.insert(*key)) {
            tiny = tiny.u32(&format!("{arch}.{key}"), number);
        }
        let tiny = (0..3).fold(tiny, |tiny, layer| tiny.tensor(&format!("blk.{layer}.x"), &[8], 0));
        let bytes = tiny.bytes();
        let header = Gguf::parse(std::io::Cursor::new(&bytes), bytes.len() as u64).unwrap();
        let parameters = if embedding { RunParameters::embedding(slots, ctx) } else { RunParameters::new(slots, ctx) };
        if let Ok(requirements) = MemoryRequirements::of(&header, Some(&header), &RunParameters { flash, checkpoints, ..parameters }) {
            for offloaded in 0..=requirements.offloadable() {
                prop_assert!(requirements.on_host(offloaded) > 0 || offloaded > 0);
            }
            prop_assert!(requirements.on_one_device() >= requirements.cache());
        }
    }
}

/// Everything in a header that decides about memory.
const KEYS: [&str; 24] = [
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.key_length_mla",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.shared_kv_layers",
    "full_attention_interval",
    "expert_used_count",
    "expert_feed_forward_length",
    "expert_shared_count",
    "leading_dense_block_count",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.group_count",
    "ssm.conv_kernel",
    "wkv.head_size",
    "token_shift_count",
    "shortconv.l_cache",
];
