//! What models are called besides their canonical names, so that a name means the same to the router.

use auxot_fleet::OtherNames;
use auxot_protocol::NamesReport;

/// So many models are told of.
pub(crate) const MOST_MODELS: usize = 256;
/// So many names of one model.
const MOST_NAMES: usize = 8;
/// A longer name is not told.
const LONGEST: usize = 200;
/// And so many bytes of names in all: what holds them is said again with every change.
const MOST_BYTES: usize = 32 * 1024;

/// The first of them that stay within the bounds; a model without other names is left out.
pub(crate) fn told(models: Vec<OtherNames>) -> Vec<NamesReport> {
    let mut left = MOST_BYTES;
    let mut told = Vec::new();
    for OtherNames { model, quant, files, around } in models {
        let fit = |names: Vec<String>| names.into_iter().filter(|name| is_fit(name)).take(MOST_NAMES).collect();
        let report = NamesReport { model, quantization: quant, files: fit(files), around: fit(around) };
        let hidden = report.quantization.as_ref().is_some_and(|quant| !report.model.contains(quant));
        if report.files.is_empty() && report.around.is_empty() && !hidden {
            continue;
        }
        let bytes = report.files.iter().chain(&report.around).map(String::len).sum::<usize>() + report.model.len();
        let Some(rest) = left.checked_sub(bytes) else { break };
        left = rest;
        told.push(report);
    }
    told
}

fn is_fit(name: &str) -> bool {
    name.len() <= LONGEST && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(model: &str, quant: Option<&str>, around: &[&str]) -> OtherNames {
        let around = around.iter().map(|name| name.to_string()).collect();
        OtherNames { model: model.into(), quant: quant.map(str::to_owned), files: Vec::new(), around }
    }

    #[test]
    fn what_is_told_is_bounded_and_nothing_is_told_of_a_model_that_has_one_name() {
        let long = "x".repeat(LONGEST + 1);
        let models = vec![
            model("plain-q4_0", Some("q4_0"), &[]),
            model("model", Some("q8_0"), &[]),
            model("named-q4_0", Some("q4_0"), &["A B", "a\nb", &long]),
        ];
        let names: Vec<_> = told(models).into_iter().map(|told| (told.model, told.around)).collect();
        assert_eq!(names, [("model".to_owned(), vec![]), ("named-q4_0".to_owned(), vec!["A B".to_owned()])]);
        let name = "x".repeat(LONGEST);
        let many = (0..1000).map(|number| model(&format!("m{number}"), None, &[name.as_str(); 20])).collect();
        let told = told(many);
        let bytes: usize = told.iter().flat_map(|told| &told.around).map(String::len).sum();
        assert!(told.len() > 10 && bytes <= MOST_BYTES && told[0].around.len() == MOST_NAMES);
    }
}
