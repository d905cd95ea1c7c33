//! The quantisations that file names end with.

use std::fmt;

use crate::runs::runs;

/// Every quantisation that llama.cpp writes or that the usual publishers put in file names.
const KNOWN: [&str; 65] = [
    "f32",
    "f16",
    "bf16",
    "fp32",
    "fp16",
    "fp8",
    "q2_k",
    "q2_k_s",
    "q2_k_l",
    "q2_k_xl",
    "q3_k",
    "q3_k_s",
    "q3_k_m",
    "q3_k_l",
    "q3_k_xl",
    "q4_0",
    "q4_1",
    "q4_0_4_4",
    "q4_0_4_8",
    "q4_0_8_8",
    "q4_k",
    "q4_k_s",
    "q4_k_m",
    "q4_k_l",
    "q4_k_xl",
    "q5_0",
    "q5_1",
    "q5_k",
    "q5_k_s",
    "q5_k_m",
    "q5_k_l",
    "q5_k_xl",
    "q6_k",
    "q6_k_s",
    "q6_k_m",
    "q6_k_l",
    "q6_k_xl",
    "q8_0",
    "q8_1",
    "q8_k",
    "q8_k_s",
    "q8_k_m",
    "q8_k_l",
    "q8_k_xl",
    "iq1_s",
    "iq1_m",
    "iq2_xxs",
    "iq2_xs",
    "iq2_s",
    "iq2_m",
    "iq3_xxs",
    "iq3_xs",
    "iq3_s",
    "iq3_m",
    "iq4_xs",
    "iq4_nl",
    "tq1_0",
    "tq2_0",
    "mxfp4",
    "mxfp4_moe",
    "nvfp4",
    "q1_0",
    "q2_0",
    "q8",
    "q4",
];
/// Longest known quantisation in runs of letters and digits (`q4_0_4_4` is five), not counting a prefix.
const MOST_RUNS: usize = 5;

/// A quantisation as a file name spells it: `q4_k_m`, `ud-q8_k_xl`, `i1-iq4_xs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quant {
    /// How the publisher chose the bits: `ud-` (dynamic) or `i1-` (importance matrix).
    prefix: &'static str,
    name: &'static str,
}

impl Quant {
    /// Cuts the longest known quantisation off the end of `text`; returns what is before it.
    #[must_use]
    pub fn split(text: &str) -> (&str, Option<Self>) {
        let runs: Vec<(usize, &str)> = runs(text).collect();
        for count in (1..=MOST_RUNS.min(runs.len())).rev() {
            let tail = &runs[runs.len() - count..];
            let start = tail[0].0;
            // `xq4_0` does not end with a quantisation: something must divide it from the name.
            let divided = !text[..start].ends_with(|c: char| c.is_alphanumeric());
            if let (true, Some(name)) = (divided, find(tail)) {
                let (end, prefix) = find_prefix(&runs[..runs.len() - count]).unwrap_or((start, ""));
                return (text[..end].trim_end_matches(|c: char| !c.is_alphanumeric()), Some(Self { prefix, name }));
            }
        }
        (text, None)
    }

    /// The quantisation of `general.file_type` in a header, for a file whose name has none.
    #[must_use]
    pub fn of_file_type(file_type: u64) -> Option<Self> {
        let name = match file_type {
            0 => "f32",
            1 => "f16",
            2 => "q4_0",
            3 => "q4_1",
            7 => "q8_0",
            8 => "q5_0",
            9 => "q5_1",
            10 => "q2_k",
            11 => "q3_k_s",
            12 => "q3_k_m",
            13 => "q3_k_l",
            14 => "q4_k_s",
            15 => "q4_k_m",
            16 => "q5_k_s",
            17 => "q5_k_m",
            18 => "q6_k",
            19 => "iq2_xxs",
            20 => "iq2_xs",
            21 => "q2_k_s",
            22 => "iq3_xs",
            23 => "iq3_xxs",
            24 => "iq1_s",
            25 => "iq4_nl",
            26 => "iq3_s",
            27 => "iq3_m",
            28 => "iq2_s",
            29 => "iq2_m",
            30 => "iq4_xs",
            31 => "iq1_m",
            32 => "bf16",
            36 => "tq1_0",
            37 => "tq2_0",
            38 => "mxfp4_moe",
            _ => return None,
        };
        Some(Self { prefix: "", name })
    }

    /// Whether one may be used for the other where nothing matches exactly. The router's registry says
    /// `F16` for files that are `BF16`, and `Q8_K` for files that are `UD-Q8_K_XL`.
    #[must_use]
    pub fn is_like(self, other: Self) -> bool {
        self.family() == other.family()
    }

    fn family(self) -> &'static str {
        match self.name {
            "bf16" | "fp16" => "f16",
            "fp32" => "f32",
            "q8_k_xl" => "q8_k",
            "mxfp4_moe" => "mxfp4",
            name => name,
        }
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, self.name)
    }
}

/// The known quantisation whose letters and digits are these, whatever stands between them.
fn find(tail: &[(usize, &str)]) -> Option<&'static str> {
    let written = || tail.iter().flat_map(|(_, run)| run.bytes()).map(|b| b.to_ascii_lowercase());
    KNOWN.into_iter().find(|known| known.bytes().filter(|b| *b != b'_').eq(written()))
}

/// A prefix at the end of what is left, and where it starts.
fn find_prefix(rest: &[(usize, &str)]) -> Option<(usize, &'static str)> {
    match rest {
        [.., (start, ud)] if ud.eq_ignore_ascii_case("ud") => Some((*start, "ud-")),
        [.., (start, i), (_, "1")] if i.eq_ignore_ascii_case("i") => Some((*start, "i1-")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (String, String) {
        let (base, quant) = Quant::split(text);
        (base.to_string(), quant.map(|q| q.to_string()).unwrap_or_default())
    }

    #[test]
    fn the_longest_known_suffix_is_cut_off() {
        for (text, base, quant) in [
            ("llama-3.3-70b-q4_k_m", "llama-3.3-70b", "q4_k_m"),
            ("Qwen2.5-Coder-32B-Instruct-Q6_K", "Qwen2.5-Coder-32B-Instruct", "q6_k"),
            ("Llama-3.3-70B.Q4-K-M", "Llama-3.3-70B", "q4_k_m"),
            ("llama-3.3-70b-q4km", "llama-3.3-70b", "q4_k_m"),
            ("Kimi-K2-Instruct-UD-Q8_K_XL", "Kimi-K2-Instruct", "ud-q8_k_xl"),
            ("Foo.i1-IQ4_XS", "Foo", "i1-iq4_xs"),
            ("gpt-oss-20b-mxfp4_moe", "gpt-oss-20b", "mxfp4_moe"),
            ("Foo-Q4_0_4_4", "Foo", "q4_0_4_4"),
            ("Foo BF16", "Foo", "bf16"),
            ("Q8_0", "", "q8_0"),
            ("gemma-3-270m", "gemma-3-270m", ""),
            ("modelf16", "modelf16", ""),
            ("Modellé-Q8_0", "Modellé", "q8_0"),
            ("", "", ""),
        ] {
            assert_eq!(split(text), (base.to_string(), quant.to_string()), "{text}");
        }
    }

    #[test]
    fn no_known_quantisation_has_more_runs_than_are_compared() {
        assert!(KNOWN.iter().all(|known| runs(known).count() <= MOST_RUNS));
    }

    #[test]
    fn every_known_quantisation_is_found_again() {
        for known in KNOWN {
            assert_eq!(split(&format!("name-{}", known.to_uppercase())), ("name".to_string(), known.to_string()));
        }
    }
}
