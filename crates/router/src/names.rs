//! When two spellings of a model's name mean the same model.

/// Lower case, with `_`, `.` and blanks as `-`.
fn canonical(name: &str) -> String {
    name.trim()
        .chars()
        .map(|letter| match letter {
            '_' | '.' | ' ' => '-',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Whether `asked` and `have` are one name, or one is the other plus a quantisation.
///
/// A worker that lists no models announces its name without the quantisation, and clients like to leave
/// it out: both directions are needed.
pub(crate) fn matches(asked: &str, have: &str) -> bool {
    let (asked, have) = (canonical(asked), canonical(have));
    asked == have || is_quantised(&have, &asked) || is_quantised(&asked, &have)
}

/// Whether `long` is `short`, a dash, and a quantisation.
fn is_quantised(long: &str, short: &str) -> bool {
    !short.is_empty() && long.strip_prefix(short).and_then(|rest| rest.strip_prefix('-')).is_some_and(is_quant)
}

/// Whether `text`, in canonical spelling, is a quantisation: `q4-k-m`, `ud-q8-k-xl`, `iq4-xs`, `f16`, …
fn is_quant(text: &str) -> bool {
    let text = text.strip_prefix("ud-").unwrap_or(text);
    if matches!(text, "f16" | "bf16" | "f32" | "mxfp4") {
        return true;
    }
    let mut parts = text.split('-');
    let head = parts.next().unwrap_or_default();
    let digits = ["iq", "tq", "q"].iter().find_map(|prefix| head.strip_prefix(prefix)).unwrap_or_default();
    digits.len() == 1
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && parts.all(|part| matches!(part, "0" | "1" | "4" | "8" | "k" | "s" | "m" | "l" | "xl" | "xs" | "xxs" | "nl"))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn spelling_case_and_quantisation_do_not_matter() {
        for (asked, have) in [
            ("Llama-3.3-70B-Q4_K_M", "llama-3.3-70b-q4_k_m"),
            ("llama-3.3-70b", "llama-3.3-70b-q4_k_m"),
            ("gemma-3-4b-it-q4_k_s", "gemma-3-4b-it"),
            ("m", "m-ud-q8_k_xl"),
            ("m", "m-iq4_xs"),
            ("m", "m-bf16"),
        ] {
            assert!(matches(asked, have), "{asked} {have}");
        }
    }

    #[test]
    fn another_model_is_another_model() {
        for (asked, have) in
            [("llama-3", "llama-3.3-70b-q4_k_m"), ("m-q4_k_s", "m-q4_k_m"), ("", "m-q4_0"), ("qwen", "qwen-coder")]
        {
            assert!(!matches(asked, have), "{asked} {have}");
        }
    }
}
