//! The exact command lines, and what no engine may see.

use super::*;

/// A build that lists all flags that b10434 lists.
fn new_build() -> Flags {
    Flags::parse(
        "--model FNAME\n--no-kv-unified\n--threads-http N\n--cache-ram N\n\
         -ctxcp, --ctx-checkpoints, --swa-checkpoints N\n-cms, --checkpoint-min-step N\n--sse-ping-interval N\n--ui, --webui, --no-ui, --no-webui\n\
         --jinja, --no-jinja\n--reasoning-format FORMAT  one of none, deepseek\n--metrics\n--slots, --no-slots\n--log-colors [on|off|auto]\n\
         --fit [on|off]\n--offline\n--embedding, --embeddings\n--pooling {none,mean,cls,last,rank}\n--rerank, --reranking\n--device <dev1,dev2,..>\n--sleep-idle-seconds N\n--log-verbosity N  Values: - 3: info\n\
         -ngl, --gpu-layers, --n-gpu-layers N\n-sm, --split-mode MODE\n-mg, --main-gpu INDEX\n-ts, --tensor-split N0,N1\n",
    )
}

fn spec() -> Spec {
    Spec {
        model: "tiny-q8_0".into(),
        file: "/models/tiny.gguf".into(),
        files: Vec::new(),
        mmproj: None,
        task: Task::Chat,
        slots: 2,
        ctx_per_slot: 8192,
        checkpoint_step: 8192,
        layout: vec![],
        kv_type: None,
        extra_args: vec![],
        env: vec![],
    }
}

fn unix() -> Listen {
    Listen::Unix("/run/w/1-1.sock".into())
}

fn line(spec: &Spec, config: &Config, flags: &Flags, listen: &Listen) -> String {
    let args = arguments(spec, config, flags, None, listen);
    args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn golden_a_chat_model() {
    assert_eq!(
        line(&spec(), &Config::default(), &new_build(), &unix()),
        "--model /models/tiny.gguf --alias tiny-q8_0 --host /run/w/1-1.sock --ctx-size 16384 --parallel 2 \
         --no-kv-unified --threads-http 18 --cache-ram 1024 --ctx-checkpoints 8 --checkpoint-min-step 8192 --fit off --jinja --reasoning-format deepseek \
         --sse-ping-interval 10 --sleep-idle-seconds -1 --metrics --slots --no-ui --offline --log-colors off \
         --log-verbosity 3"
    );
}

#[test]
fn golden_everything_set() {
    let config = Config {
        gpu_layers: GpuLayers::Count(0),
        threads: Some(3),
        extra_args: vec!["--no-warmup".into()],
        ..Config::default()
    };
    let spec = Spec {
        mmproj: Some("/models/proj.gguf".into()),
        kv_type: Some("q8_0".into()),
        extra_args: vec!["--ctx-size".into(), "512".into()],
        ..spec()
    };
    assert_eq!(
        line(&spec, &config, &new_build(), &unix()),
        "--model /models/tiny.gguf --mmproj /models/proj.gguf --alias tiny-q8_0 --host /run/w/1-1.sock \
         --ctx-size 16384 --parallel 2 --no-kv-unified --threads 3 --threads-http 18 --cache-ram 1024 --ctx-checkpoints 8 --checkpoint-min-step 8192 \
         --n-gpu-layers 0 --cache-type-k q8_0 --cache-type-v q8_0 --fit off --jinja --reasoning-format deepseek --sse-ping-interval 10 \
         --sleep-idle-seconds -1 --metrics --slots --no-ui --offline --log-colors off --log-verbosity 3 \
         --no-warmup --ctx-size 512"
    );
}

#[test]
fn golden_an_embedding_model() {
    // Its placement was planned, so the configured layers do not count.
    let layout = ["--n-gpu-layers", "0", "--device", "none"].map(String::from).to_vec();
    let spec = Spec { task: Task::Embedding { pooling: "mean" }, slots: 1, ctx_per_slot: 512, layout, ..spec() };
    let config = Config { gpu_layers: GpuLayers::All, ..Config::default() };
    assert_eq!(
        line(&spec, &config, &new_build(), &unix()),
        "--model /models/tiny.gguf --alias tiny-q8_0 --host /run/w/1-1.sock --ctx-size 512 --parallel 1 \
         --no-kv-unified --embeddings --pooling mean --batch-size 512 --ubatch-size 512 --threads-http 17 --cache-ram 1024 --ctx-checkpoints 8 --checkpoint-min-step 8192 \
         --n-gpu-layers 0 --device none --fit off --sse-ping-interval 10 --sleep-idle-seconds -1 --metrics --slots --no-ui --offline \
         --log-colors off --log-verbosity 3"
    );
}

#[test]
fn an_old_build_gets_only_what_it_knows() {
    let old = Flags::parse("--metrics\n--no-webui\n--jinja\n");
    let listen = Listen::Tcp { port: 4711, key: "secret".into() };
    let config = Config { gpu_layers: GpuLayers::All, ..Config::default() };
    let text = line(&spec(), &config, &old, &listen);
    assert_eq!(
        text,
        "--model /models/tiny.gguf --alias tiny-q8_0 --host 127.0.0.1 --port 4711 --ctx-size 16384 --parallel 2 \
         --n-gpu-layers 9999 --jinja --metrics --no-webui"
    );
}

#[test]
fn builds_of_each_year_get_each_flag_as_they_know_it() {
    // Of August 2024: indented, no devices to choose, no slots to divide. Of August 2025: colours are a switch.
    let of_2024 = "  -m,    --model FNAME            path\n  -ngl,  --gpu-layers, --n-gpu-layers N\n         --metrics                enable\n";
    let of_2025 = "-dev,  --device <dev1,dev2,..>          devices\n-ngl,  --gpu-layers, --n-gpu-layers N  layers\n\
                   --metrics                               enable\n--log-colors                            enable colours\n\
                   -lv,   --verbosity, --log-verbosity N   the threshold\n--reasoning-format FORMAT               one of: none\n";
    let of_2026 = "-dev,  --device <dev1,dev2,..>          devices\n--log-colors [on|off|auto]              colours\n\
                   -lv,   --verbosity, --log-verbosity N   Values:\n                                        - 3: info\n\
                   --reasoning-format FORMAT               one of:\n                                        - deepseek: so\n\
                   --reasoning-preserve, --no-reasoning-preserve\n                                        all of it (default: enabled)\n";
    let spec = Spec { layout: ["--n-gpu-layers", "0", "--device", "none"].map(String::from).into(), ..spec() };
    let said = |help: &str| {
        let text = line(&spec, &Config::default(), &Flags::parse(help), &unix());
        text.split_once("--parallel 2 ").unwrap().1.to_owned()
    };
    assert_eq!(said(of_2024), "--n-gpu-layers 0 --metrics");
    assert_eq!(said(of_2025), "--n-gpu-layers 0 --device none --metrics");
    assert_eq!(
        said(&format!("{of_2026}-ngl,  --gpu-layers, --n-gpu-layers N\n")),
        "--n-gpu-layers 0 --device none --reasoning-format deepseek --no-reasoning-preserve --log-colors off --log-verbosity 3"
    );
    assert!(
        missing_flags(&Flags::parse(of_2025)).contains(&"--log-colors")
            && !missing_flags(&Flags::parse(of_2026)).contains(&"--log-colors")
    );
}

#[test]
fn the_worker_sets_the_threads_where_it_has_fewer_processors_than_the_host() {
    let flags = Flags::parse("-t,    --threads N\n-tb,   --threads-batch N\n");
    let said = |config: &Config, spec: &Spec| {
        let args = arguments(spec, config, &flags, Some(2), &unix());
        let words: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        words.join(" ").split_once("--parallel 2").unwrap().1.trim().to_owned()
    };
    assert_eq!(said(&Config::default(), &spec()), "--threads 2 --threads-batch 2");
    assert_eq!(said(&Config { threads: Some(5), ..Config::default() }, &spec()), "--threads 5");
    let own = Spec { extra_args: vec!["-t".into(), "7".into()], ..spec() };
    assert_eq!(said(&Config::default(), &own), "-t 7");
}

#[test]
fn no_secret_and_no_setting_for_the_engine_leaks() {
    let ours = [
        ("PATH", "/bin"),
        ("AUXOT_GPU_KEY", "secret"),
        ("LLAMA_ARG_CTX_SIZE", "7"),
        ("LLAMA_API_KEY", "other"),
        ("HF_TOKEN", "secret"),
        ("AIP_MODE", "x"),
        ("XDG_CONFIG_HOME", "/home/me/.config"),
        ("CUDA_VISIBLE_DEVICES", "0"),
        ("LD_PRELOAD", "evil.so"),
        ("GGML_BACKEND_DIR", "/lib/ggml"),
    ];
    let scrubbed = scrubbed(ours.into_iter().map(|(name, value)| (name.into(), value.into())));
    let spec = Spec { env: vec![("AUXOT_X".into(), "1".into()), ("MY".into(), "2".into())], ..spec() };
    let env = environment(&spec, &scrubbed, Path::new("/run/w/config"), &unix());
    let text: Vec<String> =
        env.iter().map(|(name, value)| format!("{}={}", name.to_str().unwrap(), value.to_str().unwrap())).collect();
    assert_eq!(
        text,
        [
            "PATH=/bin",
            "CUDA_VISIBLE_DEVICES=0",
            "GGML_BACKEND_DIR=/lib/ggml",
            "MY=2",
            "XDG_CONFIG_HOME=/run/w/config",
            "GGML_NO_BACKTRACE=1",
            "LLAMA_SERVER_ROUTER_PORT=1",
        ]
    );
}

#[test]
fn the_key_of_a_tcp_engine_is_in_its_environment_only() {
    let listen = Listen::Tcp { port: 1, key: "topsecret".into() };
    assert!(!line(&spec(), &Config::default(), &new_build(), &listen).contains("topsecret"));
    let env = environment(&spec(), &[], Path::new("/c"), &listen);
    assert!(env.contains(&("LLAMA_API_KEY".into(), "topsecret".into())));
}

#[test]
fn the_program_for_dry_runs_gets_the_extra_arguments_that_it_knows() {
    let flags =
        Flags::parse("-m,    --model FNAME\n-ngl,  --gpu-layers, --n-gpu-layers N\n-fa,   --flash-attn [on|off]\n");
    let added = |words: &str| words.split(' ').map(String::from).collect::<Vec<_>>();
    let config = Config { extra_args: added("--no-warmup -fa off --alias it"), ..Config::default() };
    let spec = Spec { extra_args: added("-ngl -1 --lora a.gguf b.gguf --flash-attn on"), ..spec() };
    let args = memory_arguments(&spec, &config, &flags);
    let text: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    assert_eq!(
        text.join(" "),
        "--model /models/tiny.gguf --ctx-size 16384 --parallel 2 -fa off -ngl -1 --flash-attn on"
    );
}
