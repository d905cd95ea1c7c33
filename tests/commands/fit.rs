//! `fit` on cards, split over several, and without cards.

use auxot_tests::blueprint::{Blueprint, Quant};

use crate::TestHost;

const RTX_4090: (u64, u64, &str) = (24_564, 480, "NVIDIA RTX 4090");

#[test]
fn fit_on_two_cards_prints_a_table_two_bars_and_a_result() {
    let host = TestHost::with_cards(&[RTX_4090, RTX_4090]);
    Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    let text = host.text(&["fit", "llama-3.3-70b", "--slots", "1"], 0);
    // The size of the host's memory differs from machine to machine.
    let text: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("host memory")).collect();
    let expected = "\
llama-3.3-70b-q4_k_m
1 slot of 8,192 tokens

  weights         39.6 GiB   80 layers
  cache            2.5 GiB   320 KiB per token
  compute          240 MiB   for a batch, on each device
  logits           501 KiB   in host memory
  process         50.1 MiB   in host memory
  ────────────────────────
  on devices      43.2 GiB   with 1.0 GiB of the driver
  in host memory   638 MiB
";
    assert_eq!(text[..12].join("\n"), expected);
    for (line, start) in [(text[12], "  0  NVIDIA RTX 4090  ░█"), (text[13], "  1  NVIDIA RTX 4090  ░█")] {
        assert!(
            line.starts_with(start)
                && line.contains("███▓▓")
                && line.contains("▓▒")
                && line.ends_with(" of 23.5 GiB free"),
            "{line}"
        );
    }
    assert_eq!(text[16], "fits: on devices 0 and 1, 41 + 40 layers");
    assert_eq!(text[17], "longest context, 1 slot   16,640 tokens");
    assert_eq!(text[18], "most slots, 8,192 tokens  2 slots");
}

#[test]
fn the_json_has_the_same_numbers() {
    let host = TestHost::with_cards(&[RTX_4090, RTX_4090]);
    Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    let json = host.json(&["fit", "llama-3.3-70b", "--slots", "1", "--ctx", "4096", "--json"], 0);
    assert_eq!(json["placement"]["split"], "layers");
    assert_eq!(json["placement"]["offloaded"], 81);
    let (first, second) = (&json["devices"][0], &json["devices"][1]);
    assert_eq!((&first["layers"][1], &first["id"]), (&second["layers"][0], &"GPU-fake-0000".into()));
    for device in [first, second] {
        assert!(device["takes"].as_u64() < device["free"].as_u64());
    }
    let arguments: Vec<&str> =
        json["placement"]["arguments"].as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
    assert_eq!(arguments[..5], ["--n-gpu-layers", "81", "--split-mode", "layer", "--tensor-split"]);
    let tensor = host.json(&["fit", "llama-3.3-70b", "--slots", "1", "--kv-type", "q8_0", "--json"], 0);
    assert_eq!((&tensor["kv_type"], &tensor["ctx"]), (&"q8_0".into(), &8192.into()));
    assert!(json["largest"]["ctx"].as_u64() >= Some(8192) && json["largest"]["slots"].as_u64() >= Some(2));
}

#[test]
fn a_models_own_settings_apply_and_the_command_line_wins() {
    let host = TestHost::with_cards(&[RTX_4090, RTX_4090]);
    Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    let folder = host.scratch.join(".config/auxot");
    std::fs::create_dir_all(&folder).unwrap();
    let own = "[fleet.models.'llama-3.3-70b']\nslots = 2\nctx_size = 1024\nkv_type = 'q4_0'\ndevices = [1]\n";
    std::fs::write(folder.join("auxot-worker.toml"), own).unwrap();
    let json = host.json(&["fit", "llama-3.3-70b", "--slots", "3", "--json"], 1);
    let [slots, ctx, kind] = ["slots", "ctx", "kv_type"].map(|key| json[key].clone());
    assert_eq!((slots, ctx, kind), (3.into(), 1024.into(), "q4_0".into()));
    assert!(json["refusal"].as_str().unwrap().ends_with("on 1 device"), "{}", json["refusal"]);
    assert_eq!(json["unknown_devices"], serde_json::json!([]));
}

#[test]
fn unknown_devices_in_a_models_table_are_named() {
    let host = TestHost::with_cards(&[RTX_4090, RTX_4090]);
    Blueprint::small("tiny").write(&host.scratch.models());
    let folder = host.scratch.join(".config/auxot");
    std::fs::create_dir_all(&folder).unwrap();
    let own = "[fleet.models.tiny]\ndevices = [1, 7, 'GPU-nowhere', 'host']\n";
    std::fs::write(folder.join("auxot-worker.toml"), own).unwrap();
    let text = host.text(&["fit", "tiny", "--slots", "1"], 0);
    let warning =
        "lie on device 7, GPU-nowhere, which is not here; there is 0 (GPU-fake-0000), 1 (GPU-fake-0100), host\n";
    assert!(text.contains("fits: all of it on device 1\n") && text.contains(warning), "{text}");
    let json = host.json(&["fit", "tiny", "--slots", "1", "--json"], 0);
    assert_eq!((&json["fits"], &json["unknown_devices"]), (&true.into(), &serde_json::json!(["7", "GPU-nowhere"])));
    assert_eq!(json["strays"], json["unknown_devices"], "the old name of the key");
}

#[test]
fn a_model_that_does_not_fit_has_its_numbers_and_exit_code_1() {
    let host = TestHost::with_cards(&[RTX_4090, (8192, 7000, "NVIDIA RTX 3070")]);
    Blueprint::llama_70b(Quant::Q8_0).write(&host.scratch.models());
    let text = host.text(&["fit", "llama-3.3-70b"], 1);
    assert!(text.contains("\ndoes not fit: needs 79.5 GiB, free 23.7 GiB on 2 devices\n"), "{text}");
    let one = host.text(&["--gpu-devices", "0", "fit", "llama-3.3-70b"], 1);
    assert!(one.contains("free 23.0 GiB on 1 device\n") && !one.contains("RTX 3070"), "{one}");
    let json = host.json(&["fit", "llama-3.3-70b", "--json"], 1);
    assert_eq!((&json["fits"], &json["placement"]), (&false.into(), &serde_json::Value::Null));
}

#[test]
fn unreadable_memory_is_reported_as_unknown() {
    let host = TestHost::with_cards(&[RTX_4090]);
    host.cards.as_ref().unwrap().set(&format!("gpu {} 0 NVIDIA RTX 4090\nmute 0\n", 24_u64 << 30));
    Blueprint::qwen_14b(Quant::Q8_0).write(&host.scratch.models());
    let text = host.text(&["fit", "qwen2.5-14b"], 1);
    assert!(text.contains("  unknown ") && text.contains("its memory cannot be read"), "{text}");
    assert!(text.contains("does not fit: the memory of GPU-fake-0000 cannot be read"), "{text}");
}

#[test]
fn without_cards_a_model_goes_to_host_memory() {
    let host = TestHost::new();
    Blueprint::small("tiny").write(&host.scratch.models());
    let json = host.json(&["fit", "tiny", "--slots", "2", "--ctx", "512", "--json"], 0);
    assert_eq!((&json["placement"]["split"], &json["devices"]), (&"engine".into(), &serde_json::json!([])));
    let output = host.run(&["fit", "nope"]);
    assert_eq!(output.status.code(), Some(66));
}

#[test]
fn an_amd_card_is_read_from_sysfs() {
    let host = TestHost::new();
    let card = host.scratch.join("sys/class/drm/card0/device");
    std::fs::create_dir_all(&card).unwrap();
    for (file, text) in [
        ("vendor", "0x1002\n".to_owned()),
        ("uevent", "PCI_SLOT_NAME=0000:03:00.0\n".to_owned()),
        ("product_name", "Radeon RX 7900 XTX\n".to_owned()),
        ("mem_info_vram_total", (24_u64 << 30).to_string()),
        ("mem_info_vram_used", (1_u64 << 30).to_string()),
    ] {
        std::fs::write(card.join(file), text).unwrap();
    }
    Blueprint::qwen_14b(Quant::Q8_0).write(&host.scratch.models());
    std::fs::create_dir_all(host.scratch.join(".config/auxot")).unwrap();
    let setting = format!("[gpu]\nsysfs_root = \"{}\"\n", host.scratch.join("sys").display());
    std::fs::write(host.scratch.join(".config/auxot/auxot-worker.toml"), setting).unwrap();
    let text = host.text(&["fit", "qwen2.5-14b", "--slots", "1"], 0);
    assert!(text.contains("  0  Radeon RX 7900 XTX  ░") && text.contains("fits: all of it on device 0\n"), "{text}");
}

#[test]
fn settings_without_effect_on_this_host_cause_warnings() {
    let host = TestHost::with_cards(&[(24_564, 400, "NVIDIA RTX 4090")]);
    Blueprint::llama_70b(Quant::Q4KM).write(&host.scratch.models());
    let file = host.scratch.join("auxot.toml");
    let aliases = "[catalog]\naliases = [\"gpt-4o=phi\", \"big=llama-3.3-70b\"]\n";
    let settings = "[gpu]\ndevices = [\"0\", \"7\"]\n[fleet.models.mistral]\npin = true\n";
    std::fs::write(&file, format!("{aliases}{settings}")).unwrap();
    let file = file.to_str().unwrap();
    let fit = host.run(&["--config", file, "fit", "llama-3.3-70b"]);
    let models = host.run(&["--config", file, "models"]);
    let mut print = host.command(&["--config", file, "--print-config"]);
    print.env("AUXOT_ROUTER_URL", "http://127.0.0.1:1");
    let print = print.env("AUXOT_GPU_KEY", "sk-test").output().unwrap();
    for text in [&fit.stderr, &print.stdout] {
        let text = String::from_utf8_lossy(text);
        assert!(text.contains("`gpu.devices` names 7, which is not here; there is 0 ("), "{text}");
    }
    for text in [&fit.stderr, &print.stdout, &models.stderr] {
        let text = String::from_utf8_lossy(text);
        assert!(text.contains("`[fleet.models.mistral]` changes nothing: cannot find model mistral"), "{text}");
        assert!(
            text.contains("`gpt-4o` of `catalog.aliases` means no model: cannot find model phi: there is"),
            "{text}"
        );
        assert!(!text.contains("`big`"), "{text}");
    }
}

#[test]
fn settings_under_old_names_are_used_with_one_warning_each() {
    let host = TestHost::new();
    let file = host.scratch.join("auxot.toml");
    std::fs::write(&file, "[fleet]\nresidency = '7s'\n").unwrap();
    let with_file = |arguments: &[&str]| {
        let mut command = host.command(&["--config", file.to_str().unwrap()]);
        command.args(arguments).env("AUXOT_FLEET__PATIENCE", "9s");
        command.env("AUXOT_ROUTER_URL", "http://127.0.0.1:1").env("AUXOT_GPU_KEY", "sk-test").output().unwrap()
    };
    let models = with_file(&["models", "--metrics-names", "gpu-box"]);
    let print = with_file(&["--metrics-names", "gpu-box", "--print-config"]);
    for text in [&models.stderr, &print.stdout] {
        let text = String::from_utf8_lossy(text);
        for (old, new) in [
            (":2:1: `fleet.residency`", "`fleet.min_loaded_time` or AUXOT_FLEET__MIN_LOADED_TIME"),
            ("AUXOT_FLEET__PATIENCE: `fleet.patience`", "`fleet.preempt_after` or AUXOT_FLEET__PREEMPT_AFTER"),
            (
                "flag --metrics-names: `metrics.names`",
                "`metrics.allowed_hosts`, AUXOT_METRICS_ALLOWED_HOSTS or --metrics-allowed-hosts",
            ),
        ] {
            let warning = format!("{old}: renamed to {new}; the next release refuses the old name\n");
            assert_eq!(format!("{text}\n").matches(&warning).count(), 1, "{warning} in {text}");
        }
    }
    let printed = String::from_utf8_lossy(&print.stdout);
    for line in ["min_loaded_time = \"7s\"", "preempt_after = \"9s\"", "allowed_hosts = [\"gpu-box\"]"] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    let refused = with_file(&["--metrics-names", "a", "--metrics-allowed-hosts", "b"]);
    let text = String::from_utf8_lossy(&refused.stderr);
    let fault = "`metrics.names`: is the old name of `metrics.allowed_hosts`, which is set too \
                 (flag --metrics-allowed-hosts); keep the new name only";
    assert!(refused.status.code() == Some(64) && text.contains(fault), "{text}");
}
