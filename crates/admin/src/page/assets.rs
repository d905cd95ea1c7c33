//! The files of the page. They are a part of the program, and nothing is loaded from elsewhere.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 11] = [
    Asset { path: "/", kind: "text/html; charset=utf-8", text: include_str!("../../page/index.html") },
    Asset { path: "/page.css", kind: "text/css; charset=utf-8", text: include_str!("../../page/page.css") },
    Asset { path: "/start.js", kind: SCRIPT, text: include_str!("../../page/start.js") },
    Asset { path: "/page.js", kind: SCRIPT, text: include_str!("../../page/page.js") },
    Asset { path: "/api.js", kind: SCRIPT, text: include_str!("../../page/api.js") },
    Asset { path: "/chat.js", kind: SCRIPT, text: include_str!("../../page/chat.js") },
    Asset { path: "/devices.js", kind: SCRIPT, text: include_str!("../../page/devices.js") },
    Asset { path: "/models.js", kind: SCRIPT, text: include_str!("../../page/models.js") },
    Asset { path: "/plots.js", kind: SCRIPT, text: include_str!("../../page/plots.js") },
    Asset { path: "/text.js", kind: SCRIPT, text: include_str!("../../page/text.js") },
    Asset { path: "/icon.svg", kind: "image/svg+xml", text: include_str!("../../page/icon.svg") },
];

/// The file at a path.
pub(crate) fn find(path: &str) -> Option<Response> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    // Another version of the program has other files.
    Some(([(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "no-cache")], asset.text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes that a browser loads.
    const MOST_BYTES: usize = 100 << 10;

    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.text.len()).sum();
        assert!(bytes <= MOST_BYTES, "{bytes}");
        for asset in &ASSETS {
            let text = asset.text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !text.contains("http://") && !text.contains("https://") && !text.contains("url("),
                "{}",
                asset.path
            );
        }
    }

    #[test]
    fn the_page_has_nothing_inline_and_every_file_that_it_names() {
        let html = ASSETS[0].text;
        assert!(!html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick="));
        let inline = html.split("<script").skip(1).filter(|script| !script.trim_start().starts_with("src="));
        assert_eq!(inline.count(), 0);
        let named =
            html.split(['"']).filter(|word| word.ends_with(".js") || word.ends_with(".css") || word.ends_with(".svg"));
        let imported = ASSETS
            .iter()
            .flat_map(|asset| asset.text.split("from \"./").skip(1).chain(asset.text.split("import(\"./").skip(1)));
        let imported = imported.filter_map(|rest| rest.split('"').next());
        for file in named.chain(imported) {
            assert!(find(&format!("/{file}")).is_some(), "{file}");
        }
    }

    #[test]
    fn every_element_that_the_script_uses_is_in_the_page() {
        let html = ASSETS[0].text;
        for asset in ASSETS.iter().filter(|asset| asset.kind == SCRIPT) {
            for id in asset.text.split("byId(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(html.contains(&format!("id=\"{id}\"")), "{id} of {}", asset.path);
            }
        }
    }
}
