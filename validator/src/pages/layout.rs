//! What every page shares: the title, the reload interval and the name of the stylesheet.

use super::assets;
use askama::Template;

/// The parts of `templates/base.html` that differ between pages.
pub(super) struct Layout {
    /// The title of the tab.
    pub(super) title: String,
    /// One sentence for search engines and link previews.
    pub(super) summary: String,
    /// Seconds until the browser loads the page again, for pages that change soon; it needs no script.
    pub(super) reload_seconds: Option<u32>,
    /// Where the stylesheet is; its name changes with its content.
    pub(super) style: &'static str,
}

impl Layout {
    pub(super) fn new(title: impl Into<String>, summary: impl Into<String>) -> Self {
        Self { title: title.into(), summary: summary.into(), reload_seconds: None, style: assets::style_path() }
    }
}

/// Renders a template into a string.
pub(super) fn render(page: &impl Template) -> String {
    page.render().expect("a template that writes to a string can't fail")
}
