//! The names of models beside their canonical ones, so that a name means the same to the router.

use auxot_fleet::OtherNames;
use auxot_protocol::NamesReport;

/// The most models in a report.
pub(crate) const MOST_MODELS: usize = 256;
/// The most names of one model.
const MOST_NAMES: usize = 8;
/// The most bytes of a name; a longer one is left out.
const MAX_NAME_BYTES: usize = 200;
/// The most bytes of all names: they are sent again with every change.
const MOST_BYTES: usize = 32 * 1024;

/// The first names within the bounds; a model without other names is left out.
pub(crate) fn reported(models: Vec<OtherNames>) -> Vec<NamesReport> {
    let mut left = MOST_BYTES;
    let mut reported = Vec::new();
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
        reported.push(report);
    }
    reported
}

fn is_fit(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(model: &str, quant: Option<&str>, around: &[&str]) -> OtherNames {
        let around = around.iter().map(|name| name.to_string()).collect();
        OtherNames { model: model.into(), quant: quant.map(str::to_owned), files: Vec::new(), around }
    }

    #[test]
    fn the_report_is_bounded_and_leaves_out_models_with_one_name() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        let models = vec![
            model("plain-q4_0", Some("q4_0"), &[]),
            model("model", Some("q8_0"), &[]),
            model("named-q4_0", Some("q4_0"), &["A B", "a\nb", &long]),
        ];
        let names: Vec<_> = reported(models).into_iter().map(|reported| (reported.model, reported.around)).collect();
        assert_eq!(names, [("model".to_owned(), vec![]), ("named-q4_0".to_owned(), vec!["A B".to_owned()])]);
        let name = "x".repeat(MAX_NAME_BYTES);
        let many = (0..1000).map(|number| model(&format!("m{number}"), None, &[name.as_str(); 20])).collect();
        let reported = reported(many);
        let bytes: usize = reported.iter().flat_map(|reported| &reported.around).map(String::len).sum();
        assert!(reported.len() > 10 && bytes <= MOST_BYTES && reported[0].around.len() == MOST_NAMES);
    }
}
