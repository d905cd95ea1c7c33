//! The tables of single models: loaded, printed, and refused with the exact messages.

use std::time::Duration;

use auxot_engine::GpuLayers;

use crate::{Faults, Loaded, Origin, Settings, Sources};

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded<Settings>, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auxot.toml");
    std::fs::write(&path, text).unwrap();
    let mut sources = Sources::new(environment.iter().map(|(name, value)| (name.into(), value.into())));
    sources.config = Some(path);
    Settings::load_for_inspection(&sources).map_err(|mut faults| {
        for fault in &mut faults.0 {
            fault.text = fault.text.replace(folder.path().to_str().unwrap(), "");
            if let Origin::File { path: here, .. } = &mut fault.origin {
                *here = "auxot.toml".into();
            }
        }
        faults
    })
}

#[track_caller]
fn refused(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(text, environment).expect_err("this must have faults").0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_table_is_loaded_and_printed_with_the_source_of_each_value() {
    let text = "[fleet.models.'qwen3-1.7b']\nslots = 2\nttl = 90\nkv_type = 'Q8_0'\nenv = { GGML_X = 'y' }\n";
    let loaded = load(text, &[("AUXOT_FLEET__MODELS__LLAMA_3_2__GPU_LAYERS", "7")]).unwrap();
    let models = &loaded.value.fleet.models;
    assert_eq!(models["qwen3-1.7b"].ttl, Some(Duration::from_secs(90)));
    assert_eq!(models["LLAMA_3_2"].gpu_layers, Some(GpuLayers::Count(7)));
    assert!(matches!(loaded.origin("fleet.models.\"qwen3-1.7b\".slots"), Origin::File { place: Some((2, 1)), .. }));
    let printed = loaded.effective();
    let from = printed.find("[fleet.models.LLAMA_3_2]").unwrap();
    let to = printed.find("[gateway]").unwrap();
    let printed = printed[from..to].replace(&loaded.file.unwrap().display().to_string(), "auxot.toml");
    insta::assert_snapshot!(printed, @r#"
    [fleet.models.LLAMA_3_2]
    args = []  # default
    # ctx_size is not set  # default
    devices = []  # default
    env = {}  # default
    gpu_layers = "7"  # environment variable AUXOT_FLEET__MODELS__LLAMA_3_2__GPU_LAYERS
    # kv_type is not set  # default
    pin = false  # default
    priority = 0  # default
    # slots is not set  # default
    # ttl is not set  # default

    [fleet.models."qwen3-1.7b"]
    args = []  # default
    # ctx_size is not set  # default
    devices = []  # default
    # gpu_layers is not set  # default
    kv_type = "Q8_0"  # auxot.toml:4:1
    pin = false  # default
    priority = 0  # default
    slots = 2  # auxot.toml:2:1
    ttl = "90s"  # auxot.toml:3:1

    [fleet.models."qwen3-1.7b".env]
    GGML_X = "y"  # auxot.toml:5:9
    "#);
}

#[test]
fn the_printed_text_can_be_used_as_a_file() {
    let text = "[fleet.models.'qwen3-1.7b']\ndevices = [0, 'GPU-1']\npin = true\n[fleet.models.b]\n";
    let first = load(text, &[]).unwrap();
    // The default models folder may be missing, but a configured one must exist.
    let folder = tempfile::tempdir().unwrap();
    let printed = first.effective().replace("~/.auxot/models", folder.path().to_str().unwrap());
    let second = load(&printed, &[]).unwrap();
    assert_eq!(first.value.fleet, second.value.fleet);
    assert_eq!(second.value.fleet.models.len(), 2);
}

#[test]
fn every_fault_names_the_table_and_its_place() {
    let text = "\
[fleet.models.'slotz-1.5']
slotz = 3
ctx_size = 0
slots = 'four'
priority = 1.5
ttl = 'soon'
devices = [-1]
kv_type = 'q9'
gpu_layers = 'some'
pin = true
args = '--jinja'
env = { AUXOT_GPU_KEY = 'hunter2', CUDA_VISIBLE_DEVICES = '0', X = 5 }
[fleet.models.a]
slots = 257
pin = true
ttl = '5m'
[fleet.models.A]
[fleet.models.' ']
";
    let printed = refused(text, &[("AUXOT_FLEET__MODELS__B__SLOST", "3"), ("AUXOT_PLACEMENT__HOST_LIMIT", "0B")]);
    assert!(!printed.concat().contains("hunter2"));
    insta::assert_snapshot!(printed.join("\n"), @r#"
    auxot.toml:2:1: `fleet.models."slotz-1.5".slotz`: unknown key; did you mean `slots`?
    auxot.toml:4:1: `fleet.models."slotz-1.5".slots`: expected a whole number from 0 to 4294967295, found "four"
    auxot.toml:5:1: `fleet.models."slotz-1.5".priority`: expected a whole number, found 1.5
    auxot.toml:6:1: `fleet.models."slotz-1.5".ttl`: expected a duration such as "30s", "5m" or "1h30m", or whole seconds, found "soon"
    auxot.toml:7:1: `fleet.models."slotz-1.5".devices.0`: cannot use a negative device index
    auxot.toml:8:1: `fleet.models."slotz-1.5".kv_type`: cannot read "q9" as a type of the cache: there are f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl
    auxot.toml:9:1: `fleet.models."slotz-1.5".gpu_layers`: cannot read "some" as a number of layers: use auto, all or a number
    auxot.toml:11:1: `fleet.models."slotz-1.5".args`: expected a list such as ["a", "b"], found "--jinja"
    auxot.toml:12:64: `fleet.models."slotz-1.5".env.X`: expected text in quotes
    environment variable AUXOT_FLEET__MODELS__B__SLOST: `fleet.models.B.slost`: unknown key; did you mean `slots`?
    auxot.toml:18:15: `fleet.models." "`: the name is empty
    auxot.toml:15:1: `fleet.models.a`: the same model as `fleet.models.A` (/auxot.toml:17:15); keep one of the two
    auxot.toml:14:1: `fleet.models.a.slots`: must be 1 to 256, found 257
    auxot.toml:16:1: `fleet.models.a.ttl`: a pinned model is never unloaded; keep one of `pin` and `ttl`
    auxot.toml:3:1: `fleet.models."slotz-1.5".ctx_size`: must be at least 1; leave it out for what the model was trained for
    auxot.toml:12:9: `fleet.models."slotz-1.5".env.AUXOT_GPU_KEY`: an engine does not use variables of the worker; remove it
    auxot.toml:12:36: `fleet.models."slotz-1.5".env.CUDA_VISIBLE_DEVICES`: the worker sets this variable; name the model's devices in `devices`
    environment variable AUXOT_PLACEMENT__HOST_LIMIT: `placement.host_limit`: must be more than 0; leave it out for no limit
    "#);
}
