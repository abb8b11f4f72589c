//! The embedded stylesheet and icon. The stylesheet's address holds a digest of its content, so browsers may keep it
//! for ever.

use protocol::Digest;
use std::sync::LazyLock;

/// The whole style of the pages and of the charts in them.
pub(super) const STYLE: &str =
    concat!(include_str!("../../templates/style.css"), include_str!("../../templates/chart.css"));

/// The icon in the tab.
pub(super) const ICON: &str = include_str!("../../templates/icon.svg");

/// The path of the stylesheet: `/assets/style.css?v=` and its digest.
pub(super) fn style_path() -> &'static str {
    static PATH: LazyLock<String> =
        LazyLock::new(|| format!("/assets/style.css?v={}", Digest::of(STYLE.as_bytes()).short()));
    &PATH
}
