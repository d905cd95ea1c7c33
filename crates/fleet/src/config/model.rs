//! The `[fleet.models.NAME]` tables: settings of one model.

use std::collections::BTreeMap;
use std::time::Duration;

use auxot_catalog::KvType;
use auxot_engine::GpuLayers;
use serde::{Deserialize, Serialize};

/// Placement and parameters of one model. What is unset is as for every other model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// The devices that it may use, by index or id as in `gpu.devices`, where an index counts all devices of the host; `host`
    /// is the host's own memory. Empty means every device that the worker may use.
    #[serde(deserialize_with = "auxot_gpu::device_list")]
    pub devices: Vec<String>,
    /// Requests that it answers at the same time; unset means `engine.slots`.
    pub slots: Option<u32>,
    /// Context of one slot in tokens; unset means `engine.ctx_size`.
    pub ctx_size: Option<u32>,
    /// Layers kept on devices; unset means `engine.gpu_layers`.
    pub gpu_layers: Option<GpuLayers>,
    /// How keys and values of the context are stored; unset means the engine's default, f16.
    #[serde(with = "kv_type")]
    pub kv_type: Option<KvType>,
    /// Arguments added to its engine's command line, after `engine.extra_args`.
    pub args: Vec<String>,
    /// Variables added to its engine's environment.
    pub env: BTreeMap<String, String>,
    /// Whether it is never evicted.
    pub pin: bool,
    /// Of models that compete for memory, the one with the higher number is loaded first and evicted last.
    pub priority: i32,
    /// After how long without a job it is unloaded; zero is never. Unset means `fleet.ttl`.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    pub ttl: Option<Duration>,
}

/// A cache type by the engine's name for it.
mod kv_type {
    use super::KvType;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    #[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(kind: &Option<KvType>, serializer: S) -> Result<S::Ok, S::Error> {
        match kind {
            Some(kind) => serializer.collect_str(kind),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KvType>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serialised_table_is_read_back_unchanged() {
        let all = r#"{"devices":"0,GPU-abc","slots":2,"ctx_size":16384,"gpu_layers":"all","kv_type":"q8_0",
            "args":["--flash-attn","on"],"env":{"GGML_X":"1"},"pin":true,"priority":-3,"ttl":"5m"}"#;
        let model: ModelConfig = serde_json::from_str(all).unwrap();
        assert_eq!((model.kv_type, model.ttl), (Some(KvType::Q8_0), Some(Duration::from_secs(300))));
        assert_eq!((model.gpu_layers, model.priority), (Some(GpuLayers::All), -3));
        assert_eq!(model.devices, ["0", "GPU-abc"]);
        for model in [model, ModelConfig::default()] {
            let text = serde_json::to_string(&model).unwrap();
            assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), model);
        }
    }

    #[test]
    fn unknown_keys_and_cache_types_are_refused() {
        let error = |text| serde_json::from_str::<ModelConfig>(text).unwrap_err().to_string();
        assert!(error(r#"{"slot": 3}"#).starts_with("unknown field `slot`"));
        assert!(
            error(r#"{"kv_type": "q9"}"#).starts_with("cannot read \"q9\" as a type of the cache: there are f32, f16")
        );
    }
}
