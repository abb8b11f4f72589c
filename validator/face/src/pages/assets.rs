//! The embedded stylesheet, script, fonts and icon (`assets/README.md`). Their addresses hold a digest of their content, so
//! browsers may keep them for ever.

use protocol::Digest;
use std::sync::LazyLock;

/// The whole style of the pages and of the charts in them.
pub(super) const STYLE: &str =
    concat!(include_str!("../../templates/style.css"), include_str!("../../templates/chart.css"));

/// What keeps pages fresh: htmx, two extensions, and what they leave to us. Pages work without it.
pub(super) const SCRIPT: &str = concat!(
    include_str!("../../assets/vendor/htmx.js"),
    "\n",
    include_str!("../../assets/vendor/htmx-sse.js"),
    "\n",
    include_str!("../../assets/vendor/idiomorph.js"),
    "\n",
    include_str!("../../assets/live.js"),
);

/// A font: its name in the address and its bytes.
pub(super) const FONTS: [(&str, &[u8]); 2] = [
    ("inter.woff2", include_bytes!("../../assets/fonts/inter.woff2")),
    ("source-serif-4.woff2", include_bytes!("../../assets/fonts/source-serif-4.woff2")),
];

/// The icon in the tab.
pub(super) const ICON: &str = include_str!("../../templates/icon.svg");

/// The path of the stylesheet: `/assets/style.css?v=` and its digest.
pub(super) fn style_path() -> &'static str {
    static PATH: LazyLock<String> =
        LazyLock::new(|| format!("/assets/style.css?v={}", Digest::of(STYLE.as_bytes()).short()));
    &PATH
}

/// The path of the script, likewise.
pub(super) fn script_path() -> &'static str {
    static PATH: LazyLock<String> =
        LazyLock::new(|| format!("/assets/script.js?v={}", Digest::of(SCRIPT.as_bytes()).short()));
    &PATH
}
