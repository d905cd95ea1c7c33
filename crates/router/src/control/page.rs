//! The files of the page beside those that all pages have.

use auxot_control_socket::Asset;

pub(super) const ASSETS: &[Asset] = &[
    Asset::page(include_str!("../../page/index.html")),
    Asset::style("/providers.css", include_str!("../../page/providers.css")),
    Asset::script("/page.js", include_str!("../../page/page.js")),
    Asset::script("/workers.js", include_str!("../../page/workers.js")),
    Asset::script("/keys.js", include_str!("../../page/keys.js")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_the_rules_of_all_pages() {
        assert_eq!(auxot_control_socket::page_faults(ASSETS), [""; 0]);
    }
}
