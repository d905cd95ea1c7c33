//! The files of the page beside those that all pages have.

use auxot_control_socket::Asset;

pub(crate) const ASSETS: &[Asset] = &[
    Asset::page(include_str!("../../page/index.html")),
    Asset::script("/page.js", include_str!("../../page/page.js")),
    Asset::script("/chat.js", include_str!("../../page/chat.js")),
    Asset::script("/devices.js", include_str!("../../page/devices.js")),
    Asset::script("/models.js", include_str!("../../page/models.js")),
    Asset::script("/plots.js", include_str!("../../page/plots.js")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_the_rules_of_all_pages() {
        assert_eq!(auxot_control_socket::page_faults(ASSETS), [""; 0]);
    }
}
