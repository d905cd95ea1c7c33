//! The parts of a model on the devices that an engine sees, by its command line.
//!
//! Simpler than the engine: a model is on devices completely or not at all, never some of its layers; by default it is
//! spread evenly, independent of free memory.

use std::collections::BTreeMap;

/// The device arguments of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Offload {
    /// Nothing goes there.
    None,
    /// All on one: `--split-mode none`, `--main-gpu N`.
    One(usize),
    /// On all, in these proportions, evenly where there are none.
    Spread(Vec<f64>),
}

impl Offload {
    /// Reads the flags; the error is the engine's line.
    pub(crate) fn read(given: &BTreeMap<&str, &str>) -> Result<Offload, String> {
        // Flags go by the first long name that the help has for them.
        if given.get("--device") == Some(&"none") || given.get("--gpu-layers") == Some(&"0") {
            return Ok(Offload::None);
        }
        if given.get("--split-mode") == Some(&"none") {
            let main = given.get("--main-gpu").map_or(Ok(0), |text| text.parse());
            return main.map(Offload::One).map_err(|_| fault("--main-gpu"));
        }
        let parts = given.get("--tensor-split").map(|text| text.split([',', '/']).map(str::parse).collect());
        parts.unwrap_or(Ok(Vec::new())).map(Offload::Spread).map_err(|_| fault("--tensor-split"))
    }

    /// The part of the model that each of `count` devices gets; the error is the engine's line.
    pub(crate) fn parts(&self, count: usize) -> Result<Vec<f64>, String> {
        match self {
            Offload::None => Ok(vec![0.0; count]),
            // Without any device the engine falls back to the processor and uses none.
            _ if count == 0 => Ok(Vec::new()),
            Offload::One(main) if *main >= count => {
                Err(format!("llama_model_load: invalid value for main_gpu: {main} (available devices: {count})"))
            }
            Offload::One(main) => Ok((0..count).map(|at| if at == *main { 1.0 } else { 0.0 }).collect()),
            Offload::Spread(parts) => {
                let part = |at: usize| parts.get(at).copied().unwrap_or(0.0);
                let sum: f64 = (0..count).map(part).sum();
                let even = 1.0 / count as f64;
                Ok((0..count).map(|at| if sum > 0.0 { part(at) / sum } else { even }).collect())
            }
        }
    }
}

fn fault(flag: &str) -> String {
    format!("error while handling argument \"{flag}\": stof")
}
