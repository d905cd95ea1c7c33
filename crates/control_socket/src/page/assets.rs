//! Files of a page. They are a part of the program, and nothing is loaded from elsewhere.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// A file of a page.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its path.
    pub path: &'static str,
    kind: &'static str,
    /// Its content.
    pub text: &'static str,
}

/// The files that all pages have; `start.js` begins with the page's own `page.js`.
pub const COMMON_ASSETS: &[Asset] = &[
    Asset::style("/page.css", include_str!("../../page/page.css")),
    Asset::script("/start.js", include_str!("../../page/start.js")),
    Asset::script("/api.js", include_str!("../../page/api.js")),
    Asset::script("/poll.js", include_str!("../../page/poll.js")),
    Asset::script("/text.js", include_str!("../../page/text.js")),
    Asset::script("/theme.js", include_str!("../../page/theme.js")),
    Asset::picture("/icon.svg", include_str!("../../page/icon.svg")),
];

impl Asset {
    /// The page itself.
    #[must_use]
    pub const fn page(text: &'static str) -> Self {
        Self { path: "/", kind: "text/html; charset=utf-8", text }
    }

    /// A style sheet.
    #[must_use]
    pub const fn style(path: &'static str, text: &'static str) -> Self {
        Self { path, kind: "text/css; charset=utf-8", text }
    }

    /// A module of the page's script.
    #[must_use]
    pub const fn script(path: &'static str, text: &'static str) -> Self {
        Self { path, kind: "text/javascript; charset=utf-8", text }
    }

    /// A picture.
    #[must_use]
    pub const fn picture(path: &'static str, text: &'static str) -> Self {
        Self { path, kind: "image/svg+xml", text }
    }

    /// Its answer. Another version of the program has other files.
    pub(crate) fn answer(&self) -> Response {
        ([(CONTENT_TYPE, self.kind), (CACHE_CONTROL, "no-cache")], self.text).into_response()
    }

    /// Whether it is a module of the page's script.
    fn is_script(&self) -> bool {
        self.kind.starts_with("text/javascript")
    }
}

/// All bytes of a page that a browser loads.
const MOST_BYTES: usize = 100 << 10;

/// What breaks the rules of a page, for the tests of its program: it is small, it loads nothing from elsewhere, it has nothing
/// inline, and every file and element that it names is there.
#[must_use]
pub fn page_faults(assets: &[Asset]) -> Vec<String> {
    let all = || assets.iter().chain(COMMON_ASSETS);
    let has = |file: &str| all().any(|asset| asset.path.strip_prefix('/') == Some(file));
    let html = assets.iter().find(|asset| asset.path == "/").map_or("", |asset| asset.text);
    let mut faults = Vec::new();
    let bytes: usize = all().map(|asset| asset.text.len()).sum();
    if bytes > MOST_BYTES {
        faults.push(format!("{bytes} bytes"));
    }
    for asset in all() {
        let text = asset.text.replace("http://www.w3.org/2000/svg", "");
        let from_elsewhere = ["http://", "https://", "url("].iter().filter(|mark| text.contains(**mark));
        faults.extend(from_elsewhere.map(|mark| format!("{} has {mark}", asset.path)));
    }
    let inline = [" style=", "<style", " onclick=", "<script>"].into_iter().filter(|mark| html.contains(mark));
    faults.extend(inline.map(|mark| format!("the page has {mark}")));
    let named = html.split('"').filter(|word| [".js", ".css", ".svg"].iter().any(|ending| word.ends_with(ending)));
    let imported =
        all().flat_map(|asset| asset.text.split("from \"./").skip(1).chain(asset.text.split("import(\"./").skip(1)));
    let imported = imported.filter_map(|rest| rest.split('"').next());
    faults.extend(named.chain(imported).filter(|file| !has(file)).map(|file| format!("there is no {file}")));
    for asset in all().filter(|asset| asset.is_script()) {
        let ids = asset.text.split("byId(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let missing = ids.filter(|id| !html.contains(&format!("id=\"{id}\"")));
        faults.extend(missing.map(|id| format!("the page has no {id} of {}", asset.path)));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_rule_is_a_fault() {
        const PAGE: Asset = Asset::page("<p id=\"a\" style=\"x\"><script src=\"page.js\"></script><script>1</script>");
        let script = Asset::script("/page.js", "import { x } from \"./gone.js\"; byId(\"b\"); fetch(\"https://x\")");
        let faults = page_faults(&[PAGE, script]);
        for expected in [
            "/page.js has https://",
            "the page has  style=",
            "the page has <script>",
            "there is no gone.js",
            "the page has no b of /page.js",
        ] {
            assert!(faults.iter().any(|fault| fault == expected), "{expected}: {faults:?}");
        }
        let whole = Asset::page("<p id=\"theme\"><p id=\"link\"><p id=\"notice\">");
        assert_eq!(page_faults(&[whole, Asset::script("/page.js", "")]), [""; 0]);
    }
}
