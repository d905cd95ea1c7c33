//! Metrics with a new name: the old one is published beside it for one release.

use std::fmt::Write;

use memchr::memmem;

/// Metrics that had another name in the last release: the old name and the present one.
const RENAMED: [(&str, &str); 8] = [
    ("auxot_worker_instance_load_seconds", "auxot_worker_engine_load_seconds"),
    ("auxot_worker_instance_restarts_total", "auxot_worker_engine_restarts_total"),
    ("auxot_worker_instance_stale_news_total", "auxot_worker_engine_stale_events_total"),
    ("auxot_worker_instance_starts_total", "auxot_worker_engine_starts_total"),
    ("auxot_worker_instance_unkillable", "auxot_worker_engine_unkillable"),
    ("auxot_worker_router_links", "auxot_worker_router_connections"),
    ("auxot_worker_router_links_lost_total", "auxot_worker_router_connections_lost_total"),
    ("auxot_worker_wishes_unmet", "auxot_worker_settings_unmet"),
];

/// Adds each renamed metric under its old name to a text in Prometheus' format.
///
/// The text is copied, so that both names always have the same samples, and nothing is recorded twice.
pub(crate) fn add_old_names(text: &mut String) {
    let mut copies = String::new();
    for (old, new) in RENAMED {
        for line in family(text, new) {
            copy(line, old, new, &mut copies);
        }
    }
    text.push_str(&copies);
}

/// The lines of one metric, which are together and end with an empty line: a text of many models is not read line by line.
fn family<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let begin = memmem::find(text.as_bytes(), format!("# TYPE {name} ").as_bytes()).map(|at| {
        let before = text[..at].trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
        // Its description, where it has one, is the line before.
        if text[before..].starts_with(&format!("# HELP {name} ")) { before } else { at }
    });
    begin.map_or("", |begin| &text[begin..]).lines().take_while(|line| !line.is_empty())
}

/// Copies a line of the metric `new`: its description, its type, or a sample.
fn copy(line: &str, old: &str, new: &str, copies: &mut String) {
    let of_metric = |rest: &str| rest.strip_prefix(new).filter(|rest| rest.starts_with(' ')).is_some();
    if line.strip_prefix("# HELP ").is_some_and(of_metric) {
        let _ = writeln!(copies, "# HELP {old} Deprecated: the old name of {new}");
    } else if let Some(rest) = line.strip_prefix("# TYPE ").filter(|rest| of_metric(rest)) {
        let _ = writeln!(copies, "# TYPE {old}{}", &rest[new.len()..]);
    } else if let Some(rest) = line.strip_prefix(new)
        // The samples of a histogram have suffixes of their own.
        && ["", "_bucket", "_sum", "_count"].iter().any(|suffix| {
            rest.strip_prefix(suffix).is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
    {
        let _ = writeln!(copies, "{old}{rest}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_metrics_are_published_under_both_names() {
        let mut text = "\
# HELP auxot_worker_settings_unmet Settings and policies that this host cannot meet
# TYPE auxot_worker_settings_unmet gauge
auxot_worker_settings_unmet 2

# HELP auxot_worker_engine_load_seconds From the start to readiness
# TYPE auxot_worker_engine_load_seconds histogram
auxot_worker_engine_load_seconds_bucket{model=\"m\",le=\"+Inf\"} 1
auxot_worker_engine_load_seconds_sum{model=\"m\"} 0.5
auxot_worker_engine_load_seconds_count{model=\"m\"} 1

# TYPE auxot_worker_router_connections_lost_total counter
auxot_worker_router_connections_lost_total{cause=\"auxot_worker_router_connections\"} 3
"
        .to_owned();
        let present = text.clone();
        add_old_names(&mut text);
        assert_eq!(
            text.strip_prefix(&present).unwrap(),
            "\
# HELP auxot_worker_instance_load_seconds Deprecated: the old name of auxot_worker_engine_load_seconds
# TYPE auxot_worker_instance_load_seconds histogram
auxot_worker_instance_load_seconds_bucket{model=\"m\",le=\"+Inf\"} 1
auxot_worker_instance_load_seconds_sum{model=\"m\"} 0.5
auxot_worker_instance_load_seconds_count{model=\"m\"} 1
# TYPE auxot_worker_router_links_lost_total counter
auxot_worker_router_links_lost_total{cause=\"auxot_worker_router_connections\"} 3
# HELP auxot_worker_wishes_unmet Deprecated: the old name of auxot_worker_settings_unmet
# TYPE auxot_worker_wishes_unmet gauge
auxot_worker_wishes_unmet 2
"
        );
    }
}
